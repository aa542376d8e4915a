"""The sizes, format and quality that an export of files gives to each image. Loads no decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.configuration.sections import SigningSettings
from tasks.core.errors import InputError

WrittenFormat = Literal["png", "jpeg", "webp"]
MOST_SIZES = 10
MOST_SIDE_PX = 65_500
DEFAULT_QUALITY = 90

_WRITTEN = ("png", "jpeg", "webp")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Sizes and format that every image is converted to."""

    sizes: Sequence[int] = ()
    """Longest sides in pixels, one file each; none: the image's own."""
    format: WrittenFormat | None = None
    """None: the image's own; PNG for those that are not written (GIF, AVIF) and have to be changed."""
    quality: int = DEFAULT_QUALITY
    """1 to 100, of JPEG and WebP."""
    signing: SigningSettings | None = None
    """The certificate that files without a signature are signed with; None: they are not."""

    @property
    def variants(self) -> Sequence[int | None]:
        """The size of each file that an image gives."""
        return self.sizes or (None,)

    @property
    def is_copy(self) -> bool:
        """True if every image is copied."""
        return not self.sizes and self.format is None and self.signing is None

    def choose_format(self, own: str) -> str:
        """The format of the files of an image."""
        if self.format is not None or not self.sizes:
            return self.format or own
        return own if own in _WRITTEN else "png"


def parse_sizes(text: str) -> tuple[int, ...]:
    """The sizes in `512,1024`.

    Raises:
        InputError: There are none, too many or the same twice, or one is no size of an image.
    """
    words = [word.strip() for word in text.split(",")]
    sizes = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= len(str(MOST_SIDE_PX))]
    if len(sizes) != len(words) or not all(1 <= size <= MOST_SIDE_PX for size in sizes):
        raise InputError(f"--sizes {text!r}: write whole numbers from 1 to {MOST_SIDE_PX:,}, as 512,1024")
    if len(set(sizes)) < len(sizes) or len(sizes) > MOST_SIZES:
        raise InputError(f"--sizes {text!r}: each size once, and at most {MOST_SIZES}")
    return tuple(sizes)


def get_extension(form: str) -> str:
    """The extension of a format, without a dot."""
    # Not out of `tasks.store.encode`, which loads Pillow: a table waits for none.
    return "jpg" if form == "jpeg" else form
