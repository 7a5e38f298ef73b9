"""Sends messages: mail over SMTP in a thread, the rest over HTTP under the egress policy. Failures are results."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage

import turnout
from turnout.control.alerts import channels
from turnout.control.alerts.words import Notice, Text
from turnout.destinations.answers import result_of
from turnout.destinations.interface import Request, Response
from turnout.model import mailserver
from turnout.model.alerts import Notification
from turnout.model.mailserver import MailServer
from turnout.model.outcome import DELIVERED, Result
from turnout.settings import Settings

_TIMEOUT_S = 10.0
_CAPTURE_BYTES = 2_048


async def send(
    settings: Settings, notification: Notification, notice: Notice, text: Text, message_id: str, now_ms: int
) -> Result:
    """One attempt on the notification's channel. Anything but `delivered` is worth another one."""
    if notification.channel != "EMAIL":
        secrets = (notification.url, notification.secret)
        request = channels.request(text, notice, notification, message_id, now_ms)
        return await _post(request, settings.egress_private == "allow", tuple(one for one in secrets if one))
    if not settings.smtp:
        return Result("error", "no_mail_server", "no mail server is set: set TURNOUT_SMTP and TURNOUT_MAIL_FROM")
    mail = channels.email(text, notification, settings.mail_from, message_id, notice.at_ms)
    return await asyncio.to_thread(_hand_over, mailserver.read(settings.smtp), mail)


async def _post(request: Request, allow_private: bool, secrets: tuple[str, ...]) -> Result:
    import aiohttp  # noqa: PLC0415 - megabytes, and only for who is told over HTTP

    from turnout.egress import EgressDeniedError, socket_factory  # noqa: PLC0415

    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=socket_factory(allow_private)),
                headers={"User-Agent": f"turnout/{turnout.__version__}", "Accept-Encoding": "identity"},
                auto_decompress=False,
            ) as session,
            session.request(
                request.method, request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer,
        ):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return result_of(Response(answer.status, headers, await answer.content.read(_CAPTURE_BYTES)), secrets)
    except TimeoutError:
        return Result("retry", "timeout", f"no complete answer within {_TIMEOUT_S:.0f} s")
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, EgressDeniedError):
            return Result("error", "egress_denied", str(error.os_error))
        return Result("retry", "connection_failed", f"no connection to {error.host}:{error.port}")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The text of an error may hold the URL, which is a secret.
        return Result("retry", "connection_failed", type(error).__name__)


def _hand_over(server: MailServer, mail: EmailMessage) -> Result:
    context = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=context)
            if server.security == "tls"
            else smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
        ) as connection:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.user:
                connection.login(server.user, server.password)
            refused = connection.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        return Result("retry", "recipients_refused", _refusals(error.recipients))
    except smtplib.SMTPResponseException as error:
        return Result("retry", "mail_refused", _said(error.smtp_code, error.smtp_error))
    except (smtplib.SMTPException, OSError) as error:
        return Result("retry", "mail_server_unreachable", str(error) or type(error).__name__)
    # The others have it: to try again would send it to them twice.
    return Result("delivered", "some_recipients_refused", _refusals(refused)) if refused else DELIVERED


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {_said(*answer)}" for address, answer in refused.items())


def _said(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())}"[:300]
