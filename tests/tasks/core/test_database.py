"""URLs of databases as people write them: one parser, which shows nothing of a password."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.database import check_database_url, hide_password, parse_database, parse_database_url

PASSWORDS = ["plain", "p@ss", "Hunter/two2", "a#b", "a?b", "[a]", "a:b", "℀", "50%", "p@ss/w#rd?[x]@y", "", "ü ö"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("host", ["db.example.org", "127.0.0.1", "[::1]"])
def test_a_password_may_hold_anything(password: str, host: str) -> None:
    """Quoted or not: host, port and database are found, and nothing of the password is shown."""
    for spelled in {password, quote(password, safe="")}:
        url = f"postgresql://me:{spelled}@{host}:5433/usage?sslmode=require"
        parts = parse_database_url(url)
        assert (parts.user, parts.password, parts.place) == ("me", password, (host, 5433, "usage"))
        assert str(parts) == f"postgresql://me@{host}:5433/usage?sslmode=require" == hide_password(url)
        assert password in {"", "plain"} or password not in repr(parts)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_the_driver_reads_what_was_meant(password: str) -> None:
    """Whatever the password is, asyncpg gets it, the host and the database from the checked URL."""
    url = check_database_url(f"postgres://me:{quote(password, safe='')}@host/ledger")
    hosts, options = _parse_connect_dsn_and_args(
        dsn=url, host=None, port=None, user=None, password=None, passfile=None, database=None, ssl=None,
        service=None, servicefile=None, direct_tls=None, server_settings=None, target_session_attrs=None,
        krbsrvname=None, gsslib=None,
    )  # fmt: skip
    assert [host[0] for host in hosts] == ["host"]
    assert (options.user, options.password or "", options.database) == ("me", password, "ledger")


NO_URLS = [
    "",
    "ledger.db",
    "mysql://me:Hunter2@host/db",
    "postgresql://host",
    "postgresql://me:Hunter2@host:port/db",
    "postgresql://me:Hunter2@host:0/db",
    "postgresql://me:Hunter2@host:99999/db",
    "postgresql://me:Hunter2@ho st/db",
    "postgresql://me:Hunter2@/db",
    "postgresql://host/db?password=Hunter2",
    "postgresql://[::1/db",
]


@pytest.mark.parametrize("text", NO_URLS)
def test_what_is_no_url_is_refused_without_a_word_of_it(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(ValueError, match=r"postgresql://user@host:port/database|PGPASSWORD") as refused:
        check_database_url(text)
    assert "Hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("postgresql://a:x@Host/db", "postgres://b@host:5432/db", True),
        ("postgresql://host/db", "postgresql://host:5433/db", False),
        ("postgresql://host/db", "postgresql://host/other", False),
    ],
)
def test_two_urls_of_one_database(one: str, other: str, expected: bool) -> None:  # noqa: FBT001  a case
    """Host, port and name count; the user, the password and the host's capitals do not."""
    assert (parse_database(one) == parse_database(other)) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("127.example.org", False), ("10.0.0.1", False)],
)
def test_which_hosts_are_this_machine(host: str, expected: bool) -> None:  # noqa: FBT001  a case
    """What goes there leaves this machine or not."""
    assert parse_database_url(f"postgresql://{host}/db").is_on_this_machine is expected
