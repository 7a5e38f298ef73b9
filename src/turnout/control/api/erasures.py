"""Erasing a person (`user-api.md` §9): ask for it, and see what was erased where."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.operation import Call, operation
from turnout.control.api.paging import Numbered, numbered
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.control.erasure.jobs import Erasure
from turnout.model.person import Person

_Value = Annotated[str, Meta(min_length=1, max_length=255)]
_Values = Annotated[tuple[_Value, ...], Meta(max_length=100)]


class PersonAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to erase: everything that names one of these."""

    user_ids: Annotated[_Values, Meta(description="Values of `user.id`.", examples=[["C-88"]])] = ()
    anonymous_ids: Annotated[_Values, Meta(description="Values of `user.consistent_anonymous_id`.")] = ()
    emails: Annotated[_Values, Meta(description="Addresses; events may have them hashed.")] = ()


class ErasureAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure and its receipt, in which there is nothing of the person."""

    state: Annotated[Literal["queued", "running", "completed"], Meta(description="How far it is.")]
    dry_run: Annotated[bool, Meta(description="Whether it only counts.")]
    erased: Annotated[dict[str, int], Meta(description="How many events, by place.")]
    delivered: Annotated[
        dict[str, int],
        Meta(description="By destination: how many events it has got before. They can't be called back."),
    ]
    files: Annotated[
        list[str], Meta(description="Those of these destinations that write files, which stay as they are.")
    ]
    unreadable: Annotated[int, Meta(description="Damaged files set aside; nobody knows what is in them.")]
    trouble: Annotated[str | None, Meta(description="What it waits for.")]
    created: str
    finished: str | None


class ErasureQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to do it."""

    dry_run: Annotated[
        bool, Meta(description="Only count. That takes its time too, so its answer is a job as well.")
    ] = False


class DeleteUserQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to erase."""

    user_id: Annotated[_Value, Meta(description="The user's id.", examples=["C-88"])]
    tc_id: Annotated[_Value, Meta(description="An anonymous id to erase as well.")] | None = None


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """It is noted, and will be done."""

    success: bool = True


@operation("POST", "/v2/{site}/erasures", scope="erasures:write", tag="Erasure", status=202)
def create_erasure(call: Call[ErasureQuery, New[PersonAttributes]]) -> Single[ErasureAttributes]:
    """Erase a person from everything that is kept: events, retries, dead letters, records for looking at.

    The anonymous ids that occur together with a user id or address are meant too, but nothing that names somebody
    else. It goes on in the background; ask for the erasure to see what was erased, and what had been delivered.
    """
    wanted = call.body.data.attributes
    person = Person(user_ids=wanted.user_ids, anonymous_ids=wanted.anonymous_ids, emails=wanted.emails)
    if person == Person():
        where = Place(pointer="/data/attributes")
        raise ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "give at least one id or address", where)])
    return Single(_resource(call.site, _noted(call, person, call.query.dry_run)))


@operation("GET", "/v2/{site}/erasures", scope="erasures:read", tag="Erasure")
def list_erasures(call: Call[Numbered, Nothing]) -> Listing[ErasureAttributes]:
    """All erasures, the newest first. They say what was done, not to whom."""
    found = [_resource(call.site, one) for one in call.world.erasures.of_site(call.site)]
    return numbered(found, call.query, call.url)


@operation("GET", "/v2/{site}/erasures/{erasure_id}", scope="erasures:read", tag="Erasure")
def get_erasure(call: Call[Nothing, Nothing]) -> Single[ErasureAttributes]:
    """One erasure: how far it is, and its receipt."""
    found = call.world.erasures.find(call.site, call.path["erasure_id"])
    if found is None:
        raise not_found("there is no erasure with this id")
    return Single(_resource(call.site, found))


@operation("DELETE", "/v2/{site}/engage/user", scope="erasures:write", tag="Erasure")
def delete_user(call: Call[DeleteUserQuery, Nothing]) -> Success:
    """Erase a user by id, as older clients ask for it: the same as `POST /erasures`.

    Also for a user that nobody knows, so that nothing can be learnt from the answer.
    """
    visitors = (call.query.tc_id,) if call.query.tc_id is not None else ()
    _noted(call, Person(user_ids=(call.query.user_id,), anonymous_ids=visitors), dry_run=False)
    return Success()


def _noted(
    call: Call[ErasureQuery, New[PersonAttributes]] | Call[DeleteUserQuery, Nothing], person: Person, dry_run: bool
) -> Erasure:
    given = {"user_ids": len(person.user_ids), "anonymous_ids": len(person.anonymous_ids), "emails": len(person.emails)}
    call.record("erasures", "erasures.create", "", dry_run=dry_run, **given)
    return call.world.erasures.add(call.site, person, dry_run, call.now_ms)


def _resource(site: str, one: Erasure) -> Resource[ErasureAttributes]:
    receipt = one.receipt
    return Resource(
        type="erasures",
        id=one.id,
        attributes=ErasureAttributes(
            state=one.state,
            dry_run=one.dry_run,
            erased=receipt.erased if receipt else {},
            delivered=receipt.delivered if receipt else {},
            files=receipt.files if receipt else [],
            unreadable=receipt.unreadable if receipt else 0,
            trouble=one.trouble or None,
            created=moment(one.created_ms),
            finished=moment_or_none(one.finished_ms),
        ),
        links={"self": f"/v2/{site}/erasures/{one.id}"},
    )
