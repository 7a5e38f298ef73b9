"""Names of closed files, and packing them."""

import gzip
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.destinations.rotation import closed_name, pack, unpacked

NOW_MS = 1_795_493_700_123  # 2026-11-24T04:15:00.123Z
FIRST = "events-20261124T041500.123Z-000001.ndjson"


@pytest.mark.parametrize(
    ("path", "existing", "expected"),
    [
        ("events.ndjson", [], FIRST),
        ("events.ndjson", ["events.ndjson", "other-20271124T041500.123Z-000001.ndjson"], FIRST),
        ("events.ndjson", ["events-20251124T041500.123Z-000007.ndjson.gz"], FIRST),
        ("events.ndjson", [FIRST], "events-20261124T041500.123Z-000002.ndjson"),
        ("events.ndjson", [FIRST + ".gz"], "events-20261124T041500.123Z-000002.ndjson"),
        ("events.ndjson", ["events-20270101T000000.000Z-000009.ndjson"],
         "events-20270101T000000.000Z-000010.ndjson"),
        ("events", [], "events-20261124T041500.123Z-000001"),
        ("a.b.log", [], "a.b-20261124T041500.123Z-000001.log"),
        ("e[1].log", ["e1-20271124T041500.123Z-000001.log"], "e[1]-20261124T041500.123Z-000001.log"),
    ],
)  # fmt: skip
def test_names(path: str, existing: list[str], expected: str) -> None:
    assert closed_name(Path(path), NOW_MS, existing) == expected


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1, max_size=20))
def test_names_sort_in_the_order_of_closing_whatever_the_clock_does(times: list[int]) -> None:
    names: list[str] = []
    for now_ms in times:
        names.append(closed_name(Path("events.ndjson"), now_ms, names))
    assert names == sorted(set(names))


def test_packing_replaces_the_file(tmp_path: Path) -> None:
    file = tmp_path / FIRST
    file.write_bytes(b'{"a":1}\n' * 300_000)
    file.chmod(0o640)
    pack(file, Event())
    packed = tmp_path / f"{FIRST}.gz"
    assert list(tmp_path.iterdir()) == [packed]
    assert gzip.decompress(packed.read_bytes()) == b'{"a":1}\n' * 300_000
    assert packed.stat().st_mode & 0o777 == 0o640


def test_packing_that_is_stopped_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / FIRST
    file.write_bytes(b'{"a":1}\n')
    stop = Event()
    stop.set()
    pack(file, stop)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_left_to_pack(tmp_path: Path) -> None:
    second = FIRST.replace("000001", "000002")
    for name in (second, FIRST, f"{FIRST}.gz", f"{FIRST}.gz.tmp", "events.ndjson", "events-2.ndjson"):
        (tmp_path / name).touch()
    assert [file.name for file in unpacked(tmp_path / "events.ndjson")] == [FIRST, second]
