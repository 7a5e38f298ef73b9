"""Changing the configuration over the API: what is wrong comes back with places in the request.

What must stay true: a change concerns the site of its caller alone, and tells nothing of others; the text's variables,
sealed secrets and comments stay where they are (`configuration/edit.py`).
"""

import re
import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence

from turnout.control.api.operation import AnyCall
from turnout.control.api.problems import ApiError, Fault, Place, failure
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.store import Deed
from turnout.control.yamlfile import join
from turnout.model.errors import ConfigConflictError, ConfigError, Problem, SecretError

_STEPS = re.compile(r'\.?(?:"([^"]*)"|\[(\d+)\]|([^.\["]+))')
_LONGEST_NAME = 64

Pointers = Mapping[str, str]
"""Where the request has what a field of `turnout.yaml` gets, or a member of it ("field.member"); the rest of a path is
put after it."""


def change(
    call: AnyCall,
    deed: str,
    subject: str,
    do: Callable[[Editor], None],
    *,
    base: Sequence[str] = (),
    pointers: Pointers | None = None,
    expected: str | None = None,
) -> None:
    """Make a new version of the configuration, recorded as `deed`, and in use when this returns.

    `base` is the path of the resource that the request describes; problems in it are told with the `pointers` of its
    fields. Raises `ApiError` 422 with everything that is wrong; without `pointers` it is a conflict (409), and so is
    another version than the `expected` one, for a change that was made for that. What `If-Match` names is compared
    while the configuration is locked, so that nobody's change, from a shell say, is overwritten unseen.
    """

    def done(editor: Editor) -> None:
        if call.unchanged is not None:
            call.unchanged()
        do(editor)

    try:
        call.world.configurations.edit(
            call.token.id, "api", call.now_ms, done, expected, deed=Deed(deed, subject, call.address)
        )
    except ConfigError as error:
        faults = [_fault(call, one, base, pointers or {}) for one in error.problems]
        status = 409 if pointers is None else 422
        raise ApiError(status, list(dict.fromkeys(faults))) from error
    except ConfigConflictError as error:
        raise failure(409, "CONFLICT", "somebody else changed something at the same moment: try again") from error
    except SecretError as error:
        raise failure(503, "SERVICE_UNAVAILABLE", "secrets can't be sealed at the moment; see the key file") from error


def path_of(site: str, kind: str, name: str) -> tuple[str, ...]:
    """Where a source or destination stands."""
    return "sites", site, f"{kind}s", name


def name_for(label: str, taken: Container[str]) -> str:
    """A name for something new: its label as letters, digits and `-`, with a number if that is taken."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: _LONGEST_NAME - 8].strip("-") or "unnamed"
    number = 1
    while (name := word if number == 1 else f"{word}-{number}") in taken:
        number += 1
    return name


def _fault(call: AnyCall, problem: Problem, base: Sequence[str], pointers: Pointers) -> Fault:
    """A problem of the configuration as the request's reader knows it."""
    code = "CONFLICT" if not pointers else _code(problem)
    detail = f"{problem.message}: {problem.fix}" if problem.fix else problem.message
    steps = [quoted or number or plain for quoted, number, plain in _STEPS.findall(problem.path)]
    if base and steps[: len(base)] == list(base):
        field, *rest = steps[len(base) :] or [""]
        name = f"{rest[-1] if rest else field} {detail}".strip()
        if rest and f"{field}.{rest[0]}" in pointers:
            field, rest = f"{field}.{rest[0]}", rest[1:]
        where = "/".join((pointers.get(field, "/data"), *map(_escaped, rest)))
        return Fault(code, name, Place(pointer=where))
    if steps[:2] == ["sites", call.site]:
        return Fault("CONFLICT", f"{problem.path.removeprefix(join('sites', call.site)).lstrip('.')}: {detail}")
    return Fault("CONFLICT", "the configuration can't be used as it is: `turnout check` says why")


def _code(problem: Problem) -> str:
    if problem.message == "is missing":
        return "MISSING_REQUIRED_PROPERTY"
    if problem.message in ("is not known", "unknown setting"):
        return "UNKNOWN_ATTRIBUTE"
    is_type = ", got " in problem.message or problem.message.startswith("must be ")
    return "INVALID_PROPERTY_TYPE" if is_type else "INVALID_PROPERTY_FORMAT"


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
