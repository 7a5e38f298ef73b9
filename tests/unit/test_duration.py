"""Durations: what they are worth, and what is none."""

import msgspec
import pytest

from turnout.model.duration import Duration, milliseconds


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("PT0S", 0),
        ("PT45S", 45_000),
        ("PT30M", 1_800_000),
        ("PT1H", 3_600_000),
        ("PT1H30M", 5_400_000),
        ("P1D", 86_400_000),
        ("P1DT12H", 129_600_000),
        ("P2W", 1_209_600_000),
    ],
)
def test_a_duration_is_so_long(text: str, ms: int) -> None:
    assert milliseconds(msgspec.convert(text, Duration)) == ms


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1h", "P1M", "P1Y", "PT1.5H", "P1DT", "pt1h", "PT1H ", "PT1H\n", "-PT1H"]
)
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        milliseconds(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Duration)
