"""Durations as the configuration and the API write them: ISO 8601, from weeks to seconds, such as PT30M or P1DT12H."""

import re
from typing import Annotated

from msgspec import Meta

_PARTS = ("W", "D", "H", "M", "S")
_MS = {"W": 604_800_000, "D": 86_400_000, "H": 3_600_000, "M": 60_000, "S": 1_000}
_FORM = r"P(?=.)(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?=.)(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?"

Duration = Annotated[str, Meta(pattern=rf"^{_FORM}$(?!\n)", description="A duration in ISO 8601.", examples=["PT1H"])]


def milliseconds(duration: str) -> int:
    """How long that is. Raises ValueError if it is no duration (months and years have no fixed length)."""
    found = re.fullmatch(_FORM, duration, re.ASCII)
    if found is None:
        raise ValueError(f"{duration!r} is no duration such as PT30M, PT4H or P1D")
    return sum(int(n) * _MS[part] for part, n in zip(_PARTS, found.groups(), strict=True) if n is not None)
