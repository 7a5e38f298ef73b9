"""Exceptions with a name. Anything a caller may want to handle is here; each docstring is its message."""

import msgspec


class TurnoutError(Exception):
    """Base of everything turnout raises on purpose: the text says what was wrong and what to do."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong in a configuration: where (`path`), what (`message`), and what to do (`fix`)."""

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}" + (f" ({self.fix})" if self.fix else "")


class ConfigError(TurnoutError):
    """A configuration that cannot be used. `problems` holds every error, each with its path and a fix."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class ConfigConflictError(TurnoutError):
    """The configuration was changed by somebody else since it was read; nothing was done."""


class ConfigRefusedError(TurnoutError):
    """A running process can't use what was applied; what was applied before is in place again."""


class SecretError(TurnoutError):
    """A secret that can't be sealed or opened; `message` says why, `fix` what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message} ({fix})")
        self.message, self.fix = message, fix


class AccountFieldError(TurnoutError):
    """Something of an account can't be so: `field` says what, the text why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class EmailTakenError(TurnoutError):
    """There is an account with this e-mail address already."""


class LastAdministratorError(TurnoutError):
    """Nobody else could administer a site any more; nothing was done."""


class LogUnavailableError(TurnoutError):
    """The log could not store the records; nothing of the call was kept and it may be repeated."""


class NewerFormatError(LogUnavailableError):
    """The log was written by a newer release; this one leaves it as it is."""


class LogFullError(LogUnavailableError):
    """The log is at its byte budget or the disk has no room left; nothing of the call was kept."""


class LeaseLostError(TurnoutError):
    """Another process owns this group's cursor, or this stream's write end."""


class ReceiptsUnavailableError(TurnoutError):
    """The receipts could not be read or written; nothing of the call was kept and it may be repeated."""


class ControlUnavailableError(TurnoutError):
    """The control plane's own store could not be read or written; nothing of the call was kept."""
