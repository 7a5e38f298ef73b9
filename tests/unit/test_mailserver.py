"""The mail server's URL."""

import pytest

from turnout.model.mailserver import MailServer, read


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", MailServer(host="mail.example.org", port=587, security="starttls")),
        (
            "smtps://ada:p%40ss@mail.example.org",
            MailServer(host="mail.example.org", port=465, security="tls", user="ada", password="p@ss"),
        ),
        ("smtp+plain://127.0.0.1:2525/", MailServer(host="127.0.0.1", port=2525, security="none")),
        ("smtp://[::1]:25", MailServer(host="::1", port=25, security="starttls")),
    ],
)
def test_a_url_is_read(url: str, server: MailServer) -> None:
    assert read(url) == server


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mail.example.org:25", "must start with"),
        ("http://mail.example.org", "must start with"),
        ("smtp://", "must be scheme"),
        ("smtp://mail.example.org/in", "must be scheme"),
        ("smtp://ada:hush#hush@mail.example.org", "percent-encoded"),
        ("smtp+plain://ada:hush@mail.example.org", "unencrypted"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(url)
    assert "hush" not in str(caught.value)
