"""Which files are destinations, and what is said about wrong settings."""

import types as stdlib_types
from collections.abc import Mapping

import msgspec
import pytest

from turnout.destinations import registry
from turnout.destinations.webhook import Config as WebhookConfig
from turnout.model.errors import TurnoutError


def test_the_folder_is_the_list() -> None:
    assert {"file", "webhook"} <= set(registry.types())


@pytest.mark.parametrize(
    ("members", "lacking"),
    [
        ({}, "TYPE"),
        ({"TYPE": "x"}, "Config"),
        ({"TYPE": "x", "Config": dict}, "Config"),
        ({"TYPE": "x", "Config": WebhookConfig}, "open_destination"),
    ],
)
def test_a_malformed_file_is_named_with_what_it_lacks(members: Mapping[str, object], lacking: str) -> None:
    module = stdlib_types.ModuleType("turnout.destinations.mine")
    vars(module).update(members)
    with pytest.raises(TurnoutError, match=rf"destinations\.mine: .*{lacking}"):
        registry._read(module)


def test_valid_settings_become_the_config_object() -> None:
    config, problems = registry.validate("webhook", {"url": "http://127.0.0.1:9000/in"})
    assert config == WebhookConfig(url="http://127.0.0.1:9000/in")
    assert problems == []


def test_every_problem_is_found_at_once() -> None:
    settings = {
        "method": "FETCH",
        "timout_ms": 5,
        "timeout_ms": "soon",
        "headers": {"X-One": 1, "X-Two": "fine", "X-Three": None},
        "flatten_keys": "yes",
    }
    config, problems = registry.validate("webhook", settings)
    assert config is None
    assert {problem.path: (problem.message, problem.fix) for problem in problems} == {
        "method": ("Invalid enum value 'FETCH'", "one of POST, GET, PUT, PATCH, DELETE"),
        "timout_ms": ("unknown setting", "did you mean 'timeout_ms'?"),
        "timeout_ms": ("Expected `int`, got `str`", "for example 3000"),
        "headers.X-One": ("Expected `str`, got `int`", ""),
        "headers.X-Three": ("Expected `str`, got `null`", ""),
        "flatten_keys": ("Expected `bool`, got `str`", "for example true"),
        "url": ("is missing", 'for example "https://hooks.example.org/orders"'),
    }


@pytest.mark.parametrize(
    ("type_name", "settings", "path", "message"),
    [
        ("webhook", {"url": "http://a", "timeout_ms": 0}, "timeout_ms", "Expected `int` >= 1"),
        ("webhook", {"url": "http://a", "headers": []}, "headers", "Expected `object`, got `array`"),
        ("webhook", [], "", "Expected `object`, got `array`"),
        ("webhook", None, "", "Expected `object`, got `null`"),
        ("webhook", {"url": "http://a", 3: 4}, "3", "unknown setting"),
        ("file", {"path": ""}, "path", "Expected `str` of length >= 1"),
        ("pigeon", {}, "", "unknown destination type 'pigeon'"),
    ],
)
def test_a_problem_says_where_and_what(type_name: str, settings: object, path: str, message: str) -> None:
    config, (problem,) = registry.validate(type_name, settings)
    assert config is None
    assert (problem.path, problem.message) == (path, message)


def test_problems_inside_lists_and_nested_structs_have_their_place() -> None:
    class Inner(msgspec.Struct, forbid_unknown_fields=True):
        size: int

    class Outer(msgspec.Struct):
        inner: Inner
        words: list[str] = []

    problems = registry.find_problems("", {"inner": {"siez": 1}, "words": ["a", 2]}, Outer)
    assert [(problem.path, problem.message) for problem in problems] == [
        ("inner.siez", "unknown setting"),
        ("inner.size", "is missing"),
        ("words.1", "Expected `str`, got `int`"),
    ]
