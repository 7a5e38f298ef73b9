"""The configuration as one text, and its versions (`turnout apply`, `export` and `history` over HTTP).

It is one for all sites, so it is shown to tokens that open every site in it alone.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Cursored, cursored, read_cursor
from turnout.control.api.problems import ApiError, Fault, Place, failure, not_found
from turnout.control.configuration import difference
from turnout.control.configuration.store import KEPT, Version
from turnout.control.handover import hand_over
from turnout.model.errors import ConfigConflictError, ConfigError, ConfigRefusedError

_TEXT = Place(pointer="/data/attributes/text")


class VersionAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the configuration."""

    number: Annotated[int | None, Meta(description="None for a dry run.")]
    hash: Annotated[str, Meta(description="Names the text: equal text, equal hash.")]
    author: Annotated[str, Meta(description="Id of a token, `cli:` and a user, or `file`.")]
    origin: Annotated[str, Meta(description="`api`, `cli`, `start` (of a server) or `file`.")]
    note: str
    created_at: str
    warnings: Annotated[list[str], Meta(description="What works but is probably a mistake.")] = []
    text: Annotated[str | UnsetType, Meta(description="Secrets are sealed in it. Not in lists.")] = UNSET
    changes: Annotated[
        list[difference.Change] | UnsetType, Meta(description="What is other than in the version before, masked.")
    ] = UNSET


class NewConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, to be used instead of the one that is."""

    text: Annotated[str, Meta(description="As `turnout.yaml` has it.")]
    note: Annotated[str, Meta(max_length=500)] = ""
    expected: Annotated[str, Meta(description="Only if this is the hash of what is applied.")] | None = None


class ApplyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to do it."""

    dry_run: Annotated[bool, Meta(description="Only say whether it can be used.")] = False


@operation("GET", "/v2/{site}/configuration", scope="admin", tag="Configuration", etag=True)
def get_configuration(call: Call[Nothing, Nothing]) -> Single[VersionAttributes]:
    """The configuration that is applied, as it was written."""
    require_all_sites(call)
    current = call.world.configurations.current()
    if current is None:
        raise not_found("nothing was ever applied")
    return Single(_resource(call, current, text=current.text))


@operation("POST", "/v2/{site}/configuration", scope="admin", tag="Configuration", status=201)
def apply_configuration(call: Call[ApplyQuery, New[NewConfiguration]]) -> Single[VersionAttributes]:
    """Apply a whole configuration, as `turnout apply` does.

    It is refused whole if anything in it is wrong, and taken back if a running process can't use it. A `dry_run` only
    checks it.
    """
    require_all_sites(call)
    wanted = call.body.data.attributes
    store = call.world.configurations
    try:
        if call.query.dry_run:
            found = store.check(wanted.text)
            attributes = VersionAttributes(
                number=None,
                hash=found.version,
                author=call.token.id,
                origin="api",
                note=wanted.note,
                created_at=moment(call.now_ms),
                warnings=[str(one) for one in found.warnings],
            )
            return Single(Resource(type="configuration-versions", id=None, attributes=attributes))
        made = store.apply(
            wanted.text,
            call.token.id,
            "api",
            call.now_ms,
            expected=wanted.expected,
            note=wanted.note,
            settle=lambda version: hand_over(call.world.settings.data_dir, version).refusal,
        )
    except ConfigError as error:
        faults = [Fault("INVALID_PROPERTY_FORMAT", str(one), _TEXT) for one in error.problems]
        raise ApiError(422, faults) from error
    except (ConfigConflictError, ConfigRefusedError) as error:
        raise failure(409, "CONFLICT", str(error)) from error
    return Single(_resource(call, made))


@operation("GET", "/v2/{site}/configuration/versions", scope="admin", tag="Configuration")
def list_versions(call: Call[Cursored, Nothing]) -> Listing[VersionAttributes]:
    """The versions, newest first: the last thousand."""
    require_all_sites(call)
    after, before = read_cursor(call.query, 1)
    found = call.world.configurations.history(
        call.query.page_size + 1, after=after[0] if after else None, before=before[0] if before else None
    )
    page = cursored(found, call.query, call.url, lambda one: _resource(call, one), lambda one: str(one.number), 0)
    return msgspec.structs.replace(page, meta=msgspec.structs.replace(page.meta, retention_days=UNSET))


@operation("GET", "/v2/{site}/configuration/versions/{version}", scope="admin", tag="Configuration")
def get_version(call: Call[Nothing, Nothing]) -> Single[VersionAttributes]:
    """One version: its text, and what is other than in the one before."""
    require_all_sites(call)
    found = _found(call)
    before = call.world.configurations.version(found.number - 1)
    changed = difference.changes(before.text if before is not None else "", found.text)
    return Single(_resource(call, found, text=found.text, changes=changed))


@operation("POST", "/v2/{site}/configuration/versions/{version}/restore", scope="admin", tag="Configuration")
def restore_version(call: Call[Nothing, Nothing]) -> Single[VersionAttributes]:
    """Apply the text of a version again, as a new one."""
    require_all_sites(call)
    number = _found(call).number
    try:
        made = call.world.configurations.restore(
            number,
            call.token.id,
            "api",
            call.now_ms,
            settle=lambda version: hand_over(call.world.settings.data_dir, version).refusal,
        )
    except (ConfigError, ConfigRefusedError) as error:
        raise failure(409, "CONFLICT", str(error)) from error
    return Single(_resource(call, made))


def require_all_sites(call: AnyCall) -> None:
    """Raise `ApiError` 404 unless the token opens every site: a configuration is one for all of them."""
    if not all(call.token.opens(site) for site in call.world.snapshot().sites):
        raise not_found("the whole configuration is for tokens of all sites in it alone")


def _found(call: AnyCall) -> Version:
    number = int(call.path["version"])
    found = call.world.configurations.version(number) if number < 1 << 53 else None
    if found is None:
        raise not_found(f"there is no version with this number; the last {KEPT} are kept")
    return found


def _resource(
    call: AnyCall,
    version: Version,
    text: str | UnsetType = UNSET,
    changes: list[difference.Change] | UnsetType = UNSET,
) -> Resource[VersionAttributes]:
    return Resource(
        type="configuration-versions",
        id=str(version.number),
        attributes=VersionAttributes(
            number=version.number,
            hash=version.hash,
            author=version.author,
            origin=version.origin,
            note=version.note,
            created_at=moment(version.at_ms),
            text=text,
            changes=changes,
        ),
        links={"self": f"/v2/{call.site}/configuration/versions/{version.number}"},
    )
