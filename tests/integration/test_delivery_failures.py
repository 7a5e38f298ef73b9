"""Partners that fail in every way, all at once: each event's outcome, attempts and reason, and its way back."""

import json
from collections.abc import Iterator

import pytest

from tests.support.partners import OK, Partner, Reply, Town, answer
from tests.support.server import BACKEND, KEY, Server, until

EVENT_ID = "one-event"
BUSY = answer("503 Service Unavailable", "Retry-After: 1", body="later")
FAILURES: dict[str, tuple[tuple[Reply, ...], str, str, int]] = {
    # name: (replies, outcome, reason, attempts)
    "well": ((OK,), "delivered", "", 1),
    "created": ((answer("201 Created", body="{}"),), "delivered", "", 1),
    "flaky": ((answer("500 Oops"), answer("502 Bad"), OK), "delivered", "", 3),
    "asks-for-time": ((BUSY, OK), "delivered", "", 2),
    "limits": ((answer("429 Too Many Requests", "Retry-After: 1"), OK), "delivered", "", 2),
    "timeout-once": (("never", OK), "delivered", "", 2),
    "always-500": ((answer("500 Oops", body="boom"),), "error", "500_internal_server_error", 3),
    "never": (("never",), "error", "timeout", 3),
    "drip": (("drip",), "error", "timeout", 3),
    "hangs-up": (("close",), "error", "connection_failed", 3),
    "garbage": ((b"SSH-2.0-OpenSSH_9.6\r\n\r\n\x00\xff",), "error", "bad_response", 3),
    "cut-off": ((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",), "error", "bad_response", 3),
    "redirects": ((answer("302 Found", "Location: /elsewhere"),), "error", "302_found", 1),
    "bad-request": ((answer("400 Bad Request", body="no id"),), "error", "400_bad_request", 1),
    "not-found": ((answer("404 Not Found"),), "error", "404_not_found", 1),
    "far-too-long": ((answer("429 Slow", "Retry-After: 90000"),), "error", "429_too_many_requests", 1),
}
PATIENCE_MS = {"timeout-once": 4_000, "never": 1_500, "drip": 1_500}
REFUSED = "refused"
UNTOUCHED = {
    "other-names": "sources: [backend], event_names: [search]",
    "other-source": "sources: [shop]",
    "dry": "sources: [backend], dry_mode: true",
    "switched-off": "sources: [backend], status: inactive",
}


class Scene:
    """A server whose destinations are these partners, after one event for all of them."""

    def __init__(self, server: Server, partners: dict[str, Partner], town: Town) -> None:
        self.server, self.partners, self.town = server, partners, town
        self.first: dict[str, dict[str, object]] = {}
        """What became of the event before anybody replayed it, by destination."""

    def fates(self) -> dict[str, dict[str, object]]:
        """What became of the event, by destination."""
        (found,) = self.server.trace(EVENT_ID)
        assert isinstance(found["destinations"], list)
        return {fate["destination"].removeprefix("29/"): fate for fate in found["destinations"]}

    def settled(self) -> bool:
        fates = self.fates()
        # Those that are filtered or dry are here too.
        return len(fates) >= len(FAILURES) + 3 and not {"pending", "waiting"} & {
            str(f["outcome"]) for f in fates.values()
        }

    def json(self, *arguments: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.server.run(*arguments, "--json").stdout)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    partners = {name: Partner(*replies) for name, (replies, *_) in FAILURES.items()}
    partners |= {name: Partner() for name in (REFUSED, *UNTOUCHED)}
    destination = '      {}: {{type: webhook, {}, settings: {{url: "{}"}},'
    destination += " delivery: {{backoff_s: 0.05, max_attempts: 3, timeout_ms: {}}}}}"
    lines = [
        destination.format(name, UNTOUCHED.get(name, "sources: [backend]"), partner.url, PATIENCE_MS.get(name, 30_000))
        for name, partner in partners.items()
    ]
    config = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    destinations:
{chr(10).join(lines)}
"""
    data = tmp_path_factory.mktemp("failures") / "data"
    with Town(*partners.values()) as town, Server(data, config) as server:
        town.down(partners[REFUSED])
        one = Scene(server, partners, town)
        status, _ = server.post({"event_name": "purchase", "context": {"event_id": EVENT_ID}, "id": "O1"})
        assert status == 200
        until(one.settled, "every outcome")
        one.first = one.fates()
        yield one
        report = server.audit()
        assert report["closes"], report


def test_the_sums_close_over_all_of_it(scene: Scene) -> None:
    report = scene.server.audit()
    assert report["closes"], report
    assert isinstance(report["destinations"], list)
    for one in report["destinations"]:
        assert one["offered"] == sum(one["outcomes"].values())
        untouched = one["destination"].removeprefix("29/") in ("other-source", "switched-off")
        assert (one["offered"], one["lag"], one["drift"]) == (0 if untouched else 1, 0, 0)


@pytest.mark.parametrize("name", FAILURES)
def test_outcome_attempts_and_reason(scene: Scene, name: str) -> None:
    _, outcome, reason, attempts = FAILURES[name]
    fate = scene.first[name]
    assert (fate["outcome"], fate["reason"], fate["attempts"]) == (outcome, reason, attempts)
    received = scene.partners[name].received
    assert len(received) == attempts
    assert {request.headers["idempotency-key"] for request in received} == {f"{EVENT_ID}:29/{name}"}


def test_nobody_listens(scene: Scene) -> None:
    fate = scene.first[REFUSED]
    assert (fate["outcome"], fate["reason"], fate["attempts"]) == ("error", "connection_failed", 3)


@pytest.mark.parametrize("name", ["asks-for-time", "limits"])
def test_retry_after_is_a_lower_bound(scene: Scene, name: str) -> None:
    first, second = scene.partners[name].received
    assert second.at_s - first.at_s >= 1.0


@pytest.mark.parametrize(
    ("name", "outcome", "reason"), [("other-names", "filtered", "event_name"), ("dry", "dry_run", "")]
)
def test_what_is_offered_but_not_sent(scene: Scene, name: str, outcome: str, reason: str) -> None:
    assert scene.partners[name].received == []
    assert (scene.first[name]["outcome"], scene.first[name]["reason"]) == (outcome, reason)


@pytest.mark.parametrize("name", ["other-source", "switched-off"])
def test_what_is_not_offered(scene: Scene, name: str) -> None:
    assert scene.partners[name].received == []
    assert name not in scene.first


def test_a_redirect_is_not_followed_with_the_event(scene: Scene) -> None:
    assert [request.path for request in scene.partners["redirects"].received] == ["/in"]


def test_the_partners_words_are_kept_with_a_dead_letter(scene: Scene) -> None:
    (letter,) = scene.json("dead", "list", "--destination", "bad-request")
    assert (letter["event_id"], letter["reason"], letter["detail"]) == (EVENT_ID, "400_bad_request", "no id")
    assert (letter["destination"], letter["event_name"], letter["attempts"]) == ("29/bad-request", "purchase", 1)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], {name for name, row in FAILURES.items() if row[1] == "error"} | {REFUSED}),
        (["--destination", "29/garbage"], {"garbage"}),
        (["--reason", "timeout"], {"never", "drip"}),
        (["--reason", "timeout", "--destination", "drip"], {"drip"}),
        (["--since", "1h", "--reason", "404_not_found"], {"not-found"}),
        (["--reason", "none such"], set()),
    ],
)
def test_dead_letters_by_filter(scene: Scene, options: list[str], names: set[str]) -> None:
    found = scene.json("dead", "list", *options)
    assert {str(letter["destination"]).removeprefix("29/") for letter in found} == names
    said = scene.server.run("dead", "replay", "--dry-run", *options).stdout.decode()
    assert said.startswith(f"{len(names)} dead letters would be tried again")


def test_replay_reaches_a_partner_that_is_well_again(scene: Scene) -> None:
    for name in ("always-500", "not-found", REFUSED):
        scene.partners[name].replies = (OK,)
    scene.town.up(scene.partners[REFUSED])
    chosen = [
        ["--destination", REFUSED, "--since", "1h"],
        ["--reason", "404_not_found"],
        ["--destination", "always-500"],
    ]
    for options in chosen:
        said = scene.server.run("dead", "replay", *options).stdout.decode()
        assert said.startswith("1 dead letters are tried again"), said
    until(scene.settled, "outcomes of the replay")
    fates = scene.fates()
    assert {name: fates[name]["outcome"] for name in ("always-500", "not-found", REFUSED)} == {
        "always-500": "delivered",
        "not-found": "delivered",
        REFUSED: "delivered",
    }
    assert scene.json("dead", "list", "--destination", REFUSED) == []
    assert len(scene.partners["bad-request"].received) == 1, "what was not chosen is not tried"
    assert scene.server.audit()["closes"]


def test_replay_to_a_partner_that_still_refuses_ends_as_before(scene: Scene) -> None:
    before = len(scene.partners["bad-request"].received)
    scene.server.run("dead", "replay", "--destination", "bad-request")
    until(lambda: len(scene.partners["bad-request"].received) > before, "another attempt")
    until(scene.settled, "the outcome")
    (letter,) = scene.json("dead", "list", "--destination", "bad-request")
    assert (letter["reason"], scene.fates()["bad-request"]["outcome"]) == ("400_bad_request", "error")
