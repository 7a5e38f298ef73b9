"""Sealed secrets: `${secret:v1:KEY:DATA}` in a configuration stands for a text that only the key file opens.

The cipher is AES-256-SIV (RFC 5297). It needs no random number: the same secret gives the same token, so applying a
file again changes nothing. All that a token tells is the length of its secret, and which tokens are equal (decision 7).

What must stay true: a key that has sealed something is never removed from the file, because old versions of the
configuration need it; the file is replaced whole and belongs to its owner alone.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from turnout.model.errors import SecretError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TOKEN = re.compile(r"\$\{secret:[^}]*\}")
"""A sealed secret, whatever its form."""

_FORM = re.compile(r"\$\{secret:v1:([0-9a-f]{8}):([A-Za-z0-9_-]+)\}")
_KEY_BYTES = 64
_HEAD = (
    "# Keys of turnout's sealed secrets, the newest first. Without them the secrets are lost: keep a copy elsewhere.\n"
)


class Secrets:
    """The keys in one file, which is made when something is sealed for the first time. Safe in threads."""

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """With `make` False a missing file is not made: what is sealed then can't be opened by anybody else."""
        self.path, self._make = path, make
        self._known: tuple[tuple[int, int, int] | None, list[bytes]] = (None, [])

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes when the file does; None: there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def seal(self, text: str) -> str:
        """The token of a text that is not empty. Raises `SecretError` if the key file can't be read or made."""
        keys = self._keys() or [self._first()]
        sealed = base64.urlsafe_b64encode(_cipher(keys[0]).encrypt(text.encode(), None)).decode().rstrip("=")
        return f"${{secret:v1:{_name(keys[0])}:{sealed}}}"

    def open(self, token: str) -> str:
        """The text of a token. Raises `SecretError` with what is wrong: the token, or the key file."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - megabytes, and only for sealed secrets

        form = _FORM.fullmatch(token)
        if form is None:
            raise SecretError("is no sealed secret of this release", "write what `turnout encrypt` prints")
        keys = {_name(key): key for key in self._keys()}
        if form[1] not in keys:
            there = "is not there" if self.stamp() is None else "does not have it"
            raise SecretError(f"is sealed with the key {form[1]}, and {self.path} {there}", self._help)
        try:
            sealed = base64.urlsafe_b64decode(form[2] + "=" * (-len(form[2]) % 4))
            return _cipher(keys[form[1]]).decrypt(sealed, None).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretError("is not as it was sealed", "copy the whole token, or seal the secret again") from error

    def rotate(self) -> str:
        """Put a new key in front; from now on it seals. Gives its name. Raises `SecretError`."""
        fresh = secrets.token_bytes(_KEY_BYTES)
        self._write([fresh, *(self._keys() or [self._first()])], replace=True)
        return _name(fresh)

    @property
    def _help(self) -> str:
        return "put the key file back, or name it with TURNOUT_SECRET_KEY_FILE"

    def _keys(self) -> list[bytes]:
        """The newest first; empty without a file."""
        stamp = self.stamp()
        if stamp is None:
            # What was made for this process alone, or nothing.
            return self._known[1] if not self._make else []
        if stamp != self._known[0]:
            self._known = (stamp, self._read())
        return self._known[1]

    def _read(self) -> list[bytes]:
        try:
            lines = self.path.read_text(encoding="ascii").splitlines()
            keys = [base64.b64decode(line, validate=True) for line in lines if line.strip() and line[0] != "#"]
        except OSError as error:
            raise SecretError(f"needs the key file, which can't be read: {error}", self._help) from error
        except (UnicodeDecodeError, binascii.Error) as error:
            raise SecretError(f"needs the key file, and {self.path} is none", self._help) from error
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise SecretError(f"needs the key file, and {self.path} is none", self._help)
        return keys

    def _first(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        if not self._make:
            self._known = (None, [key])
            return key
        self._write([key], replace=False)
        # Somebody else may have been faster: theirs counts.
        return self._keys()[0]

    def _write(self, keys: list[bytes], replace: bool) -> None:
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(_HEAD + "".join(base64.b64encode(key).decode() + "\n" for key in keys))
                file.flush()
                os.fsync(file.fileno())
            if replace:
                fresh.replace(self.path)
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, self.path)
                fresh.unlink()
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            message = f"the key file {self.path} can't be written: {error.strerror}"
            raise SecretError(message, "name another place with TURNOUT_SECRET_KEY_FILE") from error


def _cipher(key: bytes) -> "AESSIV":
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - as above

    return AESSIV(key)


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]
