"""Answer in, outcome out (`destinations.md` §1 and §2)."""

import pytest

from turnout.destinations.answers import reason_of, result_of, retry_after_s
from turnout.destinations.interface import Response


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "delivered", ""),
        (202, "delivered", ""),
        (299, "delivered", ""),
        (101, "error", "101_switching_protocols"),
        (302, "error", "302_found"),
        (304, "error", "304_not_modified"),
        (400, "error", "400_bad_request"),
        (401, "error", "401_unauthorized"),
        (404, "error", "404_not_found"),
        (408, "retry", "408_request_timeout"),
        (413, "error", "413_content_too_large"),
        (418, "error", "418_im_a_teapot"),
        (422, "error", "422_unprocessable_content"),
        (425, "retry", "425_too_early"),
        (429, "retry", "429_too_many_requests"),
        (499, "error", "499"),
        (500, "retry", "500_internal_server_error"),
        (502, "retry", "502_bad_gateway"),
        (503, "retry", "503_service_unavailable"),
        (599, "retry", "599"),
        (600, "error", "600"),
    ],
)
def test_status(status: int, kind: str, reason: str) -> None:
    result = result_of(Response(status, {}))
    assert (result.kind, result.reason) == (kind, reason)
    if reason:
        assert reason_of(status) == reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "Tue, 24 Nov 2026 04:02:00 GMT", "date": "Tue, 24 Nov 2026 04:00:00 GMT"}, 120.0),
        ({"retry-after": "Tue, 24 Nov 2026 03:00:00 GMT", "date": "Tue, 24 Nov 2026 04:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 24 Nov 2026 04:02:00 GMT"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 04:02:00", "date": "Tue, 24 Nov 2026 04:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
    assert result_of(Response(503, headers)).retry_after_s == seconds


def test_the_detail_is_one_short_printable_line_without_secrets() -> None:
    answer = Response(400, {}, b'\x1b[31m{"error":\n "key s3cret-key is wrong"}' + b"\xff" * 5000)
    detail = result_of(answer, ["s3cret-key"]).detail
    assert detail.startswith('[31m{"error": "key *** is wrong"}')
    assert len(detail) == 300
    assert detail.isprintable()


def test_a_packed_answer_is_not_shown() -> None:
    assert result_of(Response(500, {"content-encoding": "gzip"}, b"\x1f\x8b\x08")).detail == ""
