"""Data cleansing as the configuration says it (`processing.md` §4): checked, and formulas still text."""

from typing import Literal

import msgspec

from turnout.model.change import Change

Timing = Literal["reception", "after_enrichment"]


class RenameEvent(msgspec.Struct, frozen=True):
    """The event gets this name."""

    to: str


class ModifyProperties(msgspec.Struct, frozen=True):
    """Rows that run from top to bottom, each on what the one before left."""

    changes: tuple[Change, ...]


class FilterEvent(msgspec.Struct, frozen=True):
    """The event goes no further."""


class DeriveEvent(msgspec.Struct, frozen=True):
    """A second event of this name comes into being, a copy with these changes; the original goes on."""

    name: str
    changes: tuple[Change, ...] = ()


Operation = RenameEvent | ModifyProperties | FilterEvent | DeriveEvent


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to the events of `sources` (references) for which the formula `when` holds; "" always holds.

    `label` is its name, unique in its site.
    """

    site: str
    label: str
    operation: Operation
    sources: frozenset[str]
    when: str = ""
    description: str = ""
    environment: str = "production"
    status: Literal["active", "inactive"] = "active"
    timing: Timing = "reception"
