"""`turnout replay`: recorded events of a running server through a draft; nothing is sent, nothing changes."""

import json
from pathlib import Path

import pytest

from tests.support.server import CONFIG, Server, until

DRAFT = (
    CONFIG
    + """
    cleansing:
      - {label: Small ones stay out, when: "value < 3", operation: filter_event}
"""
)


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    file = tmp_path / "draft.yaml"
    file.write_text(DRAFT)
    return file


def test_a_draft_is_compared_on_real_history_and_nothing_is_sent(tmp_path: Path, draft: Path) -> None:
    with Server(tmp_path / "data", CONFIG) as server:
        archive = server.data / "out" / "events.ndjson"
        for value in range(5):
            event = {"event_name": "order", "value": value, "context": {"event_id": f"o{value}"}}
            assert server.post(event)[0] == 200
        assert server.post({"event_name": "order", "value": 1}, query="tc_s=29&token=wrong")[0] == 200
        until(lambda: archive.exists() and len(archive.read_bytes().splitlines()) == 5, "the events to be archived")
        before = archive.read_bytes()
        told = tmp_path / "changes.ndjson"
        ran = server.run("replay", "--config", str(draft), "--to", str(told), "--from", "1h", "--json")
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert (report["events"], report["changed"]) == (6, 3)
        assert report["changes"] == {"status: valid → filtered": 3, "29/archive: send → not offered": 3}
        lines = [json.loads(line) for line in told.read_text().splitlines()]
        assert [line["event_id"] for line in lines] == ["o0", "o1", "o2"]
        assert lines[0]["before"]["destinations"] == {"29/archive": "send"}
        assert lines[0]["after"]["status"] == "filtered"
        words = server.run("replay", "--config", str(draft), "--limit", "2").stdout.decode()
        assert words.startswith("2 events, 2 would change")
        span = ("--from", "2001-01-01", "--to-time", "2002-01-01")
        assert server.run("replay", "--config", str(draft), *span).stdout.startswith(b"0 events, 0 would change")
        assert archive.read_bytes() == before
        assert server.audit()["closes"] is True


def test_a_draft_that_can_not_work_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(CONFIG.replace("type: file", "type: fil"))
    with Server(tmp_path / "data", CONFIG) as server:
        ran = server.run("replay", "--config", str(file))
    assert ran.returncode == 2
    assert b"unknown destination type 'fil'" in ran.stderr
