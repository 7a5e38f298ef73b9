"""Places of addresses, from a database that the test writes in MaxMind's format."""

import os
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from turnout.process.enrichment.geo import Geo
from turnout.process.enrichment.shelf import StoreUnavailableError


def written(path: Path, city: str = "Lyon", network: str = "192.0.2.0/24") -> Path:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-City")
    record = {
        "continent": {"code": "EU"},
        "country": {"iso_code": "FR", "names": {"en": "France", "fr": "France"}},
        "subdivisions": [{"iso_code": "ARA", "names": {"en": "Auvergne-Rhone-Alpes"}}],
        "city": {"names": {"en": city}},
        "postal": {"code": "69001"},
        "location": {"time_zone": "Europe/Paris", "latitude": 45.7, "longitude": 4.8},
    }
    writer.insert_network(IPSet([network]), record)
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"country": {"iso_code": "DE"}, "subdivisions": []})
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)
    return path


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


def test_a_place_in_full_and_one_of_which_little_is_known(tmp_path: Path) -> None:
    geo = Geo(written(tmp_path / "geo.mmdb"), Clock())
    assert geo.place("192.0.2.77") == {
        "continent": "EU",
        "country": "FR",
        "country_name": "France",
        "region": "ARA",
        "region_name": "Auvergne-Rhone-Alpes",
        "city": "Lyon",
        "postal_code": "69001",
        "timezone": "Europe/Paris",
    }, "and no coordinates: nobody needs to know it that well"
    assert geo.place("198.51.100.9") == {"country": "DE"}


@pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8::1", "no address", ""])
def test_an_address_of_which_nothing_is_known(tmp_path: Path, address: str) -> None:
    assert Geo(written(tmp_path / "geo.mmdb"), Clock()).place(address) is None


def test_a_new_file_is_used_within_seconds_and_a_broken_one_is_not(tmp_path: Path) -> None:
    clock = Clock()
    file = written(tmp_path / "geo.mmdb")
    geo = Geo(file, clock)
    assert geo.place("192.0.2.1") is not None
    written(file, city="Paris")
    clock.now_ms += 20_000
    place = geo.place("192.0.2.1")
    assert place is not None
    assert place["city"] == "Paris"
    broken = tmp_path / "broken"
    broken.write_bytes(b"no database")
    broken.replace(file)
    clock.now_ms += 20_000
    assert geo.place("192.0.2.1") == place
    os.unlink(file)
    clock.now_ms += 20_000
    assert geo.place("192.0.2.1") == place


def test_without_a_database_it_says_so_until_there_is_one(tmp_path: Path) -> None:
    clock = Clock()
    geo = Geo(tmp_path / "geo.mmdb", clock)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"geo\.mmdb"):
            geo.place("192.0.2.1")
    written(tmp_path / "geo.mmdb")
    clock.now_ms += 20_000
    assert geo.place("192.0.2.1") is not None
