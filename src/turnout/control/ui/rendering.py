"""Templates, and how times and numbers look in them. Everything is escaped; what is missing is an error."""

import hashlib
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from turnout.control.ui.words import Language, words

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


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
    )
    environment.globals |= {
        "_": words(language),
        "language": language,
        "static": f"/ui/static/{static_version()}",
    }
    environment.filters |= {"number": partial(number, language=language), "when": when}
    return environment


def number(value: int, language: Language) -> str:
    """A number with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f" if language == "fr" else ",")


def when(moment: str | None) -> Markup:
    """A time of the API as an element: in UTC here, in the reader's zone once scripts run. A dash for none."""
    if moment is None:
        return Markup("–")
    at = datetime.fromisoformat(moment)
    element = Markup('<time datetime="{}">{}</time>')
    return element.format(moment, f"{at:%Y-%m-%d %H:%M:%S} UTC")
