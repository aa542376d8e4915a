"""Images that go into a request: addresses as they are, files as `data:` addresses in its input.

fal.ai takes both wherever a model takes a file (fal.ai/docs, "fal CDN", read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.backends.fal.options import FalOptions
from tasks.core.errors import Rejected
from tasks.core.records import Job, ReferenceImage
from tasks.store.references import build_data_address, get_references, read_reference

MOST_DATA_BYTES = 8 * 1024 * 1024
"""Ours: what a request of all its images should not be larger than; the service states no limit."""
LIST = "[]"


def get_image_inputs(options: FalOptions) -> Mapping[str, str]:
    """Names of the model's inputs for images, by column."""
    names = {"image": options.image_input, "mask": options.mask_input}
    return {column: name for column, name in names.items() if name is not None}


def build_image_inputs(job: Job, options: FalOptions) -> dict[str, Any]:
    """The inputs of the job's images. Blocks: it reads files.

    Raises:
        Rejected: A file is gone, has changed since the plan, or is too large. Nothing was sent.
    """
    values: dict[str, Any] = {}
    for column, image in get_references(job).items():
        if name := get_image_inputs(options).get(column):
            address = _build_address(column, image)
            values[name.removesuffix(LIST)] = [address] if name.endswith(LIST) else address
    return values


def _build_address(column: str, image: ReferenceImage) -> str:
    if not image.is_file:
        return image.address
    data = read_reference(image)
    if len(data) > MOST_DATA_BYTES:
        most = MOST_DATA_BYTES // 2**20
        raise Rejected(f"{column}: larger than {most} MiB; put it where fal.ai can fetch it", kind="input_image")
    return build_data_address(data)
