"""The tag as it is served: small, whole, compressed, and not sent again to who has it."""

import gzip
import re
from pathlib import Path

import pytest

from turnout.collect import tag


def test_the_tag_is_smaller_than_4_kb_gzipped() -> None:
    answer = tag.answer(b"gzip, deflate, br, zstd", None)
    assert dict(answer.headers)["Content-Encoding"] == "gzip"
    assert len(answer.body) < 4096
    assert gzip.decompress(answer.body) == tag.load().body


def test_what_is_left_out_are_comments_and_no_text_of_the_script() -> None:
    source = Path(tag.__file__).with_name("tag.js").read_text("utf-8")
    assert [line for line in source.splitlines() if re.match(r"[^']*('[^']*'[^']*)*'[^']*/\*\*", line)] == []
    served = tag.load().body.decode()
    assert "`" not in served, "a template could go over the end of a line"
    assert [line for line in served.splitlines() if "/**" in line or line.startswith(("//", "*"))] == []
    code = [line.strip() for line in source.splitlines() if re.match(r" +[^ */]", line) and "/**" not in line]
    assert [line for line in code if f"\n{line}\n" not in served] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/** a\n * b */\n  x();\n", "x();\n"),
        ("// a\nx(); // stays\n\n\ny();", "x(); // stays\ny();\n"),
        ("let a = /** @type {any} */ (b);", "let a =  (b);\n"),
        ("a.replace(/\\/*$/, '//');\n", "a.replace(/\\/*$/, '//');\n"),
    ],
)
def test_comments_are_recognised(source: str, expected: str) -> None:
    assert tag.compact(source) == expected


@pytest.mark.parametrize(
    ("accept", "packed"),
    [
        (None, False),
        (b"", False),
        (b"br", False),
        (b"gzip", True),
        (b"GZIP;q=0.5", True),
        (b"deflate, gzip;q=1.0, *;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"\xff,gzip", True),
    ],
)
def test_it_is_compressed_for_who_takes_it(accept: bytes | None, packed: bool) -> None:
    answer = tag.answer(accept, None)
    assert ("Content-Encoding", "gzip") in answer.headers if packed else answer.body == tag.load().body
    assert ("Vary", "Accept-Encoding") in answer.headers
    assert ("Content-Type", "text/javascript; charset=utf-8") in answer.headers


def test_who_has_it_is_told_so() -> None:
    etag = tag.load().etag
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', etag)
    known = (etag, etag.removeprefix("W/"), f'"x", {etag}', "*")
    assert {tag.answer(None, header.encode()).status for header in known} == {304}
    assert {tag.answer(None, header).status for header in (None, b"", b'"x"', b"\xff")} == {200}
    unchanged = tag.answer(b"gzip", etag.encode())
    assert unchanged.body == b""
    assert {"ETag", "Cache-Control", "Vary"} <= {name for name, _ in unchanged.headers}
