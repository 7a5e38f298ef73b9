"""Handing a configuration to running processes: done when each has said what it makes of exactly this text."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnout.control import factsfile, handover
from turnout.control.applied import Watcher, read, store
from turnout.control.handover import hand_over
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigError
from turnout.model.facts import Facts

GOOD = "sites: {one: {sources: {a: {type: web, key: k}}}}\n"
SECRET = "sites: {one: {sources: {a: {type: web, key: '${KEY}'}}}}\n"


@contextmanager
def running(data_dir: Path, *processes: str, asleep: bool = False) -> Iterator[None]:
    """Processes that follow the configuration like real ones, without `KEY` in their environment."""
    stop = threading.Event()
    watchers = {name: Watcher(data_dir, {}) for name in processes}

    def publish() -> None:
        for name, watcher in watchers.items():
            if not asleep:
                watcher.refresh()
            facts = Facts(process=name, pid=1, started_ms=0, beat_ms=now_ms(), config_error=watcher.error)
            facts.config_version, facts.config_seen = watcher.snapshot.version, watcher.seen
            factsfile.publish(data_dir, facts)

    def follow() -> None:
        while not stop.wait(0.01):
            publish()

    publish()
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_it_is_done_when_every_process_uses_it(tmp_path: Path) -> None:
    with running(tmp_path, "collector", "worker"):
        done = hand_over(tmp_path, GOOD, {})
    assert (done.following, done.late, done.refusal) == (["collector", "worker"], [], "")
    assert read(tmp_path) == GOOD


def test_with_nothing_running_it_waits_for_nobody(tmp_path: Path) -> None:
    done = hand_over(tmp_path, GOOD, {})
    assert (done.following, done.late, done.refusal) == ([], [], "")
    assert read(tmp_path) == GOOD


@pytest.mark.parametrize("before", [None, GOOD])
def test_a_refusal_puts_back_what_was_there(tmp_path: Path, before: str | None) -> None:
    if before is not None:
        store(tmp_path, before)
    with running(tmp_path, "worker"):
        done = hand_over(tmp_path, SECRET, {"KEY": "here alone"})
    assert "worker: " in done.refusal
    assert "the variable KEY is not set" in done.refusal
    assert read(tmp_path) == before


def test_the_error_of_an_earlier_text_is_not_a_refusal_of_this_one(tmp_path: Path) -> None:
    store(tmp_path, "sites: {one: {sourcs: 1}}\n")
    with running(tmp_path, "worker"):
        done = hand_over(tmp_path, GOOD, {})
    assert (done.refusal, done.following) == ("", ["worker"])


def test_a_wrong_text_touches_nothing(tmp_path: Path) -> None:
    store(tmp_path, GOOD)
    with pytest.raises(ConfigError):
        hand_over(tmp_path, "sites: []", {})
    assert read(tmp_path) == GOOD


def test_who_does_not_look_in_time_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "WAIT_S", 0.2)
    with running(tmp_path, "worker", asleep=True):
        done = hand_over(tmp_path, GOOD, {})
    assert (done.late, done.following, done.refusal) == (["worker"], [], "")
    assert read(tmp_path) == GOOD
