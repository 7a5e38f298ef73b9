"""Handing a configuration to running processes: done when each has said what it makes of exactly this text."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnout.control import configfile, factsfile, handover
from turnout.control.applied import Watcher, store
from turnout.control.handover import Handover, hand_over
from turnout.model.clock import now_ms
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


def put(data_dir: Path, text: str) -> Handover:
    store(data_dir, text)
    return hand_over(data_dir, configfile.version(text))


def test_it_is_done_when_every_process_uses_it(tmp_path: Path) -> None:
    with running(tmp_path, "collector", "worker"):
        done = put(tmp_path, GOOD)
    assert (done.following, done.late, done.refusal) == (["collector", "worker"], [], "")


def test_with_nothing_running_it_waits_for_nobody(tmp_path: Path) -> None:
    done = put(tmp_path, GOOD)
    assert (done.following, done.late, done.refusal) == ([], [], "")


def test_what_a_process_can_not_use_is_told_with_its_reason(tmp_path: Path) -> None:
    with running(tmp_path, "worker"):
        done = put(tmp_path, SECRET)
    assert "worker: " in done.refusal
    assert "the variable KEY is not set" in done.refusal
    assert done.following == []


def test_the_error_of_an_earlier_text_is_not_a_refusal_of_this_one(tmp_path: Path) -> None:
    store(tmp_path, "sites: {one: {sourcs: 1}}\n")
    with running(tmp_path, "worker"):
        done = put(tmp_path, GOOD)
    assert (done.refusal, done.following) == ("", ["worker"])


def test_who_does_not_look_in_time_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "WAIT_S", 0.2)
    with running(tmp_path, "worker", asleep=True):
        done = put(tmp_path, GOOD)
    assert (done.late, done.following, done.refusal) == (["worker"], [], "")
