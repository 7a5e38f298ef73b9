"""What is fixed when a process starts, declared once: environment variables, some of them options too.

What users change while it runs (sites, sources, destinations) is configuration and lives elsewhere.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from turnout.model import mailserver
from turnout.model.errors import ConfigError, Problem


def _about(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
PREFIX = "TURNOUT_"
_PREFIX_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is the environment variable `TURNOUT_` plus its name in capitals."""

    data: Annotated[str, _about("Data directory: everything the server keeps.")] = "turnout-data"
    config: Annotated[str, _about("Configuration file applied at start; empty: what was applied last.")] = ""
    collect: Annotated[str, _about("Where the collector listens, HOST:PORT.")] = "127.0.0.1:8080"
    control: Annotated[str, _about("Where control listens, HOST:PORT.")] = "127.0.0.1:8081"
    segment_bytes: Annotated[Count, _about("Size of one file of the log.")] = 64 << 20
    replay_days: Annotated[Count, _about("Days that events stay in the log, and dead letters with them.")] = 7
    log_bytes: Annotated[Count, _about("Byte budget of each of the log's two streams.")] = 20 << 30
    dead_letter_bytes: Annotated[Count, _about("Byte budget of dead letters; the oldest go first.")] = 4 << 30
    inspector_days: Annotated[Count, _about("Days that the inspector keeps records of what came in.")] = 7
    inspector_outgoing_hours: Annotated[Count, _about("Hours that the inspector keeps records of what went out.")] = 48
    inspector_bytes: Annotated[Count, _about("Byte budget of the inspector's records.")] = 4 << 30
    reserve_bytes: Annotated[
        int, msgspec.Meta(ge=0), _about("Free disk space below which nothing more is accepted.")
    ] = 256 << 20
    max_connections: Annotated[Count, _about("Client connections at the same time.")] = 10_000
    head_seconds: Annotated[Seconds, _about("Time a client has to send a request's headers.")] = 10.0
    body_seconds: Annotated[Seconds, _about("Time a client has to send a request's body.")] = 30.0
    idle_seconds: Annotated[Seconds, _about("Time an idle connection is kept open.")] = 75.0
    ready_lag: Annotated[Count, _about("Events waiting beyond which `/ready` says no.")] = 1_000_000
    egress_private: Annotated[
        Literal["allow", "deny"],
        _about("Whether destinations may be in private networks and on this machine."),
    ] = "allow"
    trusted_proxies: Annotated[
        str, _about("Addresses and networks, with commas between, of proxies whose X-Forwarded headers are believed.")
    ] = ""
    proxy_protocol: Annotated[
        Literal["on", "off"], _about("Whether trusted proxies begin each connection with a PROXY protocol header.")
    ] = "off"
    gateway_prefixes: Annotated[
        str,
        _about("Paths such as /metrics, with commas between, behind which a site's edge forwards to the collector."),
    ] = ""
    tls_cert: Annotated[
        str, _about("Certificate chain (PEM) for TLS on the collector; read again when it changes.")
    ] = ""
    tls_key: Annotated[str, _about("The certificate's key (PEM), without a password.")] = ""
    smtp: Annotated[
        str,
        _about(
            "Mail server for alerts: smtps://USER:PASSWORD@HOST:465, smtp://…:587 (STARTTLS, always), or"
            " smtp+plain://HOST:25 without encryption and password."
        ),
    ] = ""
    mail_from: Annotated[str, _about("The address that mails come from.")] = ""
    delivery_empty_404: Annotated[
        Literal["on", "off"],
        _about("Whether the documented operations on delivery answer 404 where there is nothing; off: zeros."),
    ] = "on"
    public_url: Annotated[
        str, _about("Where people reach the control port; links in messages begin with it. Empty: no links.")
    ] = ""

    secret_key_file: Annotated[
        str,
        _about(
            "Keys of the configuration's sealed secrets; empty: beside the data directory, with .key after its name."
        ),
    ] = ""

    @property
    def data_dir(self) -> Path:
        return Path(self.data)

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def stores_path(self) -> Path:
        """The data stores of enrichments."""
        return self.data_dir / "stores.db"

    @property
    def state_path(self) -> Path:
        return self.data_dir / "state.db"

    @property
    def control_url(self) -> str:
        """Where people reach the control port, as far as this machine knows; without a slash at its end."""
        host, _, port = self.control.rpartition(":")
        here = f"http://{'localhost' if host in ('0.0.0.0', '[::]') else host}:{port}"
        return self.public_url.rstrip("/") or here

    @property
    def secret_key_path(self) -> Path:
        return Path(self.secret_key_file) if self.secret_key_file else Path(f"{os.path.normpath(self.data)}.key")

    @property
    def proxies(self) -> tuple[str, ...]:
        """The addresses and networks in `trusted_proxies`."""
        return _listed(self.trusted_proxies)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The paths in `gateway_prefixes`."""
        return tuple(prefix.rstrip("/") for prefix in _listed(self.gateway_prefixes))

    @property
    def replay_ms(self) -> int:
        return self.replay_days * 86_400_000


def load(environment: Mapping[str, str], **options: str | None) -> Settings:
    """Settings from the environment, options (None: not given) first.

    An empty variable counts as not set. Raises `ConfigError` with every variable or option that can't be used.
    """
    given: dict[str, str] = {}
    names: dict[str, str] = {}
    for field in Settings.__struct_fields__:
        name = variable(field)
        option = options.get(field)
        if option is not None and option != environment.get(name):
            given[field], names[field] = option, f"--{field.replace('_', '-')}"
        elif environment.get(name):
            given[field], names[field] = environment[name], name
    problems = []
    listeners = ("collect", "control")
    for field in listeners:
        if field in given:
            try:
                address(given[field])
            except ValueError as error:
                problems.append(Problem(names[field], str(error), f"for example {default(field)}"))
    shared = given.get("collect", default("collect"))
    if not problems and shared == given.get("control", default("control")) and not str(shared).endswith(":0"):
        fix = "the control port is not for everyone; give it a port of its own"
        problems.append(Problem(next(names[field] for field in listeners if field in names), "is taken twice", fix))
    problems += _surroundings(given, names)
    problems += _messages(given, names)
    for field, value in given.items():
        try:
            msgspec.convert({field: value}, Settings, strict=False)
        except msgspec.ValidationError as error:
            wrong = f"{value!r} can't be used: {str(error).split(' - at')[0]}"
            problems.append(Problem(names[field], wrong, f"for example {default(field)}"))
    if problems:
        raise ConfigError(problems)
    return msgspec.convert(given, Settings, strict=False)


def _surroundings(given: Mapping[str, str], names: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the settings about proxies, paths and TLS."""
    problems = []
    for text in _listed(given.get("trusted_proxies", "")):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            message = f"{text!r} is neither an address nor a network"
            problems.append(Problem(names["trusted_proxies"], message, "for example 127.0.0.1,10.0.0.0/8"))
    for text in _listed(given.get("gateway_prefixes", "")):
        if not _PREFIX_PATH.fullmatch(text):
            problems.append(Problem(names["gateway_prefixes"], f"{text!r} is no path", "for example /metrics,/t"))
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if one in given and other not in given:
            problems.append(Problem(names[one], "is of no use alone", f"set {variable(other)} too"))
    if given.get("proxy_protocol") == "on":
        if "trusted_proxies" not in given:
            fix = f"set {variable('trusted_proxies')} to the load balancer's addresses"
            problems.append(Problem(names["proxy_protocol"], "is only believed of trusted proxies", fix))
        if "tls_cert" in given:
            fix = "end TLS at the load balancer, or let it pass connections on as they are"
            problems.append(Problem(names["proxy_protocol"], "does not go together with TLS on the collector", fix))
    return problems


def _messages(given: Mapping[str, str], names: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the settings for messages of alerts."""
    problems = []
    if "smtp" in given:
        try:
            mailserver.read(given["smtp"])
        except ValueError as error:
            problems.append(Problem(names["smtp"], str(error), "for example smtp://user:password@mail.example.org:587"))
        if "mail_from" not in given:
            fix = f"set {variable('mail_from')}, for example to turnout@example.org"
            problems.append(Problem(names["smtp"], "mails need an address that they come from", fix))
    if "mail_from" in given and not _ADDRESS.fullmatch(given["mail_from"]):
        problems.append(Problem(names["mail_from"], "is no address", "for example turnout@example.org"))
    if "public_url" in given and not _PUBLIC_URL.fullmatch(given["public_url"]):
        problems.append(Problem(names["public_url"], "is no URL", "for example https://turnout.example.org"))
    return problems


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for item in text.split(",") if (part := item.strip()))


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def default(field: str) -> object:
    """What a setting is unless someone says otherwise."""
    return getattr(Settings(), field)


def descriptions() -> dict[str, str]:
    """What each setting is for, by its name."""
    described = {}
    for field in msgspec.structs.fields(Settings):
        info = msgspec.inspect.type_info(field.type)
        assert isinstance(info, msgspec.inspect.Metadata)
        described[field.name] = str((info.extra_json_schema or {})["description"])
    return described


def strangers(environment: Mapping[str, str], others: Iterable[str]) -> list[Problem]:
    """Variables that begin like ours but mean nothing: most likely typing errors. `others` are known as well."""
    known = {*map(variable, Settings.__struct_fields__), *others}
    problems = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, 1, cutoff=0.85)
            fix = f"did you mean {close[0]}?" if close else "see `turnout serve --help`"
            problems.append(Problem(name, "is not a variable of turnout and has no effect", fix))
    return problems


def address(text: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" ("[::1]:80" for IPv6). Raises ValueError with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)
