"""Other sizes and formats of exported images; what nothing has to change in is copied byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tasks.core.configuration.sections import SigningSettings
from tasks.core.errors import BadImage, OutputError, Rejected
from tasks.metadata.exports.conversion import Conversion
from tasks.metadata.exports.images import ExportedImage
from tasks.store.embedding.embed import embed, find_provenance, find_source_type, is_signed, read
from tasks.store.embedding.notes import Notes
from tasks.store.embedding.xmp import GENERATED
from tasks.store.encode import encode
from tasks.store.images import DECODER_ERRORS, open_image, turn_upright
from tasks.store.signing import sign, sign_edit

# Palettes and the like have no colours between theirs, which a filter needs.
_PLAIN_MODES = frozenset({"L", "RGB", "RGBA"})


@dataclass(frozen=True, slots=True)
class ConvertedImage:
    """One file of an image."""

    data: bytes
    facts: dict[str, Any]
    """Columns of the table that differ from the batch's."""
    lost_signature: bool = False


def convert_image(image: ExportedImage, size: int | None, conversion: Conversion) -> ConvertedImage:
    """The image with so many pixels on its longest side, or fewer where it has fewer, in the wanted format.

    Raises:
        OutputError: It cannot be decoded, or the format does not hold it.
    """
    own = image.row["format"]
    form = conversion.choose_format(own)
    is_small = size is None or max(image.row["width"], image.row["height"]) <= size
    # Encoded again it would lose a little, and its signature, for nothing.
    if form == own and is_small:
        return _sign_copy(image, conversion.signing)
    try:
        with open_image(image.data) as opened:
            pixels = _resize(_to_plain(opened), size)
            data = encode(pixels, format=form, quality=conversion.quality)
    except (BadImage, Rejected, *DECODER_ERRORS) as exc:
        raise OutputError(f"{image.row['file_name']}: cannot be written as {form} ({exc})") from None
    data = embed(data, _renew_notes(image.data))
    if conversion.signing is not None:
        data = _sign_again(data, form, image, conversion.signing, is_resized=not is_small)
    facts = {"width": pixels.width, "height": pixels.height, "format": form} | _describe(data)
    return ConvertedImage(data, facts, lost_signature=is_signed(image.data) and not is_signed(data))


def _renew_notes(original: bytes) -> Notes:
    """The notes of the original, for the new file; the provider's signature says more than its lack of a source type."""
    source_type = find_source_type(original) or (GENERATED if is_signed(original) else None)
    return Notes(read(original), source_type)


def _sign_copy(image: ExportedImage, signing: SigningSettings | None) -> ConvertedImage:
    if signing is None or is_signed(image.data):
        return ConvertedImage(image.data, {})
    data = _sign_again(image.data, image.row["format"], image, signing, is_resized=False)
    return ConvertedImage(data, _describe(data))


def _sign_again(data: bytes, form: str, image: ExportedImage, signing: SigningSettings, *, is_resized: bool) -> bytes:
    """The file signed; where the original is signed, as an edit of it."""
    own = image.row["format"]
    if not is_signed(image.data):
        return sign(data, form, signing, model=image.row["model"], source_type=find_source_type(data))
    actions = [*(["c2pa.resized"] if is_resized else []), *(["c2pa.transcoded"] if form != own else [])]
    return sign_edit(data, form, signing, (image.data, own), actions)


def _describe(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "provenance": find_provenance(data)}


def _to_plain(image: Image.Image) -> Image.Image:
    # Viewers turn a photo by its Exif data, which the new file does not have.
    turned = turn_upright(image)
    if turned.mode in _PLAIN_MODES and "transparency" not in turned.info:
        return turned
    if turned.mode.startswith("I"):
        # Grey of 16 bits: Pillow cuts at 255 instead of scaling, and the image would be white.
        return turned.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    plain = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    # A profile of printing inks says nothing about red, green and blue.
    if turned.mode == "CMYK":
        plain.info.pop("icc_profile", None)
    plain.info.pop("transparency", None)
    return plain


def _resize(image: Image.Image, size: int | None) -> Image.Image:
    longest = max(image.size)
    if size is None or longest <= size:
        return image
    # At least a pixel: a line of 4000x1 stays an image.
    shape = max(1, round(image.width * size / longest)), max(1, round(image.height * size / longest))
    return image.resize(shape, Image.Resampling.LANCZOS)
