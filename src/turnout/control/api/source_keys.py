"""The keys of a source: several work, the newest first; old ones end at once or after a while (`config-api.md` C1).

In `turnout.yaml` the newest is `key`, others stand in `keys`, ended ones in `revoked_keys`, so that who still uses one
is told so.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.api import integrations, writing
from turnout.control.api.documents import Listing, Nothing, Single, moment
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Numbered, numbered
from turnout.control.api.problems import ApiError, Fault, Place, failure, not_found
from turnout.control.api.shown import KeyAttributes, key_id, key_resource, source_keys
from turnout.control.configuration.edit import Editor
from turnout.model.config import Key, Source
from turnout.model.duration import Duration, milliseconds

_LONGEST_MS = 30 * 86_400_000


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """How long the key from before goes on working."""

    grace_period: Annotated[
        Duration, Meta(description="ISO 8601, at most `P30D`; `PT0S` ends it at once.", examples=["PT24H", "P7D"])
    ] = "PT24H"


@operation("GET", "/v2/{site}/sources/{id}/keys", scope="sources:read", tag="Sources")
def list_source_keys(call: Call[Numbered, Nothing]) -> Listing[KeyAttributes]:
    """The keys of a source, the newest first; revoked ones at the end."""
    source = _source(call)
    found = [key_resource(call, key) for key in source_keys(source)]
    found += [key_resource(call, Key(key=key), revoked=True) for key in source.revoked_keys]
    return numbered(found, call.query, call.url)


@operation("POST", "/v2/{site}/sources/{id}/keys", scope="sources:keys", tag="Sources", status=201)
def add_source_key(call: Call[Nothing, Nothing]) -> Single[KeyAttributes]:
    """Make a further key. The others go on working."""
    source = _source(call)
    base = _base(source)
    fresh = str(uuid.uuid4())

    def do(editor: Editor) -> None:
        _put_first(editor, base, fresh, {})

    writing.change(call, "sources.add_key", call.path["id"], do, expected=call.world.snapshot().version)
    return _made(call, fresh)


@operation("POST", "/v2/{site}/sources/{id}/rotate-key", scope="sources:keys", tag="Sources")
def rotate_source_key(call: Call[Nothing, Rotation]) -> Single[KeyAttributes]:
    """Make a new key in the place of the newest one, which goes on working for a while.

    `meta.previous` tells until when.
    """
    source = _source(call)
    base = _base(source)
    fresh = str(uuid.uuid4())
    until_ms = call.now_ms + _grace_ms(call.body.grace_period)
    before = Key(key=source.key, until_ms=until_ms)

    def do(editor: Editor) -> None:
        if until_ms > call.now_ms:
            _put_first(editor, base, fresh, {"until": moment(until_ms)})
        else:
            editor.put((*base, "revoked_keys"), [editor.get((*base, "key")), *_listed(editor, base, "revoked_keys")])
            editor.set((*base, "key"), fresh)

    writing.change(call, "sources.rotate_key", call.path["id"], do, expected=call.world.snapshot().version)
    previous = key_resource(call, before, revoked=until_ms <= call.now_ms)
    told = {"id": previous.id, "state": previous.attributes.state, "expires_at": previous.attributes.expires_at}
    return msgspec.structs.replace(_made(call, fresh), meta={"previous": told})


@operation("DELETE", "/v2/{site}/sources/{id}/keys/{key_id}", scope="sources:keys", tag="Sources")
def revoke_source_key(call: Call[Nothing, Nothing]) -> None:
    """End a key now: events with it are refused as `key_revoked`.

    The last key that works can't be revoked; rotate it, or make the source inactive.
    """
    source = _source(call)
    base = _base(source)
    keys = list(source_keys(source))
    place = next((index for index, key in enumerate(keys) if key_id(key) == call.path["key_id"]), None)
    if place is None:
        revoked = call.path["key_id"] in [key_id(Key(key=key)) for key in source.revoked_keys]
        raise failure(409, "CONFLICT", "the key is revoked already") if revoked else not_found("there is no such key")
    heir = next((index for index, key in enumerate(keys) if index and key.until_ms is None), None)
    if place == 0 and heir is None:
        raise failure(409, "CONFLICT", "it is the last key that works for good: rotate it instead")

    def do(editor: Editor) -> None:
        further = _listed(editor, base, "keys")
        ended = editor.get((*base, "key")) if place == 0 else _written(further[place - 1])
        if place == 0:
            assert heir is not None
            editor.put((*base, "key"), _written(further[heir - 1]))
        del further[(heir if place == 0 and heir is not None else place) - 1]
        _put_list(editor, base, "keys", further)
        editor.put((*base, "revoked_keys"), [ended, *_listed(editor, base, "revoked_keys")])

    writing.change(call, "sources.revoke_key", call.path["id"], do, expected=call.world.snapshot().version)


def _source(call: AnyCall) -> Source:
    return call.world.snapshot().sources[integrations.ref_of(call, "source", call.path["id"])]


def _base(source: Source) -> tuple[str, ...]:
    return writing.path_of(source.site, "source", source.name)


def _made(call: AnyCall, fresh: str) -> Single[KeyAttributes]:
    found = key_resource(call, Key(key=fresh))
    return Single(msgspec.structs.replace(found, links={"self": f"/v2/{call.site}/sources/{call.path['id']}/keys"}))


def _put_first(editor: Editor, base: tuple[str, ...], fresh: str, about: dict[str, object]) -> None:
    """A new `key`; the one from before becomes the first of `keys`."""
    before = editor.get((*base, "key"))
    editor.put((*base, "keys"), [{"key": before, **about}, *_listed(editor, base, "keys")])
    editor.set((*base, "key"), fresh)


def _put_list(editor: Editor, base: tuple[str, ...], name: str, values: Sequence[object]) -> None:
    if values:
        editor.put((*base, name), values)
    else:
        editor.remove((*base, name))


def _listed(editor: Editor, base: tuple[str, ...], name: str) -> list[object]:
    found = editor.get((*base, name))
    return list(found) if isinstance(found, list) else []


def _written(key: object) -> object:
    """How a key of `keys` is written."""
    return key.get("key") if isinstance(key, dict) else None


def _grace_ms(duration: Duration) -> int:
    found = milliseconds(duration)
    if found > _LONGEST_MS:
        fault = Fault("INVALID_PROPERTY_FORMAT", "grace_period is at most P30D", Place(pointer="/grace_period"))
        raise ApiError(422, [fault])
    return found
