"""An API token and its secret. The secret is 256 random bits, so a plain hash keeps it (decision 6).

As text: `trn_`, the public half of the id, `_`, the secret. Secret scanners find it by its beginning.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal, NamedTuple

import msgspec

from turnout.control.access import ids
from turnout.control.access.scopes import Role, granted

ALL_SITES = "*"
_ID = "tok_"
_PREFIX = "trn_"
_FORM = re.compile(rf"{_PREFIX}([0-9a-z]{{{ids.LENGTH}}})_([A-Za-z0-9_-]{{43}})")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a token but its secret. Times are in ms; `expires_ms` None means never."""

    id: str
    name: str
    role: Role
    sites: tuple[str, ...]
    own_scopes: tuple[str, ...] = ()
    """Only with the role `custom`."""
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None

    @property
    def scopes(self) -> frozenset[str]:
        """What it may do, on each of its sites."""
        return granted(self.role, self.own_scopes)

    def state(self, now_ms: int) -> Literal["active", "expired", "revoked"]:
        """Whether it opens anything at this time."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "active"

    def opens(self, site: str) -> bool:
        """Whether it is for this site, whether or not there is such a site."""
        return ALL_SITES in self.sites or site in self.sites


class Credential(NamedTuple):
    """The two halves of a token's text."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """What its owner keeps."""
        return f"{_PREFIX}{self.id.removeprefix(_ID)}_{self.secret}"

    @property
    def digest(self) -> str:
        """What is stored."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def mint(now_ms: int) -> Credential:
    """A credential that nobody has seen before."""
    return renewed(ids.fresh(_ID, now_ms))


def renewed(token_id: str) -> Credential:
    """A credential with this id and a secret that nobody has seen before."""
    return Credential(token_id, secrets.token_urlsafe(32))


def read(text: str) -> Credential | None:
    """The credential in a text; None if it has not the form of one."""
    found = _FORM.fullmatch(text)
    return Credential(_ID + found[1], found[2]) if found else None


def same(credential: Credential, digest: str) -> bool:
    """Whether this is the secret of that digest, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(credential.digest, digest)
