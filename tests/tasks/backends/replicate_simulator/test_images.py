"""The files: real pictures of the right size, all different, of the wished weight, and useless when cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.backends.replicate_simulator.images import FORMATS, copy_image, make_image
from tasks.backends.replicate_simulator.sizes import SIDES_PX, get_size
from tests.tasks.backends.replicate_simulator.client import inside


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kb", [0, 200])
def test_a_picture_is_what_it_says(kind: str, kb: int) -> None:
    """Format and size, and about as heavy as wished."""
    data = make_image("x/0", kind, (96, 64), kb=kb)
    assert inside(data) == f"{FORMATS[kind]} 96x64"
    assert kb * 1000 <= len(data) <= kb * 1000 + 5_000


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kb", [0, 1, 200])
def test_half_a_file_is_no_picture(kind: str, kb: int) -> None:
    """Whatever the filling, a cut is found by decoding."""
    data = make_image("x/0", kind, (96, 64), kb=kb)
    assert inside(data[: len(data) // 2]) == "no picture"


@pytest.mark.parametrize("kind", FORMATS)
def test_no_two_files_are_the_same(kind: str) -> None:
    """Each prediction has its own, always the same one."""
    files = [make_image(f"{number}/0", kind, (64, 64), kb=1) for number in range(200)]
    assert len(set(files)) == 200
    assert files[7] == make_image("7/0", kind, (64, 64), kb=1)


@pytest.mark.parametrize("kind", FORMATS)
def test_files_of_a_folder_are_sent_as_they_are_but_for_a_mark(kind: str, tmp_path: Path) -> None:
    """Whatever size was asked for; each prediction has its own copy, and half of one is no picture."""
    (tmp_path / f"a.{kind}").write_bytes(make_image("a", kind, (96, 64), kb=0))
    files = [copy_image(f"{number}/0", kind, str(tmp_path), kb=0) for number in range(20)]
    assert len(set(files)) == 20
    assert {inside(data) for data in files} == {f"{FORMATS[kind]} 96x64"}
    assert inside(files[0][: len(files[0]) // 2]) == "no picture"


def test_a_folder_without_a_file_of_the_format_is_told(tmp_path: Path) -> None:
    """Nothing else is sent in its place."""
    with pytest.raises(FileNotFoundError, match=r"no file ends with \.png"):
        copy_image("x/0", "png", str(tmp_path), kb=0)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({}, (1024, 1024)),
        ({"aspect_ratio": "21:9"}, (1536, 640)),
        ({"aspect_ratio": "16:9", "megapixels": "0.25"}, (672, 384)),
        ({"aspect_ratio": "1:1", "resolution": "4 MP"}, (2048, 2048)),
        ({"aspect_ratio": "custom", "width": 512, "height": 768}, (512, 768)),
    ],
)
def test_the_size_follows_from_the_input(values: dict[str, Any], size: tuple[int, int]) -> None:
    """By the models' own tables."""
    assert get_size(values) == size


def test_every_ratio_is_about_a_megapixel() -> None:
    """Within a tenth, as the models promise."""
    assert all(0.9e6 < width * height < 1.15e6 for width, height in SIDES_PX.values())
