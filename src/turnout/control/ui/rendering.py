"""Templates, and how times, numbers and events look in them. Everything is escaped; what is missing is an error."""

import hashlib
import json
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from turnout.control.ui import charts
from turnout.control.ui.words import Language, words

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STEPS = ((60_000, 1_000, "s"), (3_600_000, 60_000, "min"), (86_400_000, 3_600_000, "h"))


def render(template: str, language: Language, data: dict[str, object]) -> bytes:
    """A page. Raises jinja2's errors for a template that is not right."""
    return _environment(language).get_template(template).render(data).encode()


@cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """Style sheets, scripts and images by their names: the bytes and the media type."""
    return {
        path.name: (path.read_bytes(), _TYPES[path.suffix])
        for path in sorted((_HERE / "static").iterdir())
        if path.suffix in _TYPES
    }


@cache
def static_version() -> str:
    """Changes with any of them: part of their address, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for name, (body, _) in static_files().items():
        digest.update(f"{name} {len(body)} ".encode() + body)
    return digest.hexdigest()[:12]


@cache
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
    )
    said = words(language)
    environment.globals |= {
        "_": said,
        "many": said.many,
        "language": language,
        "static": f"/ui/static/{static_version()}",
        "sparkline": charts.sparkline,
        "columns": charts.columns,
    }
    environment.filters |= {
        "number": lambda value: number(value, language),
        "percent": lambda value: percent(value, language),
        "when": _when,
        "pretty": pretty,
        "size": lambda value: size(value, language),
        "duration": duration,
    }
    return environment


def number(value: float | None, language: Language) -> str:
    """A number with its thousands apart; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return text.replace(",", "\u202f").replace(".", ",") if language == "fr" else text


def percent(value: float | None, language: Language) -> str:
    """A ratio as a percentage, never rounded up to 100 %."""
    if value is None:
        return "–"
    shown = f"{int(value * 1000) / 10:g}"
    return f"{shown.replace('.', ',')}\u202f%" if language == "fr" else f"{shown}%"


def size(value: int, language: Language) -> str:
    """Bytes in the unit that suits them."""
    amount, units = float(value), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= 1000 and unit != "TB":
        amount, unit = amount / 1000, next(units)
    text = f"{amount:.1f}" if amount < 10 and unit != "B" else f"{amount:.0f}"
    if language == "fr":
        text, unit = text.replace(".", ","), unit.replace("B", "o")
    return f"{text}\u202f{unit}"


def duration(ms: int | None) -> str:
    """A time span, in its largest unit."""
    if ms is None:
        return "–"
    if ms < 1_000:
        return f"{ms}\u202fms"
    for below, unit_ms, unit in _STEPS:
        if ms < below:
            return f"{ms // unit_ms}\u202f{unit}"
    return f"{ms // 86_400_000}\u202fd"


@pass_context
def _when(context: Context, moment: str | int | None) -> Markup:
    """A time of the API as an element: in UTC here, in the reader's zone once scripts run."""
    if moment is None or moment == "":
        return Markup("–")
    at = (
        datetime.fromtimestamp(moment / 1000, UTC)
        if isinstance(moment, int)
        else datetime.fromisoformat(moment.replace("Z", "+00:00"))
    )
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )


def pretty(value: object) -> str:
    """JSON to read: indented, and what is text already as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)


def marked(text: str, found: str) -> Markup:
    """A text with what was searched for marked."""
    if not found:
        return escape(text)
    parts = re.split(f"({re.escape(found)})", text, flags=re.IGNORECASE)
    return Markup("").join(
        Markup("<mark>{}</mark>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )
