"""The parameters of an image as the two texts that its file carries: one for web UIs, one for `imagen`.

Takes a mapping of JSON's values, gives bytes. Knows no format of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.core.identity import to_canonical_json


def build_text(parameters: Mapping[str, Any]) -> str:
    """Build the text that web UIs show: the prompt, the negative prompt, and one line of settings.

    They take the last line for settings only if it has three of them, which seed, model and backend ensure
    (AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py at 0365002, read 2026-11).
    """
    width, height = parameters.get("requested_width"), parameters.get("requested_height")
    settings = {
        "Steps": parameters.get("steps"),
        "Seed": parameters.get("seed"),
        "Size": f"{width}x{height}" if width and height else None,
        "Model": parameters.get("model"),
        "Backend": parameters.get("backend"),
    }
    negative = parameters.get("negative_prompt")
    lines = [
        str(parameters.get("prompt", "")),
        *([f"Negative prompt: {negative}"] if negative else []),
        ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items() if value is not None),
    ]
    return "\n".join(lines).replace("\0", " ")


def _quote(value: Any) -> str:
    text = str(value)
    return to_canonical_json(text) if any(mark in text for mark in ",:\n") else text


def encode_json(parameters: Mapping[str, Any]) -> bytes:
    """The mapping as `imagen` reads it back, in UTF-8."""
    # A lone surrogate has no UTF-8; written with a backslash it is the JSON escape of the same character.
    return to_canonical_json(parameters).encode("utf-8", "backslashreplace")


def build_exif(text: str) -> bytes:
    """A big-endian TIFF with one tag in its Exif directory: UserComment, in Unicode.

    Exif does not say in which byte order Unicode is; with a big-endian header there is only one guess.
    """
    comment = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    first_directory = _build_directory(tag=0x8769, type_=4, count=1, value=26)
    exif_directory = _build_directory(tag=0x9286, type_=7, count=len(comment), value=44)
    return b"MM\0*" + (8).to_bytes(4) + first_directory + exif_directory + comment


def _build_directory(*, tag: int, type_: int, count: int, value: int) -> bytes:
    """A TIFF directory of one entry, 18 bytes, with none after it."""
    entry = tag.to_bytes(2) + type_.to_bytes(2) + count.to_bytes(4) + value.to_bytes(4)
    return (1).to_bytes(2) + entry + bytes(4)
