"""The commented block of a service, and putting it into a configuration file."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

import yaml

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import InputError
from tasks.core.presets import Preset, list_presets, load_preset

_BACKENDS = re.compile(r"^backends:[ \t]*(?:#[^\n]*)?$", re.MULTILINE)

OWN_TYPES = frozenset({"comfyui", "diffusers", "fal", "http", "openai", "replicate", "sketch"})
"""Types with a backend of their own, which a new configuration shows with all their settings."""


def build_block(name: str) -> str:
    """The lines of an instance of the service, to stand under `backends`.

    Raises:
        InputError: There is no service of that name.
    """
    if name in OWN_TYPES:
        raise InputError(
            f"--backend {name}: is a type of its own, and a new imagen.yaml has an instance of it to edit; see also "
            "docs/backends.md"
        )
    if name not in list_presets():
        close = get_close_matches(name, list_presets(), 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"--backend {name}: no such service{meant}; there are: {', '.join(list_presets())}")
    preset = load_preset(name)
    key = "no key is needed" if preset.key is None else f"key: {preset.key}, made at {preset.key_at}"
    lines = [
        f"  {name}: # {preset.title}; {key}",
        f"    type: {name}",
        f"    # model: {preset.instance.get('model', '')}",
        *_list_price_lines(preset),
        f"    # Sizes: {preset.sizes}. Limits: {preset.limits}.",
        f"    # Refused: {preset.refused}.",
        f"    # An answer that is lost: {preset.lost}. Images are kept: {preset.kept}.",
        f"    # Shape: {preset.checked}. Every setting of the type {preset.instance['type']} may stand here too.",
    ]
    return "\n".join(lines) + "\n"


def _list_price_lines(preset: Preset) -> list[str]:
    if "price_usd" in preset.instance:
        return []
    known = "" if not preset.prices else f"; known for {', '.join(preset.prices)}, read {preset.prices_on}"
    return [f"    # price_usd: 0.04 # what --budget counts, in place of: {preset.price}{known}"]


def add_block(path: Path, name: str) -> None:
    """Write the service's block into the `backends` of a configuration file.

    Raises:
        InputError: There is no such service, the file has an instance of that name, or no place for one.
    """
    block = build_block(name)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = yaml.safe_load(text) or {}
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise InputError(f"{path}: cannot be read ({type(exc).__name__}); paste under `backends`:\n{block}") from None
    backends = values.get("backends") if isinstance(values, dict) else None
    if isinstance(backends, dict) and name in backends:
        raise InputError(f"{path}: has a backend {name!r} already")
    # A file without the section gets one at its end.
    if backends is None and isinstance(values, dict) and not _BACKENDS.search(text):
        text = f"{text.rstrip()}\n\nbackends:\n".lstrip()
    if (place := _BACKENDS.search(text)) is None or _indents_otherwise(text, place.end()):
        raise InputError(f"{path}: `backends` is not written as a block of two spaces; paste under it:\n{block}")
    # As text, not through YAML: the user's comments and order stay.
    write_atomically(path, f"{text[: place.end()]}\n{block}{text[place.end() :].removeprefix(chr(10))}".encode())


def _indents_otherwise(text: str, start: int) -> bool:
    """True where the first entry after the line is not indented by two spaces."""
    entry = next((line for line in text[start:].splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    return entry.startswith(" ") and not re.match(r"  [^ ]", entry)
