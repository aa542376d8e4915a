"""The marks of an image survive as the table in docs/images.md says."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from PIL import Image
from sqlalchemy import RowMapping

from tasks.core.configuration.sections import OutputSettings, SigningSettings
from tasks.core.records import StoredImage
from tasks.metadata.exports.conversion import Conversion, WrittenFormat
from tasks.metadata.exports.convert import convert_image
from tasks.metadata.exports.images import ExportedImage
from tasks.store.embedding.embed import find_provenance, find_source_type
from tasks.store.embedding.xmp import GENERATED
from tasks.store.images import build_image_file
from tests.support.certificates import make_certificate
from tests.support.factories import make_job

PAGE = Path(__file__).parents[4] / "docs/images.md"
FORMATS = ["png", "jpeg", "webp", "gif", "avif"]
NAMES = {"none": None, "iptc": "iptc", "c2pa": "c2pa"}


@pytest.fixture(autouse=True)
def _certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate()
    monkeypatch.setenv("C2PA_CERTIFICATE", certificate.chain)
    monkeypatch.setenv("C2PA_PRIVATE_KEY", certificate.key)


def read_table() -> dict[str, dict[str, str]]:
    """The page's table: what happens to a file, and the mark of each format after it."""
    lines = PAGE.read_text(encoding="utf-8").split("What survives, by format")[1].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:7]]
    return {row[0]: dict(zip(FORMATS, row[1:], strict=True)) for row in rows}


def store(form: str, provenance: str) -> tuple[StoredImage, bytes]:
    """An image of this format as a run stores it."""
    file = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, form)
    job, output = make_job(1), OutputSettings(provenance=provenance)  # type: ignore[arg-type]  # one of three
    stored = build_image_file(job, file.getvalue(), output)
    return stored.image, stored.data


def convert(form: str, provenance: str, conversion: Conversion) -> bytes:
    """The file that an export makes of it."""
    image, data = store(form, provenance)
    row = {"file_name": image.file_name, "format": form, "width": 256, "height": 256, "model": "m"}
    converted = convert_image(ExportedImage(cast("RowMapping", row), data), 64, conversion)
    assert converted.facts["provenance"] == find_provenance(converted.data)
    assert converted.lost_signature == (provenance == "c2pa" and conversion.signing is None)
    return converted.data


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("provenance", ["iptc", "c2pa"])
def test_a_stored_file_has_the_mark_of_the_table(form: str, provenance: str) -> None:
    """The record, the file and the page say the same."""
    image, data = store(form, provenance)
    assert image.provenance == find_provenance(data) == NAMES[read_table()[f"stored with `{provenance}`"][form]]


@pytest.mark.parametrize("written", [None, "png", "jpeg", "webp"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_converted_file_has_the_mark_of_the_table(form: str, written: WrittenFormat | None) -> None:
    """A file in another size or format still says that a model made it, as far as the original did."""
    data = convert(form, "iptc", Conversion((64,), written))
    assert find_provenance(data) == NAMES[read_table()["converted by `--sizes` or `--as`"][form]]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("provenance", ["none", "iptc", "c2pa"])
def test_a_conversion_can_be_signed(form: str, provenance: str) -> None:
    """Every file has credentials, whether its original had some or not."""
    data = convert(form, provenance, Conversion((64,), "webp", signing=SigningSettings()))
    assert find_provenance(data) == read_table()["converted with `--sign`"][form] == "c2pa"


@pytest.mark.parametrize("form", FORMATS)
def test_a_lost_signature_is_no_lost_mark(form: str) -> None:
    """A file that was signed, and is converted without a certificate, says in XMP that a model made it."""
    assert find_source_type(convert(form, "c2pa", Conversion((64,), "png"))) == GENERATED
