"""Changing the configuration over the API: one edit of its text, and faults in the request's own words."""

import os
import re
from collections.abc import Callable, Mapping

from msgspec import UNSET

from turnout.control import configfile
from turnout.control.api.operation import AnyCall
from turnout.control.api.problems import ApiError, Fault, Place, failure
from turnout.control.configuration.edit import Editor
from turnout.control.yamlfile import join
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError, Problem, SecretError

_STEP = re.compile(r'\.?(?:"([^"]*)"|([^.\[\]"]+)|\[(\d+)\])')


def edit(
    call: AnyCall, change: Callable[[Editor], None], place: tuple[str, ...], renamed: Mapping[str, str] | None = None
) -> Snapshot:
    """Change what is at `place`; gives the configuration as it is then, before the processes follow.

    `renamed` says by first member of what is there which member of `/data/attributes` it came from. Raises `ApiError`
    422 with everything that is wrong, 503 if a secret can't be sealed.
    """
    world = call.world
    try:
        version = world.configurations.edit(call.token.id, "api", call.now_ms, change)
    except ConfigError as error:
        raise ApiError(422, [_fault(problem, place, renamed or {}) for problem in error.problems]) from error
    except SecretError as error:
        raise failure(503, "SERVICE_UNAVAILABLE", f"a secret can't be sealed: {error}") from error
    return configfile.load(version.text, os.environ, world.secrets)


def _fault(problem: Problem, place: tuple[str, ...], renamed: Mapping[str, str]) -> Fault:
    prefix = ""
    for name in place:
        prefix = join(prefix, name)
    detail = f"{problem.message} ({problem.fix})" if problem.fix else problem.message
    if problem.path != prefix and not problem.path.startswith((f"{prefix}.", f"{prefix}[")):
        return Fault("INVALID_PROPERTY_FORMAT", f"{problem.path}: {detail}", UNSET)
    steps = ["".join(part) for part in _STEP.findall(problem.path[len(prefix) :])]
    if steps:
        steps[0] = renamed.get(steps[0], steps[0])
    code = "MISSING_REQUIRED_PROPERTY" if problem.message == "is missing" else "INVALID_PROPERTY_FORMAT"
    pointer = "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in "/".join(steps).split("/") if step)
    return Fault(code, f"{steps[-1] if steps else 'it'} {detail}", Place(pointer=f"/data/attributes{pointer}"))
