"""Where a key may travel."""

from __future__ import annotations

import pytest

from tasks.core.addresses import (
    ALLOW_HTTP_VARIABLE,
    fill_in_variables,
    find_cleartext_problem,
    find_secret,
    hide_secrets,
    is_loopback,
)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "api.localhost"])
def test_addresses_of_this_machine(host: str) -> None:
    """Loopback is known by address and by name."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "localhost.evil.example", "127.0.0.1.evil.example", ""])  # noqa: S104
def test_addresses_of_others(host: str) -> None:
    """A name that only looks like this machine's is another's."""
    assert not is_loopback(host)


def test_a_key_travels_over_https_or_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http to another machine is refused, with the variable's name and the way out."""
    monkeypatch.delenv(ALLOW_HTTP_VARIABLE, raising=False)
    for url in ("https://api.example/v1", "http://127.0.0.1:8000/v1", "http://[::1]:80/"):
        assert find_cleartext_problem(url, "MY_KEY") is None
    problem = find_cleartext_problem("http://api.example/v1", "MY_KEY")
    assert problem is not None
    assert "MY_KEY" in problem
    assert ALLOW_HTTP_VARIABLE in problem
    monkeypatch.setenv(ALLOW_HTTP_VARIABLE, "true")
    assert find_cleartext_problem("http://api.example/v1", "MY_KEY") is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:hunter2@host.example:8443/m.csv", "https://host.example:8443/m.csv"),
        ("https://host.example/m.csv?X-Amz-Date=20261126T000000Z&X-Amz-Signature=ab", "https://host.example/m.csv?X-Amz-Date=***&X-Amz-Signature=***"),
        ("https://host.example/m.csv?sv=2024&sig=ab%3D#key", "https://host.example/m.csv?sv=2024&sig=***"),
        ("https://host.example/export?format=csv&gid=12", "https://host.example/export?format=csv&gid=12"),
        ("https://host.example/m.csv?eyJhbGciOiJIUzI1NiJ9", "https://host.example/m.csv?***"),
        ("s3://bucket/night/m.csv", "s3://bucket/night/m.csv"),
        ("http://[broken", "http://[broken"),
    ],
)  # fmt: skip
def test_a_shown_address_opens_nothing(address: str, shown: str) -> None:
    """Logins and signatures go; what tells two files apart stays."""
    assert hide_secrets(address) == shown


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("https://me:hunter2@host.example/m.csv", "a login"),
        ("https://ghp_x1@host.example/m.csv", "a login"),
        ("https://me:${PASSWORD}@host.example/m.csv", None),
        ("https://host.example/m.csv?X-Amz-Date=1&X-Amz-Signature=ab", "the value of 'X-Amz-Signature'"),
        ("https://host.example/m.csv?sv=2024&sig=ab%3D", "the value of 'sig'"),
        ("https://host.example/m.csv?sv=2024&sig=${SIG}", None),
        ("https://host.example/m.csv?${SAS}", None),
        ("https://host.example/m.csv?sig=***", None),
        ("https://host.example/m.csv?access_token=a", "the value of 'access_token'"),
        ("https://host.example/m.csv?key=AIzaSyA0123456", "the value of 'key'"),
        ("https://host.example/m.csv?key=fox&keyword=a-long-word-to-look-for&gid=1234567890123", None),
        ("s3://me:x@bucket/m.csv?sig=a", None),
        ("/home/me:x@host/m.csv?sig=a", None),
        ("https://[broken?sig=a", None),
    ],
)
def test_what_opens_an_address_is_known_where_that_is_sure(address: str, secret: str | None) -> None:
    """A schedule is refused for it, so a search or a number is none; neither is a variable in its place."""
    assert find_secret(address) == secret


def test_variables_stand_in_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password may hold any character; a signature is put in as it was made. An address with names can be shown."""
    monkeypatch.setenv("PASSWORD", "a@b/c")
    monkeypatch.setenv("SAS", "sv=1&sig=ab%3D")
    given = "https://me:${PASSWORD}@host.example/m.csv?${SAS}"
    assert fill_in_variables(given) == "https://me:a%40b%2Fc@host.example/m.csv?sv=1&sig=ab%3D"
    assert hide_secrets(given) == "https://host.example/m.csv?${SAS}"
    monkeypatch.delenv("SAS")
    with pytest.raises(ValueError, match="needs the environment variable SAS"):
        fill_in_variables(given)
