"""Tokens as text, and what their roles allow."""

import pytest

from turnout.control.access import ids, token
from turnout.control.access.scopes import ROLES, SCOPES, granted
from turnout.control.access.token import Credential, Token

NOW_MS = 1_795_000_000_000


def test_a_credential_survives_being_written_down() -> None:
    made = token.mint(NOW_MS)
    assert made.text.startswith("trn_")
    assert token.read(made.text) == made


def test_every_credential_is_another() -> None:
    made = [token.mint(NOW_MS) for _ in range(100)]
    assert len({one.secret for one in made}) == len({one.id for one in made}) == 100


def test_the_digest_tells_the_right_secret_and_hides_it() -> None:
    made = token.mint(NOW_MS)
    assert token.same(made, made.digest)
    assert not token.same(Credential(made.id, token.mint(NOW_MS).secret), made.digest)
    assert made.secret not in made.digest


TEXT = "trn_01m7q5cqg0e6agzv2w_" + "a" * 43
"""What a token looks like."""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "trn_",
        "nope",
        "7183b9d4-1031-11ee-be56-0242ac120002",
        TEXT + "x",
        TEXT[:-1],
        TEXT + "\n",
        TEXT.upper(),
        "trn_" + "é" * 18 + "_" + "a" * 43,
    ],
)
def test_what_has_not_the_form_of_a_token_is_none(text: str) -> None:
    assert token.read(text) is None


def test_ids_sort_by_the_time_they_were_made() -> None:
    moments = [0, 1, 31, 32, 1_000, NOW_MS, NOW_MS + 1, NOW_MS + 32_000]
    made = [ids.fresh("x_", ms) for ms in moments]
    assert made == sorted(made)
    assert {len(one) for one in made} == {2 + ids.LENGTH}


@pytest.mark.parametrize(
    ("scope", "roles"),
    [
        ("sources:read", "viewer editor admin"),
        ("delivery:read", "viewer editor admin"),
        ("audit:read", "viewer editor admin"),
        ("sources:keys", "editor admin"),
        ("inspector:pii", "editor admin"),
        ("replay:write", "editor admin"),
        ("tokens:write", "admin"),
        ("accounts:write", "admin"),
        ("admin", "admin"),
    ],
)
def test_a_role_allows_what_it_says(scope: str, roles: str) -> None:
    assert [role for role, has in ROLES.items() if scope in has] == roles.split()


def test_a_custom_token_has_its_own_scopes_alone_and_admin_is_all() -> None:
    assert granted("custom", ["sources:read"]) == {"sources:read"}
    assert granted("custom", []) == frozenset()
    assert granted("custom", ["admin"]) == frozenset(SCOPES)
    assert granted("viewer", ["admin"]) == ROLES["viewer"]


@pytest.mark.parametrize(
    ("sites", "site", "opens"),
    [
        (("29",), "29", True),
        (("29",), "2", False),
        (("29",), "*", False),
        (("29", "31"), "31", True),
        (("*",), "7", True),
    ],
)
def test_a_token_opens_its_sites(sites: tuple[str, ...], site: str, opens: bool) -> None:
    one = Token(id="tok_1", name="", role="viewer", sites=sites, created_ms=0)
    assert one.opens(site) is opens
