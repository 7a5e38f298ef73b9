"""`parameters` of a destination as the vendor's API has them ⇄ `mapping` in `turnout.yaml` (`config-api.md` A2). Pure.

Standard parameters are members of their own; beside them stand `mapping` (changes of properties), `customEventMapping`
and `customEventPropertiesTable` (rows of `name` and `value`), and `otherEvents`.
"""

from collections.abc import Iterable, Iterator, Mapping

from turnout.control.api.problems import Fault, Place
from turnout.mapping.standard import STANDARD
from turnout.model.change import Change
from turnout.model.partner import PartnerMapping

_ROWS, _EVENTS, _CUSTOM, _OTHERS = "mapping", "customEventMapping", "customEventPropertiesTable", "otherEvents"
KNOWN = (*STANDARD, _ROWS, _EVENTS, _CUSTOM, _OTHERS)
POINTERS: Mapping[str, str] = {
    "properties": _ROWS,
    "events": _EVENTS,
    "custom": _CUSTOM,
    "other_events": _OTHERS,
}
"""By member of `mapping` in the file: the member of `parameters` that gives it."""
_OTHER = {"set": "expression", "map": "from", "rename": "to"}


def shown(mapping: PartnerMapping | None) -> dict[str, object]:
    """The parameters of a mapping; empty if events are sent as they are."""
    if mapping is None:
        return {}
    found: dict[str, object] = dict(mapping.parameters or {})
    if mapping.changes:
        found[_ROWS] = [_row(one) for one in mapping.changes]
    if mapping.events:
        found[_EVENTS] = [{"name": name, "value": value} for name, value in mapping.events.items()]
    if mapping.custom:
        found[_CUSTOM] = [{"name": name, "value": value} for name, value in mapping.custom.items()]
    if mapping.others != "keep":
        found[_OTHERS] = mapping.others
    return found


def written(given: Mapping[str, object]) -> dict[str, object]:
    """The mapping of parameters without `faults`, as the file has it; empty if there is nothing to change."""
    found: dict[str, object] = {}
    if given.get(_ROWS):
        found["properties"] = given[_ROWS]
    if given.get(_EVENTS):
        found["events"] = dict(_pairs(given[_EVENTS]))
    if any(name in given for name in STANDARD):
        found["parameters"] = {name: given.get(name) for name in STANDARD}
    if given.get(_CUSTOM):
        found["custom"] = dict(_pairs(given[_CUSTOM]))
    if given.get(_OTHERS) is not None:
        found["other_events"] = given[_OTHERS]
    return found


def faults(given: Mapping[str, object], pointer: str) -> Iterator[Fault]:
    """What is wrong with the form of parameters that stand at `pointer`; the rest is judged where the file is read."""
    for name, value in given.items():
        if name not in KNOWN:
            detail = f"{name} is not known; known: {', '.join(KNOWN)}"
            yield Fault("UNKNOWN_ATTRIBUTE", detail, Place(pointer=f"{pointer}/{name}"))
        elif name in (_EVENTS, _CUSTOM):
            yield from _row_faults(value, f"{pointer}/{name}")


def _row_faults(value: object, pointer: str) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault("INVALID_PROPERTY_TYPE", "must be a list of rows with name and value", Place(pointer=pointer))
        return
    for index, row in enumerate(value):
        if not (isinstance(row, dict) and row.keys() == {"name", "value"} and isinstance(row["name"], str)):
            where = Place(pointer=f"{pointer}/{index}")
            yield Fault("INVALID_PROPERTY_FORMAT", "must have a name and a value", where)


def _pairs(rows: object) -> Iterable[tuple[str, object]]:
    assert isinstance(rows, list)
    return [(row["name"], row["value"]) for row in rows]


def _row(change: Change) -> dict[str, object]:
    row: dict[str, object] = {"action": change.action, "property": change.property}
    return row | {_OTHER[change.action]: change.other} if change.action in _OTHER else row
