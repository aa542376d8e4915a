"""Manifests at an address, where the environment says how to get there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.manifest.remote import fetch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://me:s3cret@[::1"),
        ("HTTPS_PROXY", "ftp://me:s3cret@host:1"),
        ("NO_PROXY", "[::1"),
        ("SSL_CERT_FILE", "/no/such/file"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, and no part of a password is shown."""
    for other in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.lower(), raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"cannot be fetched: .*{name}") as caught:
        fetch("https://example.invalid/m.csv", tmp_path)
    assert "s3cret" not in str(caught.value)
