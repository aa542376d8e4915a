"""The contract of a score: image files and their rows in, numbers out.

A score is found by its entry point in the group `imagen.scores`. The entry point is called with a `ScoreContext` and
gives a `Score`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from tasks.ledger.scores import Value
from tasks.store.chunks import build_bad_image
from tasks.store.images import DECODER_ERRORS, open_image, turn_upright

WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """Wishes of the user beside the name of the score."""

    device: str | None
    """The device that a model runs on (`cuda`, `cpu`); None: the score decides."""


@dataclass(slots=True)
class Sample:
    """One image file to be scored."""

    path: Path
    """A file of this machine. A score reads it and leaves it alone."""
    data: bytes
    """The same file, as it was read and compared with the ledger's digest."""
    row: Mapping[str, Any]
    """Columns of metadata.parquet: `prompt`, `model`, `seed`, ..."""
    decoded: Image.Image | None = None
    """The image of `image`, where several scores share one decoding."""

    @property
    def image(self) -> Image.Image:
        """The image as viewers show it: RGB, upright, transparency over white.

        Raises:
            BadImage: It cannot be decoded. Only this image is skipped.
        """
        if self.decoded is not None:
            return self.decoded
        with decode_rgb(self.data) as image:
            return image


class Score(Protocol):
    """One way to look at images."""

    @property
    def batch(self) -> int:
        """Images that `measure` takes at a time. A score that takes 1 is called from several threads at once."""

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        """Results of each sample, in their order.

        Each key is the score's name, or begins with it and an underscore. Values are finite numbers, true, false or
        short texts.

        Raises:
            BadImage: One of the files cannot be decoded; the others are asked for again.
        """


@contextmanager
def decode_rgb(data: bytes) -> Iterator[Image.Image]:
    """The image of `Sample.image`, within the process' budget for decoding while the block runs.

    Raises:
        BadImage: It cannot be decoded.
    """
    with ExitStack() as stack:
        # Closed before the block runs: what a score raises is no damage of the image.
        try:
            image = _flatten(turn_upright(stack.enter_context(open_image(data))))
        except DECODER_ERRORS as exc:
            raise build_bad_image(f"it cannot be decoded ({exc})") from exc
        yield image


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would cut 16-bit grey at 255, and every such image would be white.
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.has_transparency_data:
        # Colours below full transparency are arbitrary, and often black.
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, WHITE), over)
    return image.convert("RGB")
