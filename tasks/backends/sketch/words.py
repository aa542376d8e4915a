"""The few words that a sketch listens to, and what it makes of them.

Takes a prompt, gives the scene, the palettes to choose from and the finish, all by name. Draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tasks.backends.sketch.canvas import Dice

SCENE_WORDS = {
    "mountains": "mountain hill peak alps summit volcano valley cliff landscape canyon snow winter wolf eagle dragon castle fog mist misty goat",
    "sea": "sea ocean beach lake wave coast island boat ship sail water river harbour harbor whale fish dolphin lighthouse sunset sunrise shore bay",
    "desert": "desert dune sand sahara camel oasis mesa savanna savannah cactus pyramid lion mars western",
    "forest": "forest wood tree pine jungle fox deer bear owl rabbit squirrel fairy cabin moss mushroom autumn bird cat dog hedgehog path",
    "city": "city town skyline street building tower skyscraper tokyo york london paris car night rain cyberpunk neon bridge urban robot metro house",
    "planets": "planet space galaxy star moon orbit cosmos cosmic universe astronaut rocket nebula saturn sci alien comet solar satellite",
    "flowers": "flower rose garden bloom blossom bouquet tulip daisy spring botanical plant sunflower peony lotus butterfly bee portrait woman girl",
    "ribbons": "abstract wave ribbon flow silk fabric paper gradient wallpaper curve smoke music dream",
    "tiles": "pattern geometric bauhaus tile mosaic poster logo icon minimal minimalist shape retro modern cube texture grid",
}

PALETTE_WORDS = {
    "dawn": "dawn morning sunrise warm soft fog foggy mist misty fox",
    "sunset": "sunset evening dusk warm orange golden romantic tropical fox",
    "azure": "blue day summer sunny sky bright clear noon",
    "glacier": "winter snow snowy ice icy cold frozen white arctic grey gray wolf blue",
    "midnight": "night midnight moon dark blue owl",
    "aurora": "aurora northern night green magic fairy",
    "moss": "green spring moss jungle fog foggy mist misty frog",
    "autumn": "autumn fall fox red brown cosy cozy vintage orange rust",
    "sakura": "pink pastel spring cherry blossom sakura japan japanese cute",
    "lavender": "purple violet lavender pastel dream soft lilac unicorn",
    "terracotta": "clay terracotta retro vintage western lion",
    "lagoon": "teal turquoise tropical lagoon underwater cyan coral whale",
    "ember": "red fire burning lava ember volcano dragon hell black hot",
    "ink": "ink sumi black monochrome calligraphy etching charcoal",
    "neon": "neon cyberpunk synthwave vaporwave robot laser futuristic",
    "blueprint": "blueprint schematic technical drafting",
    "poster": "bauhaus poster geometric modern risograph print swiss minimal minimalist logo icon",
    "rose": "rose romantic love wine portrait elegant",
}

FINISH_WORDS = {
    "paper": "watercolor watercolour aquarelle gouache painting paint pastel crayon illustration storybook sketch",
    "brush": "ink sumi calligraphy charcoal etching brush pencil",
    "bloom": "neon glow glowing cyberpunk synthwave vaporwave laser dreamy magical bokeh",
    "risograph": "risograph print poster halftone comic screenprint vintage retro linocut",
    "drafting": "blueprint schematic technical drafting outline lineart",
    "pixels": "pixel 8bit sprite voxel",
}

USUAL_PALETTES = {
    "mountains": ("dawn", "glacier", "moss", "sunset", "lavender", "midnight", "azure", "rose"),
    "sea": ("sunset", "lagoon", "dawn", "azure", "midnight", "lavender", "ember"),
    "desert": ("terracotta", "sunset", "dawn", "autumn", "rose", "lavender"),
    "forest": ("moss", "autumn", "dawn", "aurora", "glacier", "midnight", "sakura"),
    "city": ("midnight", "neon", "sunset", "dawn", "ember", "rose", "aurora"),
    "planets": ("midnight", "aurora", "ember", "neon", "sunset", "rose"),
    "flowers": ("sakura", "lavender", "poster", "moss", "dawn", "rose", "lagoon", "autumn"),
    "ribbons": ("sunset", "lagoon", "lavender", "terracotta", "rose", "dawn", "sakura", "aurora"),
    "tiles": ("poster", "terracotta", "lagoon", "dawn", "autumn", "sakura"),
}


MANNERS = ("ribbons", "tiles")
"""Scenes whose words tell how to draw rather than what: any other scene's word goes before them."""

FINISH_PALETTES = {"brush": ("ink",), "drafting": ("blueprint",)}
"""Finishes that have colours of their own, whatever else the prompt says."""


@dataclass(frozen=True, slots=True)
class Brief:
    """A prompt's wishes, as far as a sketch can tell."""

    scene: str
    palettes: tuple[str, ...]
    """One of them is chosen by the seed."""
    finish: str


def read_brief(prompt: str, *, negative_prompt: str | None = None) -> Brief:
    """Read the scene from the known words; where there are none, the prompt's digest decides."""
    unwanted = set(_split_words(negative_prompt or ""))
    words = [word for word in _split_words(prompt) if word not in unwanted]
    subjects = {word: names for word, names in _build_index("scene").items() if names[0] not in MANNERS}
    scene = (
        _find_first(words, subjects)
        or _find_first(words, _build_index("scene"))
        or Dice(prompt).pick(tuple(USUAL_PALETTES))
    )
    finish = _find_first(words, _build_index("finish")) or "film"
    words.sort(key=lambda word: word not in _build_index("finish"))  # `neon` says more about colours than `night`
    palettes = FINISH_PALETTES.get(finish) or _find_palettes(words) or USUAL_PALETTES[scene]
    return Brief(scene=scene, palettes=palettes, finish=finish)


def _split_words(text: str) -> list[str]:
    """The words in lower case, and each that ends in s without it too."""
    found = re.findall(r"\w+", text.casefold())
    return [form for word in found for form in ((word, word[:-1]) if word.endswith("s") else (word,))]


@cache
def _build_index(what: str) -> Mapping[str, tuple[str, ...]]:
    """Every known word of one kind, with the names that it stands for."""
    table = {"scene": SCENE_WORDS, "palette": PALETTE_WORDS, "finish": FINISH_WORDS}[what]
    index: dict[str, tuple[str, ...]] = {}
    for name, words in table.items():
        for word in words.split():
            index[word] = (*index.get(word, ()), name)
    return index


def _find_first(words: Iterable[str], index: Mapping[str, tuple[str, ...]]) -> str | None:
    return next((index[word][0] for word in words if word in index), None)


def _find_palettes(words: Iterable[str]) -> tuple[str, ...]:
    """The palettes that suit the most of the words, as long as they agree with the words before them."""
    left: tuple[str, ...] = ()
    for named in (_build_index("palette")[word] for word in words if word in _build_index("palette")):
        left = tuple(name for name in left if name in named) or left or named
    return left
