"""The pixel's query string, by the rules and the table of `collect.md` §9."""

from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote_to_bytes

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.queries import TABLE
from turnout.collect import pixel
from turnout.collect.percent import pairs, unquoted
from turnout.collect.pixel import decode
from turnout.process.arrays import is_array

RULES: list[tuple[str, dict[str, object], tuple[str, ...]]] = [
    # 1, 2: splitting and decoding
    ("", {}, ()),
    ("=1&a=2", {"a": "2"}, ()),
    ("flag&x=1=2", {"flag": "", "x": "1=2"}, ()),
    ("a=%2525", {"a": "%25"}, ()),
    ("a=%+b&c=%4&d=%%41", {"a": "% b", "c": "%4", "d": "%A"}, ()),
    ("a=%C3%A9&b=é", {"a": "é", "b": "é"}, ()),
    ("a=%C3&b=%FF%FEx", {"a": "�", "b": "��x"}, ()),
    ("%C3=%A9", {"�": "�"}, ()),
    ("a%3Db=c&x%26y=z", {"a=b": "c", "x&y": "z"}, ()),
    ("a%01b=%01=%01", {"a\1b": "\1=\1"}, ()),
    ("a=x%00y", {"a": "x�y"}, ("text_repaired",)),
    ("a%00=1&b=2=3", {"a�": "1", "b": "2=3"}, ("text_repaired",)),
    ("a=%2500", {"a": "%00"}, ()),
    ("a=1\r\n2%0A%0d", {"a": "1\r\n2\n\r"}, ()),
    # 3: keys
    ("a%5Bb%5d=1&a%5B%5D%5D=2", {"a": {"b": "1"}, "a[]]": "2"}, ("malformed_key",)),
    ("a[=1&a]=2&]=3&a[][=4", {"a[": "1", "a]": "2", "]": "3", "a[][": "4"}, ("malformed_key",)),
    ("a[b][]c]=1", {"a[b][]c]": "1"}, ("malformed_key",)),
    ("0=a&1=b", {"0": "a", "1": "b"}, ()),
    # 4: credentials
    ("tc_s=29&token=K&tc_skey=L&tc_x[a]=1&token[]=2&a=1", {"a": "1"}, ()),
    ("%74c_s=29&%74oken=K&tokens=3&tc=4&user[tc_x]=5", {"tokens": "3", "tc": "4", "user": {"tc_x": "5"}}, ()),
    ("tc_a]=1&tc_[=1", {}, ()),
    # 5: []
    ("a[7]=x&a[]=y", {"a": {"7": "x", "8": "y"}}, ()),
    ("a[][b][]=1&a[][b][]=2", {"a": [{"b": ["1"]}, {"b": ["2"]}]}, ()),
    ("a[k]=1&a[]=2", {"a": {"k": "1", "0": "2"}}, ("mixed_array_object",)),
    # 6: what stands already
    ("a[0]=1&a[0][b]=2&a=3", {"a": ["1"]}, ("query_key_conflict",)),
    ("a[b][c]=1&a[b]=2&a[b][c]=3", {"a": {"b": {"c": "3"}}}, ("query_key_conflict", "duplicate_query_key")),
    ("a=1&a=1&b=1&b=1", {"a": "1", "b": "1"}, ("duplicate_query_key",)),
    # 7: arrays and objects
    (
        "user[consent_categories][3]=1&user[consent_categories][8]=2",
        {"user": {"consent_categories": ["1", "2"]}},
        ("sparse_array",),
    ),
    ("items[9][product][colors][4]=red", {"items": [{"product": {"colors": ["red"]}}]}, ("sparse_array",)),
    ("x[9][product][colors][4]=red", {"x": {"9": {"product": {"colors": {"4": "red"}}}}}, ()),
    ("items[k][product][colors][4]=red", {"items": {"k": {"product": {"colors": {"4": "red"}}}}}, ()),
    ("items[1][id]=A&items[k]=B", {"items": {"1": {"id": "A"}, "k": "B"}}, ("mixed_array_object",)),
    ("properties[items][1][id]=A", {"properties": {"items": [{"id": "A"}]}}, ("sparse_array",)),
    ("properties[user][consent_categories]=1", {"properties": {"user": {"consent_categories": ["1"]}}}, ()),
    ("items[123456789012345678]=a&items[0]=b", {"items": ["b", "a"]}, ("sparse_array",)),
    ("a[1234567890123456789]=x", {"a": {"1234567890123456789": "x"}}, ()),
    ("a[٣]=x&b[²]=y", {"a": {"٣": "x"}, "b": {"²": "y"}}, ()),
    ("user=x", {"user": "x"}, ()),
    # 8: bounds
    ("a" + "[b]" * 10 + "=1", {"a": {"b": {"b": {"b": {"b": {"b": {"b": {"b": {"b": {"b": {"b": "1"}}}}}}}}}}}, ()),
    ("a" + "[b]" * 11 + "=1&c=2", {"c": "2"}, ("key_too_deep",)),
]


@pytest.mark.parametrize(("query", "event", "warnings"), TABLE + RULES)
@pytest.mark.parametrize("as_bytes", [True, False])
def test_query_is_the_event(query: str, event: dict[str, object], warnings: tuple[str, ...], as_bytes: bool) -> None:
    decoded = decode(query.encode() if as_bytes else query, is_array)
    assert decoded.event == event
    assert decoded.warnings == warnings


def test_invalid_utf8_as_it_came_becomes_replacement_characters() -> None:
    assert decode(b"a=\xff\xe2\x82&b=\xc3\xa9").event == {"a": "\ufffd\ufffd", "b": "é"}


def test_credentials_come_decoded_and_apart() -> None:
    query = "tc_s=29&a=1&token=a%2Bb+c&tc_do_not_track&%74c_skey=x"
    credentials = (("tc_s", "29"), ("token", "a+b c"), ("tc_do_not_track", ""), ("tc_skey", "x"))
    assert decode(query).credentials == credentials


def test_pairs_after_the_thousandth_are_dropped_but_credentials_count_nowhere() -> None:
    query = "tc_s=29&" + "&".join(f"p{i}={i}" for i in range(1000))
    full = decode(f"{query}&&=&token=K")
    assert (len(full.event), full.warnings) == (1000, ())
    over = decode(f"{query}&more=1&token=K")
    assert over.event == full.event
    assert over.warnings == ("too_many_pairs",)
    assert over.credentials == (("tc_s", "29"), ("token", "K"))


def test_values_never_leak_from_one_query_into_another_of_the_same_shape() -> None:
    first, second = decode("a[b]=1&c[]=2&x"), decode("a[b]=3&c[]=4&x=5")
    assert first.event == {"a": {"b": "1"}, "c": ["2"], "x": ""}
    assert second.event == {"a": {"b": "3"}, "c": ["4"], "x": "5"}
    inner = first.event["c"]
    assert isinstance(inner, list)
    inner.append("changed")
    assert decode("a[b]=1&c[]=2&x").event["c"] == ["2"]


BOMBS = [
    "a" + "[a]" * 10_900,
    "a" + "[]" * 16_000,
    "[" * 32_768,
    "]" * 32_768,
    "a" + "][" * 16_000,
    "&" * 32_768,
    "=" * 32_768,
    "%" * 32_768,
    "a=" + "%4" * 16_000,
    "a[]&" * 8_000,
    "&".join("a" + "[]" * 10 for _ in range(1_400)),
    "&".join("a" + "[a]" * 10 for _ in range(950)),
    "&".join(f"a[{2**61 - 1}{i}]" for i in range(1_200)),
    "&".join(f"a[{i << 40}]" for i in range(1_500)),
    "&".join(f"tc_{i}" for i in range(4_000)),
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:12])
def test_bombs_do_bounded_work(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    plain = pixel._Container.set

    def counted(self: pixel._Container, segment: str | int | None, member: "int | pixel._Container") -> None:
        nonlocal made
        made += 1
        plain(self, segment, member)

    monkeypatch.setattr(pixel._Container, "set", counted)
    decoded = decode(bomb)
    assert made <= pixel.PAIRS * (pixel.SEGMENTS + 1)
    assert len(decoded.event) <= pixel.PAIRS
    assert depth(decoded.event) <= pixel.SEGMENTS + 1


def test_what_is_remembered_of_keys_is_bounded() -> None:
    long = "k" * 200
    remembered = pixel._cached_path.cache_info().currsize, pixel._cached_shape.cache_info().currsize
    decode("&".join(f"{long}{i}" for i in range(200)))
    assert (pixel._cached_path.cache_info().currsize, pixel._cached_shape.cache_info().currsize) == remembered
    assert pixel._cached_path.cache_info().maxsize is not None
    assert pixel._cached_shape.cache_info().maxsize is not None


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


PIECES = [
    "a", "b", "user", "items", "consent_categories", "0", "1", "7", "[", "]", "[]", "[0]", "[a]", "][", "&", "=", "%5B",
    "%5D", "%00", "%01", "%ff", "%C3", "%A9", "%", "+", "tc_s", "token", ".", ";", "é", "\r\n",
]  # fmt: skip
QUERIES = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@given(st.one_of(QUERIES, st.text(max_size=200), st.binary(max_size=200)))
@example("\ud800=%ED%A0%80")
@example("a[" + "9" * 5000 + "]=1")
def test_never_raises_and_stays_flat(query: str | bytes) -> None:
    decoded = decode(query, is_array)
    assert msgspec.json.decode(msgspec.json.encode(decoded.event)) == decoded.event
    assert depth(decoded.event) <= pixel.SEGMENTS + 2  # a consent category becomes a list
    assert all(name and not name.startswith("tc_") and name != "token" for name in decoded.event)
    assert set(decoded.warnings) <= {
        "malformed_key", "duplicate_query_key", "query_key_conflict", "sparse_array", "mixed_array_object",
        "key_too_deep", "too_many_pairs", "text_repaired",
    }  # fmt: skip


@given(st.one_of(QUERIES, st.text(st.characters(exclude_categories=["Cs"]), max_size=200)))
@example("a%3D=b&c=d=e")
@example("%%=%\n41")
def test_pairs_are_those_of_a_plain_reading(query: str) -> None:
    def plain(text: str) -> str:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace").replace("\0", "\ufffd")

    split = [pair.partition("=") for pair in query.split("&") if pair]
    found = pairs(query)
    assert found.keys == tuple(plain(key) for key, _, _ in split)
    assert found.values == tuple(plain(value) for _, _, value in split)


@given(st.text(st.sampled_from("%=+0123abAF\r\n\0\1 é"), max_size=30))
def test_text_is_decoded_as_the_slow_decoder_would(text: str) -> None:
    assert unquoted(text) == unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]\0"), min_size=1, max_size=6).filter(
    lambda name: not name.startswith("tc_") and not (name.isascii() and name.isdigit()) and name != "token"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
VALUES: st.SearchStrategy[object] = st.recursive(
    TEXTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4), st.dictionaries(NAMES, inner, min_size=1, max_size=4)
    ),
    max_leaves=25,
)


def encoded(value: object, key: str, plus: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from encoded(inner, f"{key}[{name}]" if key else name, plus)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from encoded(inner, f"{key}[{index}]", plus)
    else:
        encode = quote_plus if plus else quote
        yield f"{encode(key)}={encode(str(value))}"


@given(
    st.dictionaries(NAMES.filter(lambda n: n not in ("user", "properties")), VALUES, max_size=6).filter(
        lambda event: depth(event) <= pixel.SEGMENTS + 1
    ),
    st.booleans(),
)
def test_what_is_encoded_is_decoded(event: dict[str, object], plus: bool) -> None:
    decoded = decode("&".join(encoded(event, "", plus)), is_array)
    assert decoded.event == event
    assert decoded.warnings == ()
