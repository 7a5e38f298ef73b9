"""Sealed secrets: only the key file opens them, and what is wrong with it is said in words."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.control import configfile
from turnout.control.applied import Watcher, read, store
from turnout.control.configuration.render import flow
from turnout.control.configuration.seal import in_clear, sealed, sealed_anew
from turnout.control.configuration.secrets import TOKEN, Secrets
from turnout.control.yamlfile import parse
from turnout.model.errors import ConfigError, SecretError

TEXT = """\
# keep me
sites:
  '29':
    sources: {shop: {type: web, key: k}}
    destinations:
      orders:
        type: webhook   # ours
        sources: [shop]
        settings:
          url: https://x.example/${PATH_PART}
          secret: 's3cret: with $$ and "quotes"'  # why
          headers: {X-One: "one", X-Two: "${TWO}", X-Three: 'a ${TWO}', X-Four: four # last
            }
      files: {type: file, sources: [shop], settings: {path: secret}}
"""
ENVIRONMENT = {"PATH_PART": "p", "TWO": "2"}
CLEAR = ('s3cret: with $ and "quotes"', "one", "four")


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "keys" / "data.key")


@pytest.mark.parametrize("text", ["s", "é\n", "x" * 5_000, "${NOT_A_VARIABLE}", "}"])
def test_what_was_sealed_can_be_opened(secrets: Secrets, text: str) -> None:
    token = secrets.seal(text)
    assert TOKEN.fullmatch(token)
    assert text not in token or len(text) == 1
    assert Secrets(secrets.path).open(token) == text


def test_the_same_secret_is_the_same_token_so_that_nothing_changes_by_applying_twice(secrets: Secrets) -> None:
    assert secrets.seal("a") == Secrets(secrets.path).seal("a") != secrets.seal("b")


def test_the_key_file_is_its_owners_alone(secrets: Secrets) -> None:
    secrets.seal("a")
    assert secrets.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in secrets.path.parent.iterdir()] == ["data.key"]


def test_all_who_make_the_key_at_once_have_the_same(secrets: Secrets) -> None:
    tokens: list[str] = []

    def seal() -> None:
        tokens.append(Secrets(secrets.path).seal("a"))

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1


def test_a_new_key_seals_and_the_old_one_still_opens(secrets: Secrets) -> None:
    assert Secrets(secrets.path.with_name("new")).rotate(), "also where there was none"
    old = secrets.seal("a")
    name = secrets.rotate()
    assert f":{name}:" in secrets.seal("a")
    for reader in (secrets, Secrets(secrets.path)):
        assert reader.open(old) == reader.open(reader.seal("a")) == "a"
    assert f":{name}:" in sealed_anew(f"x: '{old}' # {old}", secrets)


def test_every_reason_why_a_secret_can_not_be_opened_is_told(tmp_path: Path, secrets: Secrets) -> None:
    token = secrets.seal("a secret")
    missing, foreign = Secrets(tmp_path / "none"), Secrets(tmp_path / "foreign")
    foreign.seal("a")
    broken = Secrets(tmp_path / "broken")
    broken.path.write_text("no key\n")
    empty = Secrets(tmp_path / "empty")
    empty.path.write_text("# nothing\n")
    folder = Secrets(tmp_path / "keys")
    for reader, what, said in (
        (missing, token, "is not there"),
        (foreign, token, "does not have it"),
        (broken, token, "is none"),
        (empty, token, "is none"),
        (folder, token, "can't be read"),
        (secrets, token[:-4] + "AAA}", "is not as it was sealed"),
        (secrets, token[:30] + "}", "is not as it was sealed"),
        (secrets, "${secret:v1:abc}", "is no sealed secret"),
        (secrets, "${secret:v2:00000000:AAAA}", "is no sealed secret"),
    ):
        with pytest.raises(SecretError, match=said):
            reader.open(what)


def test_a_key_file_that_can_not_be_made_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match=r"file/data.key can't be written: .* TURNOUT_SECRET_KEY_FILE"):
        Secrets(tmp_path / "file" / "data.key").seal("a")


def test_without_making_a_file_nothing_is_left(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "data.key", make=False)
    assert secrets.open(secrets.seal("a")) == "a"
    assert list(tmp_path.iterdir()) == []


def test_secrets_in_clear_are_sealed_in_their_places_and_every_other_byte_stays(secrets: Secrets) -> None:
    done = sealed(TEXT, ENVIRONMENT, secrets)
    assert done.count == 3
    again = TEXT
    for clear, written in zip(CLEAR, ("'s3cret: with $$ and \"quotes\"'", '"one"', "four"), strict=True):
        assert clear not in done.text
        quote = written[0] if written[0] in "'\"" else ""
        again = again.replace(
            written, f"{quote}{secrets.seal(clear)}{quote}" if quote else f"'{secrets.seal(clear)}'", 1
        )
    assert done.text.replace("'", "").replace('"', "") == again.replace("'", "").replace('"', "")
    orders = configfile.load(done.text, ENVIRONMENT, secrets).destinations["29/orders"].settings
    assert orders == configfile.load(TEXT, ENVIRONMENT).destinations["29/orders"].settings
    assert sealed(done.text, ENVIRONMENT, secrets).text == done.text
    assert list(in_clear(parse(done.text), ENVIRONMENT)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["# c\u00e9\r\n", "\n", "#\tx\n", "   \n", "# ${NOT_ONE}\r\n"]), max_size=4).map("".join),
    st.text("ab$\"'{}:# \u00e9\u2028\\,\n", min_size=1, max_size=9),
    st.sampled_from([None, "'", '"']),
)
def test_what_is_applied_is_the_file_to_the_byte_but_for_its_secrets(
    tmp_path_factory: pytest.TempPathFactory, comments: str, secret: str, quote: str | None
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    secrets = Secrets(folder / "data.key")
    written = flow("x" + secret.replace("$", "$$"), quote)
    parts = [
        f"{comments}sites:\n  s:\n    sources: {{a: {{type: web, key: k}}}}\n{comments}    destinations:\n",
        "      d: {type: webhook, sources: [a], settings: {url: 'https://x', secret: ",
        f"}}}}  #{comments or '.'}",
    ]
    done = sealed(f"{parts[0]}{parts[1]}{written}{parts[2]}", {}, secrets)
    token = secrets.seal("x" + secret)
    assert done.text in [f"{parts[0]}{parts[1]}{one}{token}{one}{parts[2]}" for one in ("'", '"')]
    store(folder, done.text)
    assert read(folder) == done.text
    assert sealed(done.text, {}, secrets).text == done.text


def test_the_ways_to_tell_of_an_alert_are_secrets_too(secrets: Secrets) -> None:
    text = """
sites:
  s:
    alerts:
      lag:
        category: processing/lag
        notify:
          chat: {channel: SLACK, url: "https://hooks.example/T1/B2"}
          team: {channel: TEAMS, url: "https://hooks.example/${TEAMS}"}
          pager: {channel: WEBHOOK, url: "https://pager.example", secret: hush}
"""
    done = sealed(text, {"TEAMS": "t"}, secrets)
    assert done.count == 3
    assert "T1" not in done.text
    assert "hush" not in done.text
    assert configfile.load(done.text, {"TEAMS": "t"}, secrets).alerts == configfile.load(text, {"TEAMS": "t"}).alerts


def test_headers_of_an_api_that_enriches_are_secrets_too(secrets: Secrets) -> None:
    text = """
sites:
  s:
    sources: {a: {type: web, key: k}}
    enrichments:
      - {label: x, properties: [{property: p}], api: {url: "https://x.example", headers: {Authorization: Bearer hush}}}
"""
    done = sealed(text, {}, secrets)
    assert "hush" not in done.text
    (rule,) = done.snapshot.enrichments
    assert rule.api is not None
    assert rule.api.headers == {"Authorization": "Bearer hush"}


def test_a_secret_that_is_shared_by_an_alias_is_sealed_once(secrets: Secrets) -> None:
    text = """
sites:
  s:
    sources: {a: {type: web, key: k}}
    destinations:
      x: {type: webhook, sources: [a], settings: &both {url: https://x.example, secret: hush, headers: {K: &k hush}}}
      y: {type: webhook, sources: [a], settings: *both}
      z: {type: webhook, sources: [a], settings: {<<: *both, body: {k: *k}}}
"""
    done = sealed(text, {}, secrets)
    assert done.text.count(secrets.seal("hush")) == 2
    assert "hush" not in done.text
    assert configfile.load(done.text, {}, secrets).destinations == configfile.load(text, {}).destinations


def test_a_secret_that_can_not_be_opened_is_a_problem_with_its_path(tmp_path: Path, secrets: Secrets) -> None:
    text = sealed(TEXT, ENVIRONMENT, secrets).text
    for reader in (None, Secrets(tmp_path / "none")):
        with pytest.raises(ConfigError) as caught:
            configfile.load(text, ENVIRONMENT, reader)
        paths = [problem.path for problem in caught.value.problems]
        assert paths == [
            f'sites."29".destinations.orders.settings.{name}' for name in ("secret", "headers.X-One", "headers.X-Four")
        ]


def test_a_process_goes_on_without_the_key_file_and_follows_when_it_is_back(tmp_path: Path, secrets: Secrets) -> None:
    watcher = Watcher(tmp_path, ENVIRONMENT, secrets)
    store(tmp_path, sealed(TEXT, ENVIRONMENT, secrets).text)
    assert watcher.refresh() is not None
    before = watcher.snapshot
    away = secrets.path.rename(tmp_path / "away")
    store(tmp_path, sealed(TEXT, ENVIRONMENT, Secrets(away)).text + "# more\n")
    assert watcher.refresh() is None
    assert watcher.snapshot is before
    assert "is not there" in watcher.error
    away.rename(secrets.path)
    assert watcher.refresh() is not None
    assert watcher.error == ""
