"""What is fixed at start: defaults, variables, options, and what is wrong with them."""

import pytest

from turnout.model.errors import ConfigError
from turnout.settings import Settings, address, descriptions, load, strangers, variable


def test_without_anything_the_defaults_hold() -> None:
    assert load({}) == Settings()


def test_an_option_wins_over_its_variable_and_both_over_the_default() -> None:
    environment = {"TURNOUT_DATA": "/env", "TURNOUT_COLLECT": "127.0.0.1:1", "TURNOUT_READY_LAG": "5", "OTHER": "x"}
    found = load(environment, data="/option", collect=None)
    assert (found.data, found.collect, found.ready_lag) == ("/option", "127.0.0.1:1", 5)


def test_every_setting_is_described_and_read_from_its_variable() -> None:
    assert set(descriptions()) == set(Settings.__struct_fields__)
    assert all(descriptions().values())
    special = {
        "egress_private": "deny",
        "proxy_protocol": "on",
        "delivery_empty_404": "off",
        "trusted_proxies": "::1",
        "gateway_prefixes": "/m",
        "smtp": "smtp://mail.example.org",
        "mail_from": "a@example.org",
        "public_url": "https://turnout.example.org",
    }
    partners = {"proxy_protocol": "trusted_proxies", "tls_cert": "tls_key", "tls_key": "tls_cert", "smtp": "mail_from"}
    for field in Settings.__struct_fields__:
        value = getattr(Settings(), field)
        changed = {int: "3", float: "2.5"}.get(type(value), special.get(field, "127.0.0.1:3"))
        environment = {variable(field): changed}
        if partner := partners.get(field):
            environment[variable(partner)] = special.get(partner, "127.0.0.1")
        assert str(getattr(load(environment), field)) == changed


def test_lists_are_taken_apart() -> None:
    found = load({"TURNOUT_TRUSTED_PROXIES": " 10.0.0.0/8, ::1,", "TURNOUT_GATEWAY_PREFIXES": "/metrics/, /a/b"})
    assert found.proxies == ("10.0.0.0/8", "::1")
    assert found.prefixes == ("/metrics", "/a/b")
    assert (Settings().proxies, Settings().prefixes) == ((), ())


@pytest.mark.parametrize(
    ("environment", "options", "problem"),
    [
        (
            {"TURNOUT_COLLECT": "8080"},
            {},
            "TURNOUT_COLLECT: '8080' is not HOST:PORT (for example 127.0.0.1:8080)",
        ),
        ({}, {"control": "x:y"}, "--control: 'x:y' is not HOST:PORT (for example 127.0.0.1:8081)"),
        ({"TURNOUT_CONTROL": "x:y"}, {"control": "x:y"}, "TURNOUT_CONTROL: 'x:y' is not HOST:PORT"),
        ({"TURNOUT_REPLAY_DAYS": "0"}, {}, "TURNOUT_REPLAY_DAYS: '0' can't be used: Expected `int` >= 1"),
        ({"TURNOUT_LOG_BYTES": "2GB"}, {}, "TURNOUT_LOG_BYTES: '2GB' can't be used"),
        ({"TURNOUT_HEAD_SECONDS": "0"}, {}, "TURNOUT_HEAD_SECONDS: '0' can't be used"),
        ({"TURNOUT_IDLE_SECONDS": "nan"}, {}, "TURNOUT_IDLE_SECONDS: 'nan' can't be used"),
        ({"TURNOUT_RESERVE_BYTES": "-1"}, {}, "TURNOUT_RESERVE_BYTES: '-1' can't be used"),
        ({"TURNOUT_EGRESS_PRIVATE": "no"}, {}, "TURNOUT_EGRESS_PRIVATE: 'no' can't be used"),
        ({"TURNOUT_TRUSTED_PROXIES": "::1,proxy"}, {}, "TURNOUT_TRUSTED_PROXIES: 'proxy' is neither an address nor"),
        ({"TURNOUT_TRUSTED_PROXIES": "10.0.0.0/33"}, {}, "TURNOUT_TRUSTED_PROXIES: '10.0.0.0/33' is neither"),
        ({"TURNOUT_PROXY_PROTOCOL": "on"}, {}, "TURNOUT_PROXY_PROTOCOL: is only believed of trusted proxies"),
        ({"TURNOUT_GATEWAY_PREFIXES": "metrics"}, {}, "TURNOUT_GATEWAY_PREFIXES: 'metrics' is no path"),
        ({"TURNOUT_GATEWAY_PREFIXES": "/a?b"}, {}, "TURNOUT_GATEWAY_PREFIXES: '/a?b' is no path"),
        ({"TURNOUT_TLS_CERT": "c.pem"}, {}, "TURNOUT_TLS_CERT: is of no use alone (set TURNOUT_TLS_KEY too)"),
        ({"TURNOUT_TLS_KEY": "k.pem"}, {}, "TURNOUT_TLS_KEY: is of no use alone (set TURNOUT_TLS_CERT too)"),
        (
            {
                "TURNOUT_TLS_CERT": "c",
                "TURNOUT_TLS_KEY": "k",
                "TURNOUT_PROXY_PROTOCOL": "on",
                "TURNOUT_TRUSTED_PROXIES": "::1",
            },
            {},
            "TURNOUT_PROXY_PROTOCOL: does not go together with TLS",
        ),
        (
            {"TURNOUT_SMTP": "mail.example.org", "TURNOUT_MAIL_FROM": "a@example.org"},
            {},
            "TURNOUT_SMTP: must start with smtp://, smtps://",
        ),
        ({"TURNOUT_SMTP": "smtp://mail.example.org"}, {}, "TURNOUT_SMTP: mails need an address that they come from"),
        ({"TURNOUT_MAIL_FROM": "a\nb@example.org"}, {}, "TURNOUT_MAIL_FROM: is no address"),
        ({"TURNOUT_PUBLIC_URL": "turnout.example.org"}, {}, "TURNOUT_PUBLIC_URL: is no URL"),
        ({}, {"collect": "127.0.0.1:8081"}, "--collect: is taken twice"),
        ({"TURNOUT_CONTROL": "127.0.0.1:8080"}, {}, "TURNOUT_CONTROL: is taken twice"),
    ],
)
def test_what_cannot_be_used_is_named_as_it_was_given(
    environment: dict[str, str], options: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environment, **options)
    (found,) = caught.value.problems
    assert str(found).startswith(problem)
    assert found.fix


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"TURNOUT_COLLECT": "x", "TURNOUT_READY_LAG": "x", "TURNOUT_DATA": ""})
    assert [problem.path for problem in caught.value.problems] == ["TURNOUT_COLLECT", "TURNOUT_READY_LAG"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("example.org:0", ("example.org", 0)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "8080", "host:", "host:65536", "host:-1", "host:http"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        address(text)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("TURNOUT_COLECT", "did you mean TURNOUT_COLLECT?"),
        ("TURNOUT_DAT", "did you mean TURNOUT_DATA?"),
        ("TURNOUT_XYZ", "see `turnout serve --help`"),
    ],
)
def test_a_variable_that_means_nothing_is_told(name: str, fix: str) -> None:
    (problem,) = strangers({name: "1", "TURNOUT_DATA": "x", "TURNOUT_JSON": "1", "PATH": "x"}, ["TURNOUT_JSON"])
    assert (problem.path, problem.fix) == (name, fix)
