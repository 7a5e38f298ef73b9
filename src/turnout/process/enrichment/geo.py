"""Where an address is, by a database in MaxMind's format that the operator supplies and renews."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import maxminddb

from turnout.model.clock import Clock
from turnout.process.enrichment.shelf import StoreUnavailableError

_CHECKED_EVERY_MS = 10_000
_LANGUAGE = "en"

Found = dict[str, object]


class _Opened(NamedTuple):
    reader: maxminddb.Reader
    stamp: tuple[int, int]


class Geo:
    """One database. A file that replaces another is in use within seconds; the old one serves until it can be read."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._opened: _Opened | None = None
        self._check_ms = 0

    def place(self, address: str) -> Found | None:
        """What is known of an address, as properties of `context.geo`; None if nothing is.

        Raises `StoreUnavailableError` if there is no database to look into.
        """
        reader = self._reader()
        try:
            found = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None
        return _properties(found) if isinstance(found, dict) else None

    def _reader(self) -> maxminddb.Reader:
        if self._opened is None or self._clock() >= self._check_ms:
            self._check_ms = self._clock() + _CHECKED_EVERY_MS
            self._refresh()
        if self._opened is None:
            raise StoreUnavailableError(f"{self._path} is no geo database that can be read")
        return self._opened.reader

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if self._opened is None or self._opened.stamp != stamp:
                self._opened = _Opened(maxminddb.open_database(self._path), stamp)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            if self._opened is None:
                raise StoreUnavailableError(f"{self._path}: {error}") from error


def _properties(record: Mapping[str, object]) -> Found | None:
    country, city = _inner(record, "country"), _inner(record, "city")
    regions = record.get("subdivisions")
    region = regions[0] if isinstance(regions, list) and regions and isinstance(regions[0], dict) else {}
    found: Found = {
        "continent": _inner(record, "continent").get("code"),
        "country": country.get("iso_code"),
        "country_name": _name(country),
        "region": region.get("iso_code"),
        "region_name": _name(region),
        "city": _name(city),
        "postal_code": _inner(record, "postal").get("code"),
        "timezone": _inner(record, "location").get("time_zone"),
    }
    return {name: value for name, value in found.items() if isinstance(value, str)} or None


def _inner(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _name(part: Mapping[str, object]) -> object:
    return _inner(part, "names").get(_LANGUAGE)
