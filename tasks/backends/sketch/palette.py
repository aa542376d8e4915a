"""The colours of a sketch: palettes picked by hand, and how two colours mix.

It gives `PALETTES` by name. It knows nothing of scenes or words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

Colour = tuple[int, int, int]
"""Red, green and blue, 0..255."""


@dataclass(frozen=True, slots=True)
class Palette:
    """One mood of light; everything in a sketch is painted with these colours and mixes of them."""

    sky: tuple[Colour, ...]
    """From the zenith down to the horizon."""
    deep: Colour
    """The nearest silhouettes and the shadows."""
    light: Colour
    """Sun, moon, lamps, paper."""
    accents: tuple[Colour, ...]
    """Colours that may catch the eye: petals, tiles, planets, ribbons."""

    @property
    def haze(self) -> Colour:
        """The colour that distance fades into."""
        return self.sky[-1]

    def distant(self, near: float) -> Colour:
        """The colour of something between the horizon (0) and here (1), through the tint of the air between."""
        air = mix(self.sky[1], self.deep, 0.3)
        # Halfway the air is at its thickest, and the colour turns from haze to shade.
        return mix(self.haze, air, near * 2) if near < 0.5 else mix(air, self.deep, near * 2 - 1)  # noqa: PLR2004  half way

    @property
    def dark(self) -> bool:
        """True if the sky is dark enough for stars."""
        return get_brightness(self.sky[0]) + get_brightness(self.sky[1]) < 150  # noqa: PLR2004  found by looking at all of them


def get_brightness(colour: Colour) -> int:
    """The lightness of a colour to the eye, 0..255."""
    red, green, blue = colour
    # What an eye takes for bright: green counts far more than blue.
    return (299 * red + 587 * green + 114 * blue) // 1000


@lru_cache(maxsize=4096)
def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` (0..1) of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _parse_colours(text: str) -> tuple[Colour, ...]:
    """Read `33406b 9a7b9b ...`."""
    return tuple((int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in text.split())


def _build_palette(sky: str, deep: str, light: str, accents: str) -> Palette:
    return Palette(_parse_colours(sky), _parse_colours(deep)[0], _parse_colours(light)[0], _parse_colours(accents))


PALETTES = {
    "dawn": _build_palette("3a4a7a 8d7aa3 f0a592 fcdcb0", "1d2140", "fff3d4", "e76f51 f4a261 6d597a 355070 f7d9a8"),
    "sunset": _build_palette("3b1d52 a3376b f0694e ffc06a", "220d2e", "ffedb8", "f3533b f8961e 9b2a5f 4a1f5c ffd9a0"),
    "azure": _build_palette("2779b4 6fb3d9 bfe0ea f6f2e0", "0f3850", "fffbe8", "ef7b45 f4d35e 1b98a6 0d5c75 f2efe2"),
    "glacier": _build_palette("54809f 94b8cd d0e2e8 f7f6f1", "1a3748", "ffffff", "2f6690 81c3d7 d9dcd6 16425b e8b4a0"),
    "midnight": _build_palette("080c26 16204e 33427f 7483b4", "04060f", "f6eed3", "f2c14e 5b7bd5 e07a5f 8f9fe0 2a3674"),
    "aurora": _build_palette("051320 0a3140 17665f 7fcaa5", "030a10", "e9fff2", "4be0a4 2aa7a0 b7f0ad 7b6cd9 12505a"),
    "moss": _build_palette("7f9c86 b4c9a8 dfe6c6 f6f4df", "10291f", "fffdea", "588157 a3b18a d9a441 344e41 e9edc9"),
    "autumn": _build_palette("4f6d7a c98a5e f2b263 fbe2b0", "33160f", "fff4d9", "bc4b2a e09f3e 8f2d2b 5c1a16 f2d0a4"),
    "sakura": _build_palette("e59fb4 f3c2c9 fadfdb fef2ea", "57294a", "fffaf4", "d6587f f08ca5 f7b7c3 7d4f72 9db59a"),
    "lavender": _build_palette("9d90c9 c3b1dd ecd0dd fdeee0", "3f3566", "fffaf0", "7b6bb0 b497d6 f2a7b5 5e548e f9dcc4"),
    "terracotta": _build_palette(
        "4f8a94 a9b9a5 f0cb9b fae3bf", "5c2419", "fff6dc", "c8553d f28f3b ffd5a1 588b8b 8a3a2a"
    ),
    "lagoon": _build_palette("0f5d75 2a93a1 86cbc0 f0eed2", "072c3d", "fffbe0", "ff8c61 f5c76b 2ec4b6 0b4f6c e9f5db"),
    "ember": _build_palette("2a0a12 74182a cf3f30 f7a35c", "140407", "ffe2b0", "ef233c d9482b f48c06 6a040f ffba08"),
    "ink": _build_palette("cfc9bd e2ddd2 f0ece2 f8f5ee", "1e1d20", "c8402f", "2b2a2e 6d6a68 a9a49b c8402f e4dfd4"),
    "neon": _build_palette("0a0320 2b0b52 8a1f91 ff4fa3", "07021a", "8ffcff", "ff2a6d 05d9e8 f9f871 b967ff 00f5a0"),
    "blueprint": _build_palette(
        "0c2f5f 12407d 1d5499 4c83c4", "071f42", "eaf4ff", "8fc1f2 c6e0fa 4f8fd0 2b66a8 eaf4ff"
    ),
    "poster": _build_palette("2f6f8f 84b3a6 f1d9a6 f9ecd2", "1f2430", "fbf4e4", "d9382c f0b429 1e5a97 232733 6ba292"),
    "rose": _build_palette("6a3d5c b5667d e9a39b fbdcc9", "2c142b", "fff1e2", "c9506b e88d8d f6c6a8 6b2d5c 8fb0a9"),
}
