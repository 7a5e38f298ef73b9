"""Sealing what stands in clear: every text in a setting that is declared secret, by a destination type or for alerts.

A text with a variable in it is left as it is: whoever wrote it keeps the secret elsewhere. `$$` is a dollar sign before
and after.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping

import msgspec

from turnout.control import configfile
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import TOKEN, Secrets
from turnout.control.configuration.surgery import spliced
from turnout.control.yamlfile import expand, parse
from turnout.destinations import registry
from turnout.model.alerts import SECRET_SETTINGS
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError, Problem

_REFERENCE = re.compile(r"\$\{")

Path = tuple[str, ...]


class Sealed(msgspec.Struct, frozen=True):
    """A valid configuration without a secret in clear. `count` is how many were."""

    text: str
    snapshot: Snapshot
    count: int


def sealed(text: str, environment: Mapping[str, str], secrets: Secrets) -> Sealed:
    """Check a configuration and seal its secrets, every other byte kept.

    Raises `ConfigError` with all that is wrong with it, `SecretError` if the key file can't be read or made.
    """
    snapshot = configfile.load(text, environment, secrets)
    tokens = {path: secrets.seal(clear) for path, clear in in_clear(parse(text), environment)}
    if not tokens:
        return Sealed(text, snapshot, 0)
    for written in _written(text, tokens):
        with contextlib.suppress(ConfigError):
            after = configfile.load(written, environment, secrets)
            if _same(after, snapshot) and not any(in_clear(parse(written), environment)):
                return Sealed(written, after, len(tokens))
    raise ConfigError([Problem("", "its secrets can't be sealed in their places", "write them without aliases")])


def _written(text: str, tokens: Mapping[Path, str]) -> Iterator[str]:
    """Texts with the tokens in them: all at once in their places, or one by one, whatever is around them."""
    yield spliced(text, tokens)
    editor = Editor(text)
    for path, token in tokens.items():
        editor.put(path, token)
    yield editor.text


def _same(one: Snapshot, other: Snapshot) -> bool:
    return msgspec.structs.replace(one, version="") == msgspec.structs.replace(other, version="")


def sealed_anew(text: str, secrets: Secrets) -> str:
    """The text with every sealed secret sealed with the newest key. Raises `SecretError` if one can't be opened."""
    return TOKEN.sub(lambda token: secrets.seal(secrets.open(token[0])), text)


def in_clear(data: object, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Where secrets stand in clear in the plain value of a configuration, and what they are."""
    for site_path, site in _members(data, "sites"):
        for path, destination in _members(site, "destinations"):
            kind = expand(destination.get("type") if isinstance(destination, Mapping) else None, environment, "", [])
            for name in sorted(registry.secret_settings(kind) if isinstance(kind, str) else ()):
                settings = destination.get("settings") if isinstance(destination, Mapping) else None
                if isinstance(settings, Mapping) and name in settings:
                    yield from _texts((*site_path, *path, "settings", name), settings[name])
        enrichments = site.get("enrichments") if isinstance(site, Mapping) else None
        for index, one in enumerate(enrichments if isinstance(enrichments, list) else ()):
            api = one.get("api") if isinstance(one, Mapping) else None
            if isinstance(api, Mapping) and "headers" in api:
                yield from _texts((*site_path, "enrichments", str(index), "api", "headers"), api["headers"])
        for path, alert in _members(site, "alerts"):
            for told_path, told in _members(alert, "notify"):
                for name in SECRET_SETTINGS:
                    if isinstance(told, Mapping) and name in told:
                        yield from _texts((*site_path, *path, *told_path, name), told[name])


def _members(data: object, kind: str) -> Iterator[tuple[Path, object]]:
    members = data.get(kind) if isinstance(data, Mapping) else None
    for name, value in members.items() if isinstance(members, Mapping) else ():
        yield (kind, name), value


def _texts(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts((*path, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*path, str(index)), item)
    elif isinstance(value, str) and value and not _REFERENCE.search(value.replace("$$", "")):
        yield path, value.replace("$$", "$")
