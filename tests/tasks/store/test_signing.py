"""Content Credentials, read back by the library of the Content Authenticity Initiative."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.core.configuration.sections import SigningSettings
from tasks.core.errors import BatchStopped, ConfigError
from tasks.store.embedding.embed import find_provenance, is_signed
from tasks.store.embedding.xmp import EDITED, GENERATED
from tasks.store.images import measure
from tasks.store.signing import check_signing, sign, sign_edit
from tests.support.certificates import Certificate, make_certificate
from tests.tasks.store.embedding.test_parameters import pixels, saved

SIGNING = SigningSettings()
FORMS = ["png", "jpeg", "webp", "gif", "avif"]


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    """A certificate of an authority that nobody knows."""
    return make_certificate()


@pytest.fixture(autouse=True)
def _variables(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C2PA_CERTIFICATE", certificate.chain)
    monkeypatch.setenv("C2PA_PRIVATE_KEY", certificate.key)


def read_manifests(data: bytes, form: str) -> dict[str, Any]:
    """What a verifier says about the file."""
    import c2pa  # noqa: PLC0415  loads a large library

    with c2pa.Reader(f"image/{form}", BytesIO(data)) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def list_actions(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The actions of the newest manifest."""
    newest = found["manifests"][found["active_manifest"]]
    assertions = (each["data"]["actions"] for each in newest["assertions"] if each["label"].startswith("c2pa.actions"))
    return [action for actions in assertions for action in actions]


@pytest.mark.parametrize("form", FORMS)
def test_a_verifier_finds_the_manifest_valid(form: str) -> None:
    """A signed file says who made it and how, has the same pixels, and is known as signed."""
    data = saved(Image.linear_gradient("L").convert("RGB"), form)
    signed = sign(data, form, SIGNING, model="black-forest-labs/flux-schnell", source_type=EDITED)
    found = read_manifests(signed, form)
    (action,) = list_actions(found)
    assert found["validation_state"] == "Valid"
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", EDITED)
    assert action["softwareAgent"]["name"] == "black-forest-labs/flux-schnell"
    assert find_provenance(signed) == "c2pa"
    assert pixels(signed) == pixels(data)
    assert measure(signed) == measure(data)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_comes_signed_keeps_its_manifest(form: str) -> None:
    """A provider's credentials are not covered by ours."""
    theirs = sign(saved(Image.new("RGB", (64, 64)), form), form, SIGNING, model="theirs", source_type=GENERATED)
    assert sign(theirs, form, SIGNING, model="ours", source_type=GENERATED) == theirs


def test_an_edit_is_chained_to_its_original() -> None:
    """A smaller file holds the manifest of the large one, and says what was done to it."""
    original = sign(saved(Image.new("RGB", (64, 64)), "png"), "png", SIGNING, model="m", source_type=GENERATED)
    small = saved(Image.new("RGB", (32, 32)), "webp")
    edited = sign_edit(small, "webp", SIGNING, (original, "png"), ["c2pa.resized", "c2pa.transcoded"])
    found = read_manifests(edited, "webp")
    assert found["validation_state"] == "Valid"
    assert len(found["manifests"]) == 2
    assert [action["action"] for action in list_actions(found)] == ["c2pa.opened", "c2pa.resized", "c2pa.transcoded"]


def test_a_changed_byte_is_found_by_a_verifier() -> None:
    """The signature covers the pixels."""
    signed = bytearray(sign(saved(Image.new("RGB", (64, 64)), "jpeg"), "jpeg", SIGNING, model="m", source_type=None))
    signed[-10] ^= 1
    assert is_signed(bytes(signed))
    assert read_manifests(bytes(signed), "jpeg")["validation_state"] == "Invalid"


def test_variables_may_name_files(certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container mounts its secrets as files."""
    for variable, text in (("C2PA_CERTIFICATE", certificate.chain), ("C2PA_PRIVATE_KEY", certificate.key)):
        (tmp_path / variable).write_text(text)
        monkeypatch.setenv(variable, str(tmp_path / variable))
    check_signing(SIGNING)


def break_certificate(name: str, certificate: Certificate, folder: Path) -> dict[str, str]:
    """Variables with one mistake."""
    (folder / "text").write_text("no key")
    return {
        "unset": {"C2PA_PRIVATE_KEY": ""},
        "missing file": {"C2PA_PRIVATE_KEY": "/nowhere/key.pem"},
        "no PEM": {"C2PA_CERTIFICATE": str(folder / "text")},
        "a folder": {"C2PA_CERTIFICATE": str(folder)},
        "a NUL": {"C2PA_CERTIFICATE": "x" * 5_000},
        "another key": {"C2PA_PRIVATE_KEY": make_certificate().key},
        "cut off": {"C2PA_PRIVATE_KEY": certificate.key[:60]},
        "swapped": {"C2PA_PRIVATE_KEY": certificate.chain, "C2PA_CERTIFICATE": certificate.key},
        "self-signed": {"C2PA_CERTIFICATE": certificate.authority},
    }[name]


@pytest.mark.parametrize(
    "name",
    ["unset", "missing file", "no PEM", "a folder", "a NUL", "another key", "cut off", "swapped", "self-signed"],
)
def test_a_wrong_certificate_is_told_before_anything_is_paid(
    name: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear error names the setting, and never a part of the key."""
    for variable, value in break_certificate(name, certificate, tmp_path).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=r"^output\.c2pa") as caught:
        check_signing(SIGNING)
    assert certificate.key.splitlines()[1] not in str(caught.value)


def test_an_algorithm_that_does_not_fit_the_key_is_told() -> None:
    """The algorithm is the key's."""
    with pytest.raises(ConfigError, match=r"^output\.c2pa"):
        check_signing(SigningSettings(algorithm="ps256"))


def test_a_key_that_goes_away_stops_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that was paid for is not thrown away, nor stored without the signature that was asked for."""
    monkeypatch.delenv("C2PA_PRIVATE_KEY")
    with pytest.raises(BatchStopped, match="resume") as caught:
        sign(saved(Image.new("RGB", (9, 9)), "png"), "png", SIGNING, model="m", source_type=None)
    assert caught.value.reason == "signing"
