"""From a request's `Authorization`, or its session, to a token, or to a refusal that tells nothing.

What must stay true: an unknown token and a wrong secret get the same answer after the same work. An address that
was wrong too often is not asked any more, apart from tokens that have worked since the start: otherwise a stranger
behind the same proxy could lock everybody out. A session that is over is nobody's mistake: pages that stay open ask
again and again, and are not to lock their owner out of the login. It changes something only with its CSRF token.
"""

import contextlib
import hmac
import threading
from collections import OrderedDict
from typing import Literal, NamedTuple

from turnout.control.access import sessions as sessions_module
from turnout.control.access import token as tokens_module
from turnout.control.access.logins import Logins
from turnout.control.access.sessions import Sessions
from turnout.control.access.token import Credential, Token
from turnout.control.access.tokens import Tokens
from turnout.model.errors import ControlUnavailableError, TurnoutError

Code = Literal[
    "MISSING_AUTHORIZATION_HEADER",
    "UNKNOWN_TOKEN_TYPE",
    "INVALID_TOKEN_TYPE",
    "UNKNOWN_TOKEN",
    "EXPIRED_TOKEN",
    "REVOKED_TOKEN",
    "UNKNOWN_SESSION",
    "CSRF_TOKEN_MISMATCH",
    "UNKNOWN_LOGIN",
    "UNKNOWN_LINK",
    "REQUEST_LIMIT_REACHED",
]
_SAID: dict[Code, str] = {
    "MISSING_AUTHORIZATION_HEADER": "send the header `Authorization: Bearer <token>`",
    "UNKNOWN_TOKEN_TYPE": "the header Authorization has no type: write `Bearer <token>`",
    "INVALID_TOKEN_TYPE": "the header Authorization has another type than Bearer",
    "UNKNOWN_TOKEN": "this token is not known",
    "EXPIRED_TOKEN": "this token has expired",
    "REVOKED_TOKEN": "this token was revoked",
    "UNKNOWN_SESSION": "this session is over: log in",
    "CSRF_TOKEN_MISMATCH": "the header X-CSRF-Token is not that of the session: load the page anew",
    "UNKNOWN_LOGIN": "the e-mail address or the password is wrong",
    "UNKNOWN_LINK": "this link was used or has expired: ask for another one",
    "REQUEST_LIMIT_REACHED": "too many failed logins from this address",
}
_NOBODY = "0" * 64
_REMEMBERED = 1_024


class LoginRefusedError(TurnoutError):
    """No token, or none that counts. `code` says why; `wait_ms` is 0 unless the address has to wait."""

    def __init__(self, code: Code, wait_ms: int = 0) -> None:
        super().__init__(_SAID[code])
        self.code, self.wait_ms = code, wait_ms


class Visit(NamedTuple):
    """The session that a request is part of: its secret, the CSRF token as sent, and whether it changes anything."""

    secret: str
    csrf: str
    changes: bool


class Gate:
    """Safe in threads."""

    def __init__(self, tokens: Tokens, sessions: Sessions, logins: Logins) -> None:
        self._tokens, self._sessions, self._logins = tokens, sessions, logins
        self._worked: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, authorization: str | None, address: str, now_ms: int, visit: Visit | None = None) -> Token:
        """The token of a request; without `Authorization`, what the owner of its session may do.

        Raises `LoginRefusedError`, `ControlUnavailableError`.
        """
        if not authorization or not authorization.strip():
            if visit is None:
                raise LoginRefusedError("MISSING_AUTHORIZATION_HEADER")
            return self._visitor(visit, address, now_ms)
        kind, _, text = authorization.strip().partition(" ")
        credential = tokens_module.read(text.strip()) if kind.lower() == "bearer" else None
        if not self._has_worked(credential) and (wait_ms := self._logins.wait_ms(address, now_ms)):
            raise LoginRefusedError("REQUEST_LIMIT_REACHED", wait_ms)
        try:
            token = self._known(kind, text, credential, now_ms)
        except LoginRefusedError:
            self._logins.failed(address, now_ms)
            raise
        with contextlib.suppress(ControlUnavailableError):  # a full disk must not keep anybody from looking
            self._tokens.used(token, now_ms)
        return token

    def _visitor(self, visit: Visit, address: str, now_ms: int) -> Token:
        if not sessions_module.is_secret(visit.secret):
            if wait_ms := self._logins.wait_ms(address, now_ms):
                raise LoginRefusedError("REQUEST_LIMIT_REACHED", wait_ms)
            self._logins.failed(address, now_ms)
            raise LoginRefusedError("UNKNOWN_SESSION")
        found = self._sessions.find(visit.secret, now_ms)
        if found is None:
            raise LoginRefusedError("UNKNOWN_SESSION")
        account, csrf = found
        if visit.changes and not hmac.compare_digest(visit.csrf.encode(), csrf.encode()):
            raise LoginRefusedError("CSRF_TOKEN_MISMATCH")
        return account.token()

    def _known(self, kind: str, text: str, credential: Credential | None, now_ms: int) -> Token:
        if not text:
            raise LoginRefusedError("UNKNOWN_TOKEN_TYPE")
        if kind.lower() != "bearer":
            raise LoginRefusedError("INVALID_TOKEN_TYPE")
        found = self._tokens.find(credential.id) if credential is not None else None
        token, digest = found or (None, _NOBODY)
        right = credential is not None and tokens_module.same(credential, digest)
        if credential is None or token is None or not right:
            raise LoginRefusedError("UNKNOWN_TOKEN")
        if token.revoked_ms is not None:
            raise LoginRefusedError("REVOKED_TOKEN")
        if token.expires_ms is not None and token.expires_ms <= now_ms:
            raise LoginRefusedError("EXPIRED_TOKEN")
        with self._lock:
            self._worked[token.id] = digest
            self._worked.move_to_end(token.id)
            while len(self._worked) > _REMEMBERED:
                self._worked.popitem(last=False)
        return token

    def _has_worked(self, credential: Credential | None) -> bool:
        if credential is None:
            return False
        with self._lock:
            digest = self._worked.get(credential.id, _NOBODY)
        return tokens_module.same(credential, digest)
