"""One change of a property, as the configuration says it (`processing.md` §4.3): checked, its formula still text."""

from typing import Literal

import msgspec

Action = Literal["rename", "map", "delete", "set"]


class Change(msgspec.Struct, frozen=True):
    """One row of `properties`. Paths are dotted and start at the event.

    `property` is what changes: the source of `rename`, the target of the others. `other` is where `rename` puts
    the value, what `map` copies, the formula of `set`, and "" for `delete`.
    """

    action: Action
    property: str
    other: str = ""
