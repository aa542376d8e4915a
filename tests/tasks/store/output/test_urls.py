from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tasks.core.errors import ConfigError, InputError
from tasks.core.paths import get_state_folder
from tasks.store.output import parse_output
from tasks.store.output.bucket_url import parse_bucket_url
from tasks.store.output.folder import OutputFolder


@pytest.mark.parametrize("text", ["runs/foxes", "/data/s3/x", "s3:/one-slash", ".", "C:\\runs"])
def test_what_is_no_url_is_a_folder(text: str) -> None:
    """A path stays what it was before there were buckets."""
    place = parse_output(text)
    assert isinstance(place, OutputFolder)
    assert (str(place), place.home) == (str(Path(text)), Path(text))


@pytest.mark.parametrize(
    ("text", "shown", "name", "home"),
    [
        ("s3://pictures/nightly/one", "s3://pictures/nightly/one", "one", "s3/pictures/nightly/one"),
        ("S3://pictures/nightly/", "s3://pictures/nightly", "nightly", "s3/pictures/nightly"),
        ("gs://pictures", "gs://pictures", "pictures", "gs/pictures"),
        ("az://box/bilder 2026/größe", "az://box/bilder 2026/größe", "größe", "az/box/bilder 2026/größe"),
    ],
)
def test_a_url_is_a_place_in_a_bucket(text: str, shown: str, name: str, home: str) -> None:
    """It keeps both its slashes, and has one folder on this machine, whoever asks."""
    place = parse_output(text)
    assert (str(place), place.name) == (shown, name)
    assert place.home == get_state_folder() / "outputs" / home


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///prefix",
        "s3://user:password@pictures/x",
        "s3://pictures:80/x",
        "s3://pictures//x",
        "s3://pictures/../x",
        "s3://pictures/a/./b",
        "s3://pictures/x?versionId=1",
        "s3://pictures/x%2Fy",
        "file:///data/runs",
        "https://user:password@host/x",
    ],
)
def test_a_url_that_no_bucket_has_is_one_clear_error(text: str) -> None:
    """It says how to write one, and repeats no password."""
    with pytest.raises(InputError, match=r"://bucket/prefix|use a prefix") as caught:
        parse_output(text)
    assert "password" not in str(caught.value)


def test_keys_are_below_the_prefix() -> None:
    """A bucket's root has no leading slash: S3 would make a folder without a name of it."""
    keys = [
        place.key("images/a.png") for place in map(parse_bucket_url, ("s3://b-1/p/q", "s3://b-1")) if place is not None
    ]
    assert keys == ["p/q/images/a.png", "images/a.png"]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most users write to folders and never need it."""
    monkeypatch.delitem(sys.modules, "tasks.store.output.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"s3://pictures/x: .*pip install .*(obstore|s3)"):
        parse_output("s3://pictures/x")
