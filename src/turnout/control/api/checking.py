"""Reading queries and bodies into their types, with every fault at once: msgspec stops at the first."""

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from turnout.control.api.problems import ApiError, Fault, Place, failure

T = TypeVar("T", bound=msgspec.Struct)
_NOTHING = (type(None), msgspec.UnsetType)


def read_query(pairs: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """The parameters of a query. A parameter that takes several is repeated, or has commas.

    One that is a mapping is given as `name[key]=value`; what is between the outer brackets is the key. Each key may be
    repeated; there, commas mean nothing. Raises `ApiError` 400.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    mappings = [name for name, field in fields.items() if typing.get_origin(_bare(field.type)) is dict]
    given: dict[str, list[str]] = {}
    members: dict[str, dict[str, list[str]]] = {}
    faults: list[Fault] = []
    for name, value in pairs:
        mapping = next((one for one in mappings if name.startswith(f"{one}[") and name.endswith("]")), None)
        if mapping is not None:
            members.setdefault(mapping, {}).setdefault(name[len(mapping) + 1 : -1], []).append(value)
        elif name in fields and name not in mappings:
            given.setdefault(name, []).append(value)
        elif name not in {fault.source.parameter for fault in faults if isinstance(fault.source, Place)}:
            faults.append(_wrong(name, f"{name} is no parameter of this operation{_like(name, fields)}"))
    values: dict[str, object] = {**members}
    for name, texts in given.items():
        several = typing.get_origin(_bare(fields[name].type)) is tuple
        if len(texts) > 1 and not several:
            faults.append(_wrong(name, f"{name} is given more than once"))
            continue
        read = [part for text in texts for part in text.split(",")] if several else texts[0]
        try:
            values[name] = msgspec.convert(read, _given(fields[name].type), strict=False)
        except msgspec.ValidationError as error:
            faults.append(_wrong(name, f"{name}: {_words(error)}"))
    faults += [
        _wrong(name, f"{name} is required") for name, one in fields.items() if one.required and name not in given
    ]
    if faults:
        raise ApiError(400, faults)
    return msgspec.convert(values, kind)


def read_body(body: bytes, kind: type[T]) -> T:
    """A JSON body as its type; an empty one is `{}` if nothing in it is required.

    Raises `ApiError` 400 if it is no JSON, 422 if it is not of this type.
    """
    may_be_empty = not any(field.required for field in msgspec.structs.fields(kind))
    try:
        value = msgspec.json.decode(body or b"{}" if may_be_empty else body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failure(400, "INVALID_JSON", f"the body is not JSON: {error}") from error
    faults = list(find_faults("", value, kind))
    if faults:
        raise ApiError(422, faults)
    return msgspec.convert(value, kind)


def find_faults(pointer: str, value: object, expected: object) -> Iterator[Fault]:
    """Everything in `value` that is not as its type wants it, found by walking down both."""
    found = list(_faults_inside(pointer, value, expected))
    yield from found
    if not found:
        try:
            msgspec.convert(value, expected)
        except msgspec.ValidationError as error:
            code = "INVALID_PROPERTY_TYPE" if ", got " in str(error) else "INVALID_PROPERTY_FORMAT"
            yield Fault(code, f"{_name(pointer)}: {_words(error)}", Place(pointer=pointer))


def _faults_inside(pointer: str, value: object, expected: object) -> Iterator[Fault]:
    bare = _bare(expected)
    base = typing.get_origin(bare) or bare
    if isinstance(base, type) and issubclass(base, msgspec.Struct) and isinstance(value, Mapping):
        # Asked of `bare`, which knows what the parameters of a generic type are.
        fields = msgspec.structs.fields(typing.cast("type[msgspec.Struct]", bare))
        yield from _faults_of_members(pointer, value, {field.encode_name: field for field in fields})
    elif base is dict and isinstance(value, Mapping):
        for key, item in value.items():
            yield from find_faults(_step(pointer, key), item, typing.get_args(bare)[1])
    elif base in (list, tuple) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_faults(_step(pointer, index), item, typing.get_args(bare)[0])


def _faults_of_members(
    pointer: str, value: Mapping[object, object], fields: Mapping[str, msgspec.structs.FieldInfo]
) -> Iterator[Fault]:
    for key, item in value.items():
        where = _step(pointer, key)
        if str(key) in fields:
            yield from find_faults(where, item, fields[str(key)].type)
        else:
            yield Fault("UNKNOWN_ATTRIBUTE", f"{key} is not known{_like(str(key), fields)}", Place(pointer=where))
    for name, field in fields.items():
        if field.required and name not in value:
            where = _step(pointer, name)
            yield Fault("MISSING_REQUIRED_PROPERTY", f"{name} is required", Place(pointer=where))


def _bare(expected: object) -> object:
    """A type without its annotations, and without the None or nothing that it may be instead."""
    while hasattr(expected, "__metadata__"):
        expected = typing.get_args(expected)[0]
    members = [one for one in typing.get_args(expected) if one not in _NOTHING]
    return _bare(members[0]) if len(members) == 1 and len(typing.get_args(expected)) > 1 else expected


def _given(expected: object) -> object:
    """The type of a parameter that is there: without the None that stands for its absence, or `null` would be one."""
    members = tuple(one for one in typing.get_args(expected) if one is not type(None))
    return typing.Union[members] if type(None) in typing.get_args(expected) else expected  # noqa: UP007 - made here


def _wrong(name: str, detail: str) -> Fault:
    return Fault("INVALID_PARAMETER", detail, Place(parameter=name))


def _words(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at `")[0].replace("`", "")


def _like(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    return f": did you mean {close[0]}?" if close else f"; known: {', '.join(names)}" if names else ""


def _step(pointer: str, key: object) -> str:
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _name(pointer: str) -> str:
    return pointer.rpartition("/")[2] or "the body"
