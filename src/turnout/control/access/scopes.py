"""What a token may do (`config-api.md` B11): scopes, and the roles that stand for sets of them."""

from collections.abc import Iterable, Mapping
from typing import Literal

Role = Literal["viewer", "editor", "admin", "custom"]

SCOPES: Mapping[str, str] = {
    "sources:read": "see sources",
    "sources:write": "create, change, disable and delete sources",
    "sources:keys": "see, rotate and revoke the keys of sources",
    "destinations:read": "see destinations; their secrets are never shown",
    "destinations:write": "create, change, disable and delete destinations",
    "inspector:read": "see events and what became of them, personal data masked",
    "inspector:pii": "see personal data; every look is recorded",
    "delivery:read": "see what waits and what failed",
    "replay:read": "see replays",
    "replay:write": "send again what failed",
    "erasures:read": "see what was erased",
    "erasures:write": "erase a person for good",
    "alerts:read": "see alerts",
    "alerts:write": "create, change and delete alerts",
    "audit:read": "see who did what",
    "tokens:write": "create and revoke tokens",
    "accounts:write": "create, change and delete accounts",
    "admin": "everything",
}

_VIEWER = frozenset(scope for scope in SCOPES if scope.endswith(":read"))
_EDITOR = frozenset(SCOPES) - {"erasures:write", "tokens:write", "accounts:write", "admin"}
ROLES: Mapping[str, frozenset[str]] = {"viewer": _VIEWER, "editor": _EDITOR, "admin": frozenset(SCOPES)}
"""Roles are names for sets, resolved at each use: a later release may give a role what is new in it."""


def granted(role: Role, scopes: Iterable[str]) -> frozenset[str]:
    """The scopes of a token. With the role `custom` they are `scopes` alone; `admin` among them means all."""
    own = ROLES.get(role, frozenset(scopes))
    return frozenset(SCOPES) if "admin" in own else own
