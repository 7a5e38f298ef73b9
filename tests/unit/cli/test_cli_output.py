"""What commands print: nothing that drives a terminal, and times that people write."""

import pytest

from turnout.cli.options import since_ms
from turnout.cli.output import printable
from turnout.cli.send import prepare


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain café 🛒", "plain café 🛒"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x9bb", "a\\x9bb"),
        ("\ud800", "\\ud800"),
        ("[bold]", "[bold]"),
    ],
)
def test_what_a_terminal_might_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


NOW = 1_000_000_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, 0),
        ("90s", NOW - 90_000),
        ("15m", NOW - 900_000),
        ("2h", NOW - 7_200_000),
        ("3d", NOW - 259_200_000),
        ("2001-09-09T01:46:40+00:00", NOW),
        ("2001-09-09T01:46:40Z", NOW),
    ],
)
def test_since_is_a_span_or_a_date(text: str | None, moment: int) -> None:
    assert since_ms(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "2", "h", "2w", "-2h", "yesterday", "2026-13-01"])
def test_a_since_that_means_nothing_ends_the_command_with_what_to_write(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        since_ms(text, NOW)
    assert ended.value.code == 2
    assert "write 90s, 15m, 2h or 3d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "event_id"),
    [
        (b'{"event_name": "a", "context": {"event_id": "x"}}', "x"),
        (b'{"event_name": "a", "event_id": "x"}', "x"),
        (b'{"event_name": "a", "context": {"event_id": 7}}', "7"),
        (b"[1]", ""),
        (b"{", ""),
        (b"\xff", ""),
        (b'{"event_name": "a", "context": 5}', ""),
        (b"[" * 5000, ""),
    ],
)
def test_an_event_with_an_id_or_that_is_none_is_sent_as_it_is(body: bytes, event_id: str) -> None:
    assert prepare(body) == (event_id, body)


@pytest.mark.parametrize(
    "body", [b'{"event_name": "a"}', b'{"context": {"page": {}}}', b'{"context": {"event_id": ""}}']
)
def test_an_event_without_an_id_gets_one_to_be_followed_by(body: bytes) -> None:
    event_id, sent = prepare(body)
    assert event_id
    assert f'"event_id":"{event_id}"'.encode() in sent
    assert prepare(sent) == (event_id, sent)
