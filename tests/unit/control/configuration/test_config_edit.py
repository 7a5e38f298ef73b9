"""Edits of the configuration's text: the data is what was asked for, and every other byte stays."""

import difflib
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.control.configuration import places, render
from turnout.control.configuration.edit import Editor, literal, same
from turnout.control.yamlfile import expand, parse
from turnout.model.errors import ConfigError

TEXT = """\
# my file
sites:
  "29":   # main
    sources:
      shop: {type: web, key: 'k1'}   # the shop
      backend: {type: server, key: k2}
      # app later
    destinations:
      archive: {type: file, sources: [shop, backend]}
      orders:
        type: webhook
        sources:
          - shop   # because
          - backend
        settings:
          url: "https://x.example"
          body: |
            one
              two
        # end
    cleansing:
"""
SITE = ("sites", "29")
ORDERS = (*SITE, "destinations", "orders")

PUTS = [
    (
        (*SITE, "sources", "shop", "key"),
        "k9",
        "      shop: {type: web, key: 'k1'}   # the shop",
        "      shop: {type: web, key: 'k9'}   # the shop",
    ),
    (
        (*SITE, "sources", "shop"),
        {"type": "mobile", "key": "k1"},
        "      shop: {type: web, key: 'k1'}   # the shop",
        "      shop: {type: mobile, key: 'k1'}   # the shop",
    ),
    (
        (*ORDERS, "settings", "url"),
        "https://y.example",
        '          url: "https://x.example"',
        '          url: "https://y.example"',
    ),
    (
        (*ORDERS, "settings", "body"),
        "x",
        "          body: |\n            one\n              two",
        "          body: x",
    ),
    ((*ORDERS, "status"), "inactive", "", "        status: inactive"),
    ((*SITE, "sources", "app"), {"type": "web", "key": "k"}, "", "      app: {type: web, key: k}"),
    (
        (*SITE, "destinations", "archive", "sources", "2"),
        "app",
        "      archive: {type: file, sources: [shop, backend]}",
        "      archive: {type: file, sources: [shop, backend, app]}",
    ),
    ((*ORDERS, "sources", "2"), "app", "", "          - app"),
    ((*SITE, "cleansing"), [{"label": "x"}], "    cleansing:", "    cleansing: [{label: x}]"),
    ((*SITE, "cleansing", "x", "y"), 1, "", "      x: {y: 1}"),
    (("sites", "31"), {"sources": {"x": {"key": "k"}}}, "", "  '31':\n    sources:\n      x: {key: k}"),
]
REMOVALS = [
    ((*SITE, "sources", "shop"), "-      shop: {type: web, key: 'k1'}   # the shop"),
    ((*SITE, "sources", "shop", "key"), "-, key: 'k1'"),
    ((*SITE, "sources", "shop", "type"), "-type: web, "),
    ((*SITE, "destinations", "archive", "sources", "0"), "-shop, "),
    ((*ORDERS, "sources", "0"), "-          - shop   # because"),
    ((*ORDERS, "settings", "body"), "-          body: |\n-            one\n-              two"),
    (("sites",), "-sites:"),
]


@pytest.mark.parametrize(("path", "value", "gone", "new"), PUTS)
def test_a_value_is_put_where_it_belongs(path: tuple[str, ...], value: object, gone: str, new: str) -> None:
    editor = Editor(TEXT)
    editor.put(path, value)
    assert editor.get(path) == value
    lines = list(difflib.ndiff(TEXT.splitlines(), editor.text.splitlines()))
    assert "\n".join(line[2:] for line in lines if line[0] == "-") == gone
    assert "\n".join(line[2:] for line in lines if line[0] == "+") == new


@pytest.mark.parametrize(("path", "gone"), REMOVALS)
def test_a_value_is_taken_away_with_its_key_and_nothing_else(path: tuple[str, ...], gone: str) -> None:
    editor = Editor(TEXT)
    editor.remove(path)
    assert editor.get(path) != Editor(TEXT).get(path)
    cut = "\n".join(line[1:] for line in gone.split("\n"))
    assert cut in TEXT
    if path != ("sites",):
        assert editor.text == TEXT.replace(cut + ("\n" if cut[0] == " " else ""), "", 1)


def test_what_is_not_there_is_none_and_can_not_be_removed() -> None:
    editor = Editor(TEXT)
    for path in (("x",), (*SITE, "sources", "shop", "key", "x"), (*ORDERS, "sources", "7"), (*ORDERS, "sources", "x")):
        assert editor.get(path) is None
        editor.remove(path)
    assert editor.text == TEXT


@pytest.mark.parametrize(
    "path", [(*SITE, "sources", "shop", "key", "x"), (*ORDERS, "sources", "3"), (*ORDERS, "type", "0")]
)
def test_a_path_through_something_else_is_refused_and_changes_nothing(path: tuple[str, ...]) -> None:
    editor = Editor(TEXT)
    with pytest.raises(ConfigError, match="has no place for"):
        editor.set(path, 1)
    assert editor.text == TEXT


def test_data_from_elsewhere_can_not_name_variables() -> None:
    editor = Editor(TEXT)
    value = {"a": "${HOME}", "b": ["$$", "${secret:v1:x:y}", 5], "c": "$"}
    editor.set((*ORDERS, "settings"), value)
    problems: list[object] = []
    assert expand(editor.get((*ORDERS, "settings")), {"HOME": "/root"}, "", problems) == value  # type: ignore[arg-type]
    assert problems == []
    assert literal(7) == 7


def test_the_last_member_gone_leaves_an_empty_collection() -> None:
    editor = Editor("a:\n  b: 1   # why\nc: [x]\n")
    editor.remove(["a", "b"])
    editor.remove(["c", "0"])
    assert editor.text == "a: {}   # why\nc: []\n"


@pytest.mark.parametrize(
    ("text", "path", "value", "after"),
    [
        ("", ("a", "b"), 1, "a: {b: 1}\n"),
        ("# only this", ("a",), 1, "# only this\na: 1\n"),
        ("a: 1", ("b",), 2, "a: 1\nb: 2"),
        ("a: 1\r\nb: 2\r\n", ("c",), {"d": {"e": 1}}, "a: 1\r\nb: 2\r\nc:\r\n  d: {e: 1}\r\n"),
        ("a: &x {k: 1}\nb: *x\n", ("b", "k"), 2, "a: &x {k: 1}\nb: {k: 2}\n"),
        ("a: &x {k: 1}\nb: *x\n", ("b",), 2, "a: &x {k: 1}\nb: 2\n"),
        ("a: &x {k: 1}\nb: *x\n", ("c",), 2, "a: &x {k: 1}\nb: *x\nc: 2\n"),
        ("a: &x 1\nb: [*x, 2]\n", ("b", "0"), 3, "a: &x 1\nb: [3, 2]\n"),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\n", ("b", "l"), 4, "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3, l: 4}\n"),
        ("{\n  a: 1,  # one\n  b: 2,\n}\n", ("c",), 3, "{\n  a: 1,  # one\n  b: 2,\n  c: 3,\n}\n"),
        ("- a: 1\n  b: 2\n- c: 3\n", ("0", "b"), 9, "- a: 1\n  b: 9\n- c: 3\n"),
        ("a: |+\n  x\n\n", ("b",), 1, "b: 1\na: |+\n  x\n\n"),
        ("---\na: 1\n...\n", ("a",), 2, "---\na: 2\n...\n"),
        ("a: null\n", ("a", "b"), 1, "a: {b: 1}\n"),
        ("29: {x: 1}\n", ("29", "y"), "no", "29: {x: 1, y: 'no'}\n"),
    ],
)
def test_every_way_of_writing_is_changed_with_care(text: str, path: tuple[str, ...], value: object, after: str) -> None:
    editor = Editor(text)
    editor.put(path, value)
    assert editor.text == after


def test_the_anchor_of_something_used_elsewhere_stays_true() -> None:
    text = "a: &x {k: 1}\nb: *x\nc: 3 # c\n"
    editor = Editor(text)
    editor.put(["a", "k"], 2)
    assert parse(editor.text) == {"a": {"k": 2}, "b": {"k": 1}, "c": 3}
    editor = Editor(text)
    editor.remove(["a"])
    assert parse(editor.text) == {"b": {"k": 1}, "c": 3}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-999, 999),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(
        ["yes", "29", "2026-12-01", "a: b", "# no", "- x", "'", '"', "\\", "*a", "&a", "{", "]", ",", "", " "]
    ),
    st.text("ab \u00e9\u2028\U0001f600$#:'\"-\n\t", max_size=12),
)
NAMES = st.sampled_from(["a", "b", "c", "29", "no", "x y", "d.e", "\u00e9"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


class Writer:
    """Writes data as YAML in ways that people write, chosen at random; `shared` says whether anchors are used."""

    def __init__(self, chance: random.Random, newline: str) -> None:
        self._chance, self._newline = chance, newline
        self._anchors: list[tuple[str, object]] = []
        self.comments = 0

    def document(self, data: dict[str, object]) -> str:
        lines = [*self._comment(0), *self._mapping(data, 0), *self._comment(0)]
        return self._newline.join(lines) + (self._newline if self._chance.random() < 0.9 else "")

    def _mapping(self, data: dict[str, object], column: int) -> Iterator[str]:
        pad = " " * column
        for key, value in data.items():
            yield from self._comment(column)
            name = pad + render.flow(key, self._chance.choice([None, "'", '"']))
            inline = self._inline(value)
            if inline is None:
                yield f"{name}:{self._aside()}"
                step = self._chance.choice([1, 2, 4])
                inside = self._mapping if isinstance(value, dict) else self._list
                yield from inside(value, column + step)  # type: ignore[arg-type]
            elif isinstance(inline, list):
                yield f"{name}: {inline[0]}"
                yield from (f"{pad}  {line}" if line else "" for line in inline[1:])
            else:
                yield f"{name}:{inline and ' ' + inline}{self._aside()}"

    def _list(self, data: list[object], column: int) -> Iterator[str]:
        pad = " " * column
        for value in data:
            yield from self._comment(column)
            yield f"{pad}- {render.flow(value)}{self._aside()}"

    def _inline(self, value: object) -> str | list[str] | None:
        """The value on one line, as the lines of a block text, or None: it is a block."""
        for name, known in self._anchors:
            if same(known, value) and self._chance.random() < 0.5:
                return f"*{name}"
        if isinstance(value, dict | list) and value and self._chance.random() < 0.6:
            return None
        if value is None and self._chance.random() < 0.5:
            return ""
        if isinstance(value, str) and "\n" in value and value.replace("\n", "").isalpha() and value.endswith("b"):
            return ["|-", *value.split("\n")]
        text = render.flow(value, self._chance.choice([None, "'", '"']))
        if self._chance.random() < 0.1:
            name = f"n{len(self._anchors)}"
            self._anchors.append((name, value))
            return f"&{name} {text}"
        return text

    def _comment(self, column: int) -> Iterator[str]:
        if self._chance.random() < 0.3:
            self.comments += 1
            yield f"{' ' * column}# {self.comments} \u2026"
        if self._chance.random() < 0.1:
            yield ""

    def _aside(self) -> str:
        if self._chance.random() < 0.7:
            return ""
        self.comments += 1
        return f"  # {self.comments} \u2026"

    @property
    def shared(self) -> bool:
        return bool(self._anchors)


def paths(data: object, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place in data, and a new one in each mapping and at the end of each list."""
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in members:
        yield (*above, str(name))
        yield from paths(value, (*above, str(name)))
    if isinstance(data, dict):
        yield (*above, "new")
    elif isinstance(data, list):
        yield (*above, str(len(data)))


def put(data: object, path: tuple[str, ...], value: object) -> object:
    if not path:
        return value
    if isinstance(data, dict):
        return {**data, path[0]: put(data.get(path[0]), path[1:], value)}
    assert isinstance(data, list)
    index = int(path[0])
    inner = put(data[index] if index < len(data) else None, path[1:], value)
    return [*data[:index], inner, *data[index + 1 :]]


def removed(data: object, path: tuple[str, ...]) -> object:
    holder = data
    for name in path[:-1]:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]  # type: ignore[index]
    if isinstance(holder, dict):
        less: object = {key: item for key, item in holder.items() if key != path[-1]}
    else:
        assert isinstance(holder, list)
        less = [item for index, item in enumerate(holder) if str(index) != path[-1]]
    return put(data, path[:-1], less)


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, VALUES, st.randoms(use_true_random=False), st.sampled_from(["\n", "\r\n"]))
def test_any_edit_of_any_text_gives_the_data_and_leaves_the_other_lines(
    data: dict[str, object], value: object, chance: random.Random, newline: str
) -> None:
    writer = Writer(chance, newline)
    text = writer.document(data)
    assert same(parse(text), data), text
    path = chance.choice(list(paths(data)))
    root = places.whole(text)
    assert root is not None
    found = places.along(text, root, path)
    depth = min(len(path) - 1, len(found) - 1)
    holder = found[depth]
    # The line of its key may change too: an empty collection moves there.
    start = next((one.start for one in places.entries(text, found[depth - 1]) if one.value == holder), holder.start)
    editor = Editor(text)
    if chance.random() < 0.3 and len(found) == len(path) + 1:
        editor.remove(path)
        wanted = removed(data, path)
    else:
        editor.put(path, value)
        wanted = put(data, path, value)
    assert same(parse(editor.text), wanted), text
    assert same(editor.get(()), wanted)
    if not writer.shared:
        first, last = text.count("\n", 0, start), text.count("\n", 0, holder.end)
        before, after = text.splitlines(keepends=True), editor.text.splitlines(keepends=True)
        assert after[:first] == before[:first], text
        rest = [line.rstrip("\r\n") for line in before[last + 1 :]]
        assert [line.rstrip("\r\n") for line in after[len(after) - len(rest) :]] == rest, text
