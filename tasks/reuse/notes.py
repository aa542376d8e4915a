"""Notes in a reused file that are not those of the batch that takes it: the file stays as the other batch wrote it."""

from __future__ import annotations

from tasks.core.configuration.sections import OutputSettings
from tasks.core.records import StoredImage
from tasks.store.embedding.embed import read

_WITH_NOTES = frozenset({"png", "jpeg", "webp"})
"""Formats into which a run writes notes."""


def find_other_notes(data: bytes, image: StoredImage, settings: OutputSettings) -> tuple[str, ...]:
    """The beginnings of sentences about what breaks `settings` in the file: each would be understood wrongly in silence."""
    if image.format not in _WITH_NOTES:
        return ()
    words = []
    if not settings.embed_parameters and read(data) is not None:
        words.append("output.embed_parameters is false, but prompt and seed are in the files of")
    if settings.provenance == "c2pa" and image.provenance != "c2pa":
        words.append("output.provenance is c2pa, but no signature is in the files of")
    if settings.provenance == "iptc" and image.provenance is None:
        words.append("output.provenance is iptc, but nothing says that a model made them in the files of")
    return tuple(words)
