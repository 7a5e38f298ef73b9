"""`keys` of a source: further keys beside `key`, each for good or until a moment (`config-api.md` C1)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

from turnout.control.yamlfile import join
from turnout.model.config import Key, Source
from turnout.model.errors import Problem

_FORM = "for example {key: …, until: 2026-12-01T00:00:00Z}, or without until"


def keys_of(value: object, path: str, problems: list[Problem]) -> tuple[Key, ...]:
    """The keys in a list of `{key, until}`; what is wrong is added to `problems`."""
    found = []
    for index, one in enumerate(value if isinstance(value, list) else ()):
        where = f"{path}[{index}]"
        if not isinstance(one, dict):
            problems.append(Problem(where, "must be a mapping", _FORM))
            continue
        for field in one:
            if field not in ("key", "until"):
                problems.append(Problem(join(where, field), "is not known", "known: key, until"))
        key = one.get("key")
        if not isinstance(key, str) or not key:
            problems.append(Problem(f"{where}.key", "must be text", _FORM))
            continue
        found.append(Key(key=key, until_ms=_until_ms(one.get("until"), f"{where}.until", problems)))
    return tuple(found)


def find_doubles(sources: Iterable[Source]) -> Sequence[Problem]:
    """Keys that stand twice, in one source or in two: nobody could tell who sends."""
    problems = []
    seen: dict[str, Source] = {}
    for source in sources:
        path = join(join("sites", source.site) + ".sources", source.name)
        places = [(f"{path}.key", source.key)]
        places += [(f"{path}.keys[{index}].key", one.key) for index, one in enumerate(source.keys)]
        for where, key in places:
            if key and key in seen:
                problems.append(Problem(where, f"is also the key of {seen[key].ref}", "every source has its own"))
            seen.setdefault(key, source)
    return problems


def _until_ms(value: object, path: str, problems: list[Problem]) -> int | None:
    """A moment as YAML reads it, or as text; without a zone it is UTC, and a day begins at midnight."""
    if value is None:
        return None
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime):
        problems.append(Problem(path, f"{value!r} is no moment", "for example 2026-12-01T00:00:00Z"))
        return None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
