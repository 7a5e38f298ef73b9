"""What a user agent says of a device (`context.device.user_agent`), as properties of `context.device`. Pure."""

from functools import lru_cache

import msgspec
from ua_parser import parse

_LONGEST = 2_048
"""Longer ones are not looked at: whoever sends them wants to cost us time."""
_DESKTOP = frozenset(("Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD"))
_TABLETS = ("iPad", "Tablet", "Kindle", "Nexus 7", "Nexus 9", "Nexus 10", "SM-T", "SM-X")


class Versioned(msgspec.Struct, frozen=True):
    """A name, and a version such as "18.5" or ""."""

    name: str
    version: str = ""


class Device(msgspec.Struct, frozen=True):
    """What is known; "" or None where nothing is. `type` is desktop, mobile, tablet or bot."""

    type: str = ""
    manufacturer: str = ""
    model: str = ""
    os: Versioned | None = None
    browser: Versioned | None = None


@lru_cache(4096)
def device_of(user_agent: str) -> Device | None:
    """What this user agent says; None if it says nothing that is known. About half a millisecond, then cached."""
    if len(user_agent) > _LONGEST:
        return None
    found = parse(user_agent.encode("utf-8", "replace").decode())
    if found.user_agent is None and found.os is None and found.device is None:
        return None
    family = found.device.family if found.device else ""
    return Device(
        type=_type(user_agent, family, found.os.family if found.os else ""),
        manufacturer=(found.device.brand or "") if found.device and family != "Spider" else "",
        model=(found.device.model or "") if found.device and family != "Spider" else "",
        os=_versioned(found.os.family, found.os.major, found.os.minor) if found.os else None,
        browser=_versioned(found.user_agent.family, found.user_agent.major, found.user_agent.minor)
        if found.user_agent
        else None,
    )


def _type(user_agent: str, family: str, system: str) -> str:
    if family == "Spider":
        return "bot"
    if any(word in user_agent for word in _TABLETS) or (system == "Android" and "Mobile" not in user_agent):
        return "tablet"
    if system in ("iOS", "Android") or "Mobile" in user_agent:
        return "mobile"
    return "desktop" if system in _DESKTOP else ""


def _versioned(name: str, *numbers: str | None) -> Versioned:
    return Versioned(name, ".".join(number for number in numbers if number is not None))
