"""Alerts in `turnout.yaml`: what they become, and everything that can be wrong with them."""

import pytest

from turnout.control.configfile import load
from turnout.model.alerts import Alert, DeliveryRatio, Notification, Silence
from turnout.model.errors import ConfigError

HEAD = """
sites:
  "29":
    sources:
      shop: {type: web, key: k-1}
    destinations:
      orders: {type: file, sources: [shop], settings: {path: out/a.ndjson}}
  "31":
    sources:
      other: {type: web, key: k-2}
    alerts:
      quiet: {category: source/silence, source: other}
"""


def read(alert: str, **environment: str) -> dict[str, Alert]:
    """The alerts of a configuration with this one in site 29."""
    text = HEAD.replace('  "31":', f"    alerts:\n      mine: {alert}\n" + '  "31":')
    return load(text, environment).alerts


def test_a_rule_is_read_with_its_defaults() -> None:
    found = read("{category: destination/delivery, destination: orders}")
    assert found == {
        "29/mine": Alert(
            site="29",
            name="mine",
            category="destination/delivery",
            subject="29/orders",
            parameters=DeliveryRatio(threshold=90, window="PT1H", min_events=20),
        ),
        "31/quiet": Alert(
            site="31", name="quiet", category="source/silence", subject="31/other", parameters=Silence(max_age="PT1H")
        ),
    }


def test_who_is_told_is_read_with_variables() -> None:
    mine = read(
        "{category: destination/drift, notify: {"
        "ops: {channel: EMAIL, emails: [ops@example.org, ops@example.org], frequency: 1d},"
        'chat: {channel: SLACK, url: "${CHAT}"}}}',
        CHAT="https://hooks.example.org/s",
    )["29/mine"]
    assert mine.subject == ""
    assert mine.notify == (
        Notification(name="ops", channel="EMAIL", frequency="1d", emails=("ops@example.org",)),
        Notification(name="chat", channel="SLACK", url="https://hooks.example.org/s"),
    )


DELIVERY = "category: destination/delivery, destination: orders"
SILENCE = "category: source/silence, source: shop"


@pytest.mark.parametrize(
    ("alert", "path", "said"),
    [
        ("{}", ".category", "is missing"),
        ("{category: destination/none}", ".category", "Invalid enum value"),
        ("{category: destination/delivery}", ".destination", "is missing (one of this site's: orders)"),
        ("{category: source/silence}", ".source", "is missing (one of this site's: shop)"),
        ("{category: source/silence, source: other}", ".source", "there is no source 'other' (known: shop)"),
        ("{category: destination/drift, destination: x}", ".destination", "there is no destination 'x'"),
        (f"{{{DELIVERY}, source: shop}}", ".source", "has no effect with category: destination/delivery"),
        (f"{{{DELIVERY}, parameters: {{thresold: 1}}}}", ".parameters.thresold", "unknown setting"),
        (f"{{{DELIVERY}, parameters: {{threshold: 101}}}}", ".parameters.threshold", "Expected `float` <= 100"),
        (f"{{{DELIVERY}, parameters: {{min_events: 0}}}}", ".parameters.min_events", "Expected `int` >= 1"),
        (f"{{{DELIVERY}, parameters: {{window: 1h}}}}", ".parameters.window", "Expected `str` matching"),
        (f"{{{DELIVERY}, parameters: {{window: PT59S}}}}", ".parameters.window", "is shorter than a minute"),
        (f"{{{DELIVERY}, parameters: {{window: P32D}}}}", ".parameters.window", "is shorter than a minute, or longer"),
        (
            "{category: source/volume, source: shop, parameters: {window: PT90M}}",
            ".parameters.window",
            "must be whole hours",
        ),
        ("{category: source/volume, source: shop, parameters: {drop: null}}", ".parameters", "has neither drop nor"),
        (f"{{{SILENCE}, notify: {{a: {{channel: FAX}}}}}}", ".notify.a.channel", "Invalid enum value"),
        (f"{{{SILENCE}, notify: {{a: {{channel: EMAIL}}}}}}", ".notify.a.emails", "is missing"),
        (f"{{{SILENCE}, notify: {{a: {{channel: SLACK}}}}}}", ".notify.a.url", "is missing"),
        (
            f"{{{SILENCE}, notify: {{a: {{channel: EMAIL, emails: [me]}}}}}}",
            ".notify.a.emails[0]",
            "'me' is no address",
        ),
        (
            f'{{{SILENCE}, notify: {{a: {{channel: EMAIL, emails: ["a@b.example\\nBcc: c@d.example"]}}}}}}',
            ".notify.a.emails[0]",
            "'a@b.example\\nBcc: c@d.example' is no address",
        ),
        (f"{{{SILENCE}, notify: {{a: {{channel: TEAMS, url: x.example}}}}}}", ".notify.a.url", "is no URL"),
        (
            f"{{{SILENCE}, notify: {{a: {{channel: SLACK, url: 'https://a.example', secret: x}}}}}}",
            ".notify.a.secret",
            "has no effect with channel: SLACK",
        ),
        (
            f"{{{SILENCE}, notify: {{a: {{channel: WEBHOOK, url: 'https://a.example', secret: whsec_1}}}}}}",
            ".notify.a.secret",
            "is not base64",
        ),
        (
            f"{{{SILENCE}, notify: {{a: {{channel: EMAIL, emails: [a@b.example], frequency: 2h}}}}}}",
            ".notify.a.frequency",
            "Invalid enum value",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(alert: str, path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(alert)
    (problem,) = caught.value.problems
    assert problem.path == f'sites."29".alerts.mine{path}'
    assert said in f"{problem.message} ({problem.fix})"
