"""Older payloads become version 2 exactly as the protocol's table and examples say (`collect.md` §5.2, §16)."""

import copy
import json
from typing import NamedTuple

import pytest

from turnout.collect.convert import Event, convert

V1 = ("deprecated_payload_v1",)


class Example(NamedTuple):
    name: str
    given: str
    out: str | None
    warnings: tuple[str, ...] = ()


EXAMPLES = [
    Example(
        "1: web, version 1",
        """{"event_name":"add_to_cart","event_id":"evt-7001","event_timestamp":1700000000123,
         "properties":{"value":59.9,"currency":"EUR",
           "items":[{"id":"SKU-9","quantity":1,"product":{"id":"P-9","name":"Rain coat","price":49.92}}],
           "user":{"id":"c-881","consent_categories":[2,5]}},
         "page":{"title":"Rain coat","location":"https://shop.example/p/9"},
         "device":{"user_agent":"UA/1.0","ip":"192.0.2.10","cookie":"_ga=GA1.1.5"}}""",
        """{"event_name":"add_to_cart","value":59.9,"currency":"EUR",
         "items":[{"id":"SKU-9","quantity":1,"product":{"id":"P-9","name":"Rain coat","price":49.92}}],
         "user":{"id":"c-881","consent_categories":[2,5]},
         "context":{"event_id":"evt-7001","event_timestamp":1700000000123,
           "page":{"title":"Rain coat","url":"https://shop.example/p/9"},
           "device":{"user_agent":"UA/1.0","ip":"192.0.2.10","cookie":"_ga=GA1.1.5"}}}""",
        V1,
    ),
    Example(
        "2: mobile, version 1, two users and a property called page",
        """{"event_name":"page_view","event_id":"0c5f","event_timestamp":"1700000000456",
         "properties":{"page_type":"home","page":"landing-b","user":{"email":"ann@example.org"}},
         "user":{"id":"c-7","email":"root@example.org"},
         "app":{"name":"Shop","version":"2.1"},"device":{"sdk_id":"d-1","os":{"name":"ios","version":"17.2"}}}""",
        """{"event_name":"page_view","page_type":"home","page":"landing-b",
         "user":{"email":"root@example.org","id":"c-7"},
         "context":{"event_id":"0c5f","event_timestamp":"1700000000456",
           "device":{"sdk_id":"d-1","os":{"name":"ios","version":"17.2"}},"app":{"name":"Shop","version":"2.1"}}}""",
        V1,
    ),
    Example(
        "3: oldest form",
        """{"event":"login","properties":{"method":"sso"}}""",
        """{"event_name":"login","method":"sso","context":{}}""",
        V1,
    ),
    Example(
        "4: half-migrated",
        """{"event_name":"search","search_term":"boots",
         "properties":{"search_term":"shoes","results":12,"context":{"x":1}},
         "context":{"event_id":"e-2","page":{"location":{"href":"https://shop.example/s","hostname":"shop.example"}}},
         "event_timestamp":1700000000789}""",
        """{"event_name":"search","search_term":"boots","results":12,
         "context":{"event_id":"e-2","event_timestamp":1700000000789,
           "page":{"location":{"href":"https://shop.example/s","hostname":"shop.example"},
                   "url":"https://shop.example/s"}}}""",
        (
            "root_meta_moved:event_timestamp",
            "mixed_v1_v2",
            "property_conflict:search_term",
            "reserved_property:context",
        ),
    ),
    Example("5: not version 1", """{"event_name":"view_item","page":"promo","device":"kiosk"}""", None),
]

ROWS = [
    Example("1 event_name stays", '{"event_name":"a","event_id":"i"}', '{"event_name":"a","context":{"event_id":"i"}}'),
    Example("2 event is the name", '{"event":"a","properties":{}}', '{"event_name":"a","context":{}}'),
    Example(
        "2 not beside event_name",
        '{"event_name":"a","event":"b","properties":{}}',
        '{"event_name":"a","event":"b","context":{}}',
    ),
    Example("2 not without properties", '{"event":"a","event_id":"i"}', '{"event":"a","context":{"event_id":"i"}}'),
    Example("3 event_id moves unchanged", '{"event_id":7}', '{"context":{"event_id":7}}'),
    Example("4 event_timestamp moves unchanged", '{"event_timestamp":" 1 "}', '{"context":{"event_timestamp":" 1 "}}'),
    Example("5 page", '{"page":{"lang":"en"}}', '{"context":{"page":{"lang":"en"}}}'),
    Example("6 location becomes url", '{"page":{"location":"u"}}', '{"context":{"page":{"url":"u"}}}'),
    Example("6 unless url is there", '{"page":{"location":"u","url":"v"}}', '{"context":{"page":{"url":"v"}}}'),
    Example(
        "7 href is copied",
        '{"page":{"location":{"href":"u","x":1}}}',
        '{"context":{"page":{"location":{"href":"u","x":1},"url":"u"}}}',
    ),
    Example(
        "7 unless url is there",
        '{"page":{"location":{"href":"u"},"url":"v"}}',
        '{"context":{"page":{"location":{"href":"u"},"url":"v"}}}',
    ),
    Example("8 the rest of page", '{"page":{"title":"t","x":[1]}}', '{"context":{"page":{"title":"t","x":[1]}}}'),
    Example("9 device", '{"device":{"ip":"i","z":1}}', '{"context":{"device":{"ip":"i","z":1}}}'),
    Example("10 app", '{"app":{"name":"n"}}', '{"context":{"app":{"name":"n"}}}'),
    Example(
        "11 versions",
        '{"event_id":"i","generatorVersion":"1","containerVersion":"2"}',
        '{"context":{"event_id":"i","generatorVersion":"1","containerVersion":"2"}}',
    ),
    Example("12 user is lifted", '{"properties":{"user":{"id":1}}}', '{"user":{"id":1},"context":{}}'),
    Example(
        "12 users are merged, the root wins",
        '{"properties":{"user":{"a":1,"b":{"x":1,"y":1}}},"user":{"b":{"y":2,"z":2},"c":3}}',
        '{"user":{"a":1,"b":{"x":1,"y":2,"z":2},"c":3},"context":{}}',
    ),
    Example("13 properties are lifted", '{"properties":{"x":[1],"y":{}}}', '{"x":[1],"y":{},"context":{}}'),
    Example(
        "13 the root wins a clash",
        '{"x":1,"properties":{"x":2}}',
        '{"x":1,"context":{}}',
        (*V1, "property_conflict:x"),
    ),
    Example(
        "14 reserved names are dropped",
        '{"event_name":"a","properties":{"event_name":"b","context":{},"properties":{},"c":1}}',
        '{"event_name":"a","c":1,"context":{}}',
        (*V1, "reserved_property:event_name", "reserved_property:context", "reserved_property:properties"),
    ),
    Example(
        "15 any other key",
        '{"event_id":"i","integrations":{"x":1},"z":null}',
        '{"integrations":{"x":1},"z":null,"context":{"event_id":"i"}}',
    ),
    Example(
        "metadata moves before properties are lifted",
        '{"page":{"a":1},"properties":{"page":{"b":2}}}',
        '{"page":{"b":2},"context":{"page":{"a":1}}}',
    ),
    Example(
        "a context that is no object is no context", '{"context":"x","event_id":"i"}', '{"context":{"event_id":"i"}}'
    ),
    Example(
        "a properties text stays a property",
        '{"event_id":"i","properties":"p"}',
        '{"properties":"p","context":{"event_id":"i"}}',
    ),
    Example(
        "a device text stays a property", '{"event_id":"i","device":"d"}', '{"device":"d","context":{"event_id":"i"}}'
    ),
]

HALF_MIGRATED = [
    Example(
        "root id is kept where the context has none",
        '{"event_id":"r","context":{"event_id":null}}',
        '{"context":{"event_id":"r"}}',
        ("root_meta_moved:event_id",),
    ),
    Example(
        "root id is dropped where the context has one",
        '{"event_id":"r","context":{"event_id":"c"}}',
        '{"context":{"event_id":"c"}}',
        ("root_meta_ignored:event_id",),
    ),
    Example(
        "as in the vendor's batch sample",
        '{"event_name":"a","event_timestamp":1,"context":{"event_id":"c"}}',
        '{"event_name":"a","context":{"event_id":"c","event_timestamp":1}}',
        ("root_meta_moved:event_timestamp",),
    ),
    Example(
        "root objects are custom properties",
        '{"page":{"a":1},"device":{},"app":{},"event_id":"r","context":{}}',
        '{"page":{"a":1},"device":{},"app":{},"context":{"event_id":"r"}}',
        ("root_meta_moved:event_id",),
    ),
    Example(
        "properties are lifted, users merged",
        '{"properties":{"x":1,"user":{"a":1}},"user":{"a":2},"context":{}}',
        '{"x":1,"user":{"a":2},"context":{}}',
        ("mixed_v1_v2",),
    ),
    Example("complete version 2 is left alone", '{"event_name":"a","context":{"event_id":"c","page":{}}}', None),
    Example("properties as text too", '{"properties":"x","context":{}}', None),
]

CREATED = "2022-05-01T10:00:00.123Z"
CREATED_MS = 1_651_399_200_123
FIELD = [
    Example(
        "1: web container of 2022",
        f"""{{"event":"page_view","properties":{{"page_type":"home","user":{{"id":"1"}},"url":"https://s.example/",
          "created":"{CREATED}"}},"page":{{"title":"T"}},
          "device":{{"cookie":"a=1","lang":"fr","screen":{{"width":1,"height":2}},"timezone":"Europe/Paris"}},
          "eventId":"202205011000001234567890","version":1,"generatorVersion":"8.1","containerVersion":"3"}}""",
        f"""{{"event_name":"page_view","page_type":"home","user":{{"id":"1"}},"url":"https://s.example/",
          "context":{{"page":{{"title":"T"}},
          "device":{{"cookie":"a=1","lang":"fr","screen":{{"width":1,"height":2}},"timezone":"Europe/Paris"}},
          "event_id":"202205011000001234567890","version":1,"generatorVersion":"8.1","containerVersion":"3",
          "created":"{CREATED}","event_timestamp":{CREATED_MS}}}}}""",
        ("web_container_v1",),
    ),
    Example(
        "2 and 5: web container of 2023",
        f"""{{"event_name":"a","context":{{"page":{{"location":"l"}},"eventId":"24","version":2,"created":"{CREATED}"}}}}""",
        f"""{{"event_name":"a","context":{{"page":{{"location":"l"}},"event_id":"24","version":2,"created":"{CREATED}",
          "event_timestamp":{CREATED_MS}}}}}""",
    ),
    Example("3: published sample", '{"event":"a","properties":{"x":1}}', '{"event_name":"a","x":1,"context":{}}', V1),
    Example(
        "4: mobile",
        """{"event_name":"a","context":{"event_id":"i","event_timestamp":"1","device":{"lifecycle":{}},"app":{}}}""",
        None,
    ),
    Example(
        "eventId does not replace an id",
        '{"context":{"eventId":"a","event_id":"b"}}',
        '{"context":{"event_id":"b"}}',
    ),
    Example(
        "created does not replace a timestamp",
        f"""{{"context":{{"event_timestamp":5,"created":"{CREATED}"}}}}""",
        None,
    ),
    Example("created that is no instant", '{"context":{"created":"soon"}}', '{"context":{"created":"soon"}}'),
    Example(
        "created before the clock was set",
        '{"context":{"created":"0001-01-01"}}',
        '{"context":{"created":"0001-01-01"}}',
    ),
]


@pytest.mark.parametrize("example", EXAMPLES + HALF_MIGRATED + FIELD, ids=lambda example: example.name)
def test_example_gives_exactly_this_output_and_these_warnings(example: Example) -> None:
    given: Event = json.loads(example.given)
    before = copy.deepcopy(given)
    found = convert(given)
    if example.out is None:
        assert found is None
    else:
        assert found == (json.loads(example.out), example.warnings)
    assert given == before, "the given event must not change"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_of_the_table(row: Example) -> None:
    assert row.out is not None
    assert convert(json.loads(row.given)) == (json.loads(row.out), row.warnings or V1)


def test_what_is_converted_is_not_converted_again() -> None:
    for example in (*EXAMPLES, *ROWS, *HALF_MIGRATED, *FIELD):
        found = convert(json.loads(example.given))
        if found is not None and "properties" not in found[0]:
            again = convert(found[0])
            assert again is None or again == (found[0], ()), example.name


def test_created_is_exact_to_the_millisecond() -> None:
    for ms in range(1000):
        created = f"2024-02-03T04:05:06.{ms:03}+01:00"
        found = convert({"context": {"created": created}})
        assert found is not None
        assert found[0]["context"] == {"created": created, "event_timestamp": 1_706_929_506_000 + ms}
