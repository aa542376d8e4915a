"""The content of a request for `/images/edits`, from a job that starts from an image.

Files travel as a form, which every server that speaks the API knows. Where one of the images is an address, all of it
travels as JSON: the service fetches the address itself (OpenAI's API description, `EditImageBodyJsonParam`, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core.records import Job, ReferenceImage
from tasks.store.references import build_data_address, get_media_type, get_references, read_reference

AS_TEXT = (str, int, float)  # bool is an int; httpx writes it as true and false
"""Types that a field of a form can hold."""


def build_content(job: Job, body: Mapping[str, Any]) -> dict[str, Any]:
    """The request's content, as httpx takes it. Blocks: it reads files.

    Raises:
        Rejected: A file is gone or has changed since the plan. Nothing was sent.
    """
    images = get_references(job)
    # A form only where every image is a file: an address inside a form would be taken for the file's content.
    if all(image.is_file for image in images.values()):
        return {"data": dict(body), "files": {name: _build_part(image) for name, image in images.items()}}
    references = {name: {"image_url": _build_address(image)} for name, image in images.items()}
    return {"json": {**body, "images": [references.pop("image")], **references}}


def find_problems(job: Job, body: Mapping[str, Any]) -> list[str]:
    """List the inputs that cannot stand beside an input image; each `input: reason`."""
    if not get_references(job):
        return []
    return [
        f"{name}: only a text, a number or true and false can be sent beside an image"
        for name, value in body.items()
        if not isinstance(value, AS_TEXT)
    ]


def _build_part(image: ReferenceImage) -> tuple[str, bytes, str]:
    data = read_reference(image)
    return Path(image.address).name, data, get_media_type(data)


def _build_address(image: ReferenceImage) -> str:
    return build_data_address(read_reference(image)) if image.is_file else image.address
