"""Images that a local pipeline starts from: read from their files, in the size of the image that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from tasks.backends.diffusers_local.calls import MASK, Call
from tasks.core.errors import BadImage, Rejected
from tasks.core.records import ReferenceImage
from tasks.store.images import DECODER_ERRORS, open_image
from tasks.store.references import read_reference


def read_image_inputs(call: Call) -> Call:
    """The call with its files read. Blocks.

    Raises:
        Rejected: A file is gone, has changed since the plan, or cannot be decoded. Nothing was made.
    """
    if not call.references:
        return call
    # This machine fetches nothing that a row names, for a local model as well as for any other.
    if any(not reference.is_file for reference in call.references.values()):
        raise Rejected("an address is not asked for: a local model fetches nothing; give a file", kind="input_image")
    images = {column: _fit(reference, call, column) for column, reference in call.references.items()}
    return replace(call, images=images)


def _fit(reference: ReferenceImage, call: Call, column: str) -> Any:
    """Scaled to cover the call's size, and cut at the edges that stand out; a mask in shades of grey."""
    try:
        with open_image(read_reference(reference)) as image:
            plain = image.convert("L" if column == MASK else "RGB")
    except (BadImage, *DECODER_ERRORS) as exc:
        # Its name alone, as `read_reference` gives it.
        name = Path(reference.address).name
        raise Rejected(f"{column}: {name} cannot be decoded ({exc})", kind="input_image") from None
    # Cover and crop: a stretched face is worse than a cut edge.
    return ImageOps.fit(plain, (call.width, call.height), Image.Resampling.LANCZOS)
