"""What `imagen server` sets for Prefect's server, and whom it lets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.orchestration.server.public_server import require_login, set_server_defaults


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of a user who has set nothing for Prefect."""
    monkeypatch.chdir(tmp_path)
    return {"PREFECT_HOME": str(tmp_path)}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_this_machine_needs_no_login(host: str, environ: dict[str, str]) -> None:
    """Nobody else reaches a loopback address."""
    require_login(host, environ)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "prefect.example.org"])  # noqa: S104  never listened on
def test_other_machines_need_a_login(host: str, environ: dict[str, str]) -> None:
    """The refusal names both variables; with a login, in the environment or a profile, the server may start."""
    with pytest.raises(ConfigError, match=r"PREFECT_SERVER_API_AUTH_STRING.*PREFECT_API_AUTH_STRING"):
        require_login(host, environ)
    require_login(host, environ | {"PREFECT_SERVER_API_AUTH_STRING": "me:secret"})


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:4201"), ("::1", "http://[::1]:4201"), ("a.b", "http://a.b:4201")],
)
def test_links_lead_to_this_server(host: str, address: str, environ: dict[str, str]) -> None:
    """Its pages ask the server that they came from, notifications link to it, and no other page may ask it."""
    set_server_defaults(host, 4201, environ)
    assert environ["PREFECT_SERVER_UI_API_URL"] == "/api"
    assert environ["PREFECT_UI_URL"] == environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == address


def test_all_addresses_are_linked_by_the_machines_name(environ: dict[str, str]) -> None:
    """0.0.0.0 is where a server listens and no address to open."""
    set_server_defaults("0.0.0.0", 4200, environ)  # noqa: S104  never listened on
    assert "0.0.0.0" not in environ["PREFECT_UI_URL"]  # noqa: S104  likewise


def test_the_users_own_settings_are_kept(environ: dict[str, str]) -> None:
    """Such as the address of a proxy in front of the server."""
    environ["PREFECT_UI_URL"] = "https://prefect.example.org"
    set_server_defaults("127.0.0.1", 4200, environ)
    assert environ["PREFECT_UI_URL"] == "https://prefect.example.org"


@pytest.mark.parametrize("variable", ["PREFECT_UI_SERVE_BASE", "PREFECT_SERVER_UI_SERVE_BASE"])
def test_a_path_of_a_proxy_is_part_of_the_links(variable: str, environ: dict[str, str]) -> None:
    """The pages ask the API under its own path, and a notification links to theirs; an origin has no path."""
    environ |= {"PREFECT_SERVER_API_BASE_PATH": "/prefect/api", variable: "/prefect/"}
    set_server_defaults("127.0.0.1", 4200, environ)
    assert environ["PREFECT_SERVER_UI_API_URL"] == "/prefect/api"
    assert environ["PREFECT_UI_URL"] == "http://127.0.0.1:4200/prefect"
    assert environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
