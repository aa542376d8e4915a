"""Step 5: the bytes of an image become a file: checked, measured, given its parameters, written whole.

Takes a job and what its backend fetched, gives a `StoredImage`. What is written down is what the bytes are,
whatever was asked for. Knows neither backends nor the ledger, nor whether the file goes to a folder or a bucket.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)
from slugify import slugify

from tasks.core.configuration.sections import OutputSettings, Verify
from tasks.core.errors import BadImage
from tasks.core.records import Job, StoredImage
from tasks.store.chunks import build_bad_image, describe_beginning, detect_format
from tasks.store.decoding import budget
from tasks.store.embedding.embed import embed, find_provenance
from tasks.store.embedding.notes import build_notes
from tasks.store.encode import EXTENSIONS
from tasks.store.exif import is_turned
from tasks.store.output import NewFile, Output
from tasks.store.output.base import IMAGES
from tasks.store.png_texts import drop_packed_texts
from tasks.store.signing import sign
from tasks.store.structure import is_proven_whole
from tasks.store.webp import read_webp_header

MAX_IMAGE_PIXELS = 200_000_000
"""Width times height that is still decoded: 0.8 GB of memory; what claims more is taken for an attack."""

SMALL_IMAGE_PIXELS = 256 * 256
"""An image of so many pixels is always decoded: it takes a millisecond."""

SLUG_CHARACTERS = 48

# Pillow's own limit is lower: it would refuse or warn about images that we accept, here and wherever they are read.
Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS

# The decoder is taken by the first bytes, never by trial: Pillow knows formats that start other programs.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}

# Of ten damages of a GIF its decoder sees seven, its container one; tests/tasks/store/test_structure.py counts them.
_ALWAYS_DECODED = frozenset({"gif"})

# What Pillow's decoders raise for bytes that they cannot read; memory that runs out is not the image's fault.
DECODER_ERRORS = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Facts that the bytes of an image tell about themselves."""

    width: int
    """Pixels, as a viewer shows the image: an Exif orientation that turns it is applied."""
    height: int
    """Pixels, likewise."""
    format: str
    """A key of `tasks.store.encode.EXTENSIONS`."""


def measure(data: bytes, *, verify: Verify = "auto") -> Measured:
    """Prove that the whole image is there, and read what it is.

    Args:
        data: The file.
        verify: `auto` goes by the container, and decodes small images and what the container does not prove; `decode`
            decodes every image (of an animation, the first one).

    Raises:
        BadImage: The bytes are no image, not all of it, damaged, or too large to decode. Fetching again may
            help; what they cost is not known here.
    """
    found = _detect(data)
    # A decode costs five times all the rest, so it is for what nothing cheaper proves.
    must_decode = not is_proven_whole(data, found) or found in _ALWAYS_DECODED or verify == "decode"
    try:
        return _read(data, found, must_decode=must_decode)
    # A warning too: where warnings are errors it is raised.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _build_too_large(found) from None
    except DECODER_ERRORS as exc:
        raise build_bad_image(f"the {found} of {len(data)} bytes cannot be decoded: {exc}") from exc


@contextmanager
def open_image(data: bytes) -> Iterator[Image.Image]:
    """The image of a file, within the process' budget for decoding while the block runs.

    Raises:
        BadImage: It is no image, cut off, or too large to decode.
    """
    found = _detect(data)
    is_proven_whole(data, found)
    width, height, _ = _read_header(data, found)
    if width * height > MAX_IMAGE_PIXELS:
        raise _build_too_large(found)
    with budget.reserve(width, height), _open(data, found) as image:
        yield image


def turn_upright(image: Image.Image) -> Image.Image:
    """The image as viewers show it, turned as its Exif data says."""
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:  # damaged Exif hides no image; damaged pixels are met again
        return image


def _detect(data: bytes) -> str:
    if not data:
        raise build_bad_image("no bytes came")
    if (found := detect_format(data)) is None:
        raise build_bad_image(f"what came is not an image ({', '.join(EXTENSIONS)}): {describe_beginning(data)}")
    return found


def _build_too_large(found: str) -> BadImage:
    return build_bad_image(f"the {found} is larger than {MAX_IMAGE_PIXELS} pixels")


def build_image_path(job: Job, format: str) -> str:  # noqa: A002  what every record calls it
    """Path of the job's image, relative to the output: `images/ab/fox-3f9a1c2b77d0.png`.

    Args:
        job: Its id, else its prompt, gives the readable part.
        format: Of the bytes, a key of `tasks.store.encode.EXTENSIONS`.
    """
    # Four times what is kept is enough: a slug is rarely shorter than a quarter of its text.
    words = (job.id or job.prompt).strip()[: 4 * SLUG_CHARACTERS]
    slug = slugify(words, max_length=SLUG_CHARACTERS, word_boundary=True, save_order=True) or "image"
    # 256 folders: a million files in one make every listing slow. The id makes names unique, and a repeat replaces its
    # own.
    return f"{IMAGES}/{job.job_id[:2]}/{slug}-{job.job_id[:12]}{EXTENSIONS[format]}"


@dataclass(frozen=True, slots=True)
class CheckedImage(NewFile):
    """The file of an image, checked and measured."""

    image: StoredImage


async def store_image(out: Output, job: Job, data: bytes, settings: OutputSettings) -> StoredImage:
    """Write the image into the output; safe there when this returns. The same job again replaces its file.

    Args:
        out: Where the batch's files go.
        job: Whose image it is.
        data: The file as it was fetched.
        settings: Of the check, the notes in the file and its signature. A file that comes signed stays as it is.

    Raises:
        BadImage: As `measure` has it; nothing was written.
        BatchStopped: The disk or the storage takes no more (`disk`, `storage`), or the certificate cannot be used
            (`signing`); no part of the file is left.
    """
    # Checked in the thread that writes: one hop, and the event loop never decodes.
    file = await out.write(partial(build_image_file, job, data, settings))
    return file.image


def build_image_file(job: Job, data: bytes, settings: OutputSettings) -> CheckedImage:
    """Check, measure and name the image. It takes milliseconds of a thread where it has to be decoded.

    Raises:
        BadImage: As `measure` has it.
        BatchStopped: The certificate cannot be used (`signing`).
    """
    measured, notes = measure(data, verify=settings.verify), build_notes(job, settings)
    # After the checks: a damaged file must be seen as it came.
    final = embed(data, notes)
    if settings.signing is not None:
        final = sign(final, measured.format, settings.signing, model=job.model, source_type=notes.source_type)
    file_name = build_image_path(job, measured.format)
    image = StoredImage(
        file_name=file_name,
        width=measured.width,
        height=measured.height,
        format=measured.format,
        bytes=len(final),
        sha256=hashlib.sha256(final).hexdigest(),  # of what lies on disk, for whoever checks it later
        provenance=find_provenance(final),
    )
    return CheckedImage(file_name, final, image)


def _read(data: bytes, found: str, *, must_decode: bool) -> Measured:
    width, height, exif = _read_header(data, found)
    # Not left to `Image.open`: it checks the size only after the decoder was made, and with a warning.
    if width * height > MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    if must_decode or width * height <= SMALL_IMAGE_PIXELS:
        with budget.reserve(width, height), _open(data, found) as image:
            image.load()
    return Measured(height, width, found) if is_turned(exif) else Measured(width, height, found)


def _read_header(data: bytes, found: str) -> tuple[int, int, bytes]:
    """Width, height and Exif data, without decoding."""
    if found == "webp":
        # Pillow's reader takes the memory of the whole canvas, twice, as soon as it is opened.
        header = read_webp_header(data)
        return header.width, header.height, header.exif or b""
    with _open(data, found) as image:
        return image.width, image.height, image.info.get("exif") or b""


def _open(data: bytes, found: str) -> ImageFile.ImageFile:
    return _DECODERS[found](BytesIO(drop_packed_texts(data) if found == "png" else data))
