from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.backends.sketch.art import SCENES, draw
from tasks.backends.sketch.canvas import Dice
from tasks.backends.sketch.finish import FINISHES
from tasks.backends.sketch.palette import PALETTES
from tasks.backends.sketch.words import FINISH_WORDS, PALETTE_WORDS, SCENE_WORDS, USUAL_PALETTES, read_brief

ROOT = Path(__file__).parents[3]
A_WORD_FOR = {scene: words.split()[0] for scene, words in SCENE_WORDS.items()}


def sketch(
    prompt: str = "a fox", *, seed: int = 7, side: int = 48, steps: int = 4, negative_prompt: str | None = None
) -> str:
    """The digest of an image's pixels."""
    image = draw(prompt, seed=seed, width=side, height=side, steps=steps, negative_prompt=negative_prompt)
    return hashlib.sha256(image.tobytes()).hexdigest()


def test_the_same_arguments_give_the_same_pixels() -> None:
    """A batch that is made again, in whatever order, has the same files."""
    first = [sketch(word) for word in A_WORD_FOR.values()]
    assert [sketch(word) for word in reversed(A_WORD_FOR.values())] == first[::-1]


def test_another_process_with_another_hash_seed_gives_the_same_pixels() -> None:
    """Nothing depends on Python's randomised hashes."""
    script = (
        "import hashlib; from tasks.backends.sketch.art import draw;"
        "print(*(hashlib.sha256(draw(w, seed=7, width=48, height=48).tobytes()).hexdigest()"
        f" for w in {tuple(A_WORD_FOR.values())!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [sketch(word) for word in A_WORD_FOR.values()]


def test_the_dice_fall_as_they_did_when_this_was_written() -> None:
    """A new Python or a refactoring must not change what an old seed draws."""
    dice = Dice("a fox\n7")
    assert [dice.whole(0, 999) for _ in range(5)] == [832, 554, 940, 193, 514]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (640, 270), (270, 640), (129, 127), (16, 900), (900, 16)])
def test_an_image_has_exactly_the_size_asked_for(size: tuple[int, int]) -> None:
    """Width and height are measured from the bytes later, and must be those of the request."""
    image = draw("sea", seed=1, width=size[0], height=size[1])
    assert (image.size, image.mode) == (size, "RGB")


def test_an_image_larger_than_is_drawn_is_scaled_up_to_its_size() -> None:
    """The bound on the drawing is no bound on the result."""
    assert draw("tile", seed=1, width=2600, height=2000).size == (2600, 2000)


def test_every_argument_counts() -> None:
    """Two jobs that differ in what is sent never come out as one image."""
    others = [sketch(), sketch("a fox!"), sketch(seed=8), sketch(steps=7), sketch(negative_prompt="blurry")]
    assert len(set(others)) == len(others)


def test_no_two_of_many_seeds_and_prompts_look_alike() -> None:
    """A demonstration with many rows shows as many images."""
    shown = [sketch(prompt, seed=seed, side=16) for prompt in ("a fox", "a city", "zzz") for seed in range(8)]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", [(16, 16), (640, 270)], ids=["tiny", "wide"])
def test_every_scene_is_reached_by_its_word_and_is_no_blank(scene: str, size: tuple[int, int]) -> None:
    """A word from the dictionary chooses its scene, and the scene draws something at any shape."""
    assert read_brief(f"the {A_WORD_FOR[scene]}, at last").scene == scene
    image = draw(A_WORD_FOR[scene], seed=3, width=size[0], height=size[1])
    tones = [tone for tone, count in enumerate(image.convert("L").histogram()) if count]
    assert tones[-1] - tones[0] > 30


@pytest.mark.parametrize("finish", FINISHES)
def test_every_finish_keeps_the_size_at_the_smallest_and_at_odd_sizes(finish: str) -> None:
    """A finish works on any image."""
    word = FINISH_WORDS.get(finish, "plain").split()[0]
    assert read_brief(f"sea, {word}").finish == finish
    assert draw(f"sea, {word}", seed=1, width=16, height=16).size == (16, 16)
    assert draw(f"sea, {word}", seed=1, width=131, height=57).size == (131, 57)


def test_prompts_without_known_words_spread_over_all_scenes() -> None:
    """Prompts that mean nothing to the dictionary do not all look the same."""
    assert {read_brief(f"xqz{number}").scene for number in range(200)} == set(SCENES)


def test_the_seed_does_not_change_the_scene_but_may_change_the_light() -> None:
    """Samples of one prompt are variations of one thing."""
    brief = read_brief("a mountain")
    assert brief.scene == "mountains"
    assert len(brief.palettes) > 1


def test_words_that_agree_narrow_the_palettes() -> None:
    """`blue night` is a night, not any blue."""
    assert read_brief("a city in a blue night").palettes == ("midnight",)


def test_words_for_a_manner_give_way_to_words_for_a_thing() -> None:
    """A poster of the Alps shows mountains, printed as a poster."""
    brief = read_brief("minimalist poster of the alps")
    assert (brief.scene, brief.finish) == ("mountains", "risograph")


def test_unwanted_words_are_not_followed() -> None:
    """The negative prompt takes back what the prompt says."""
    assert read_brief("city by the sea", negative_prompt="City").scene == "sea"


@pytest.mark.parametrize(("few", "many"), [(-5, 0), (8, 1000)])
def test_steps_beyond_the_bounds_add_nothing(few: int, many: int) -> None:
    """However many steps are asked for, drawing stays quick."""
    assert sketch(steps=few) == sketch(steps=many)


def test_every_name_in_the_dictionaries_exists() -> None:
    """No word leads to a palette, scene or finish that nobody draws."""
    assert set(SCENE_WORDS) == set(SCENES) == set(USUAL_PALETTES)
    assert set(PALETTE_WORDS) == set(PALETTES)
    assert set(FINISH_WORDS) | {"film"} == set(FINISHES)
    assert {name for names in USUAL_PALETTES.values() for name in names} <= set(PALETTES)
