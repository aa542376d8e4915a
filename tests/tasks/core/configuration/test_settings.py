"""The configuration: found, read, and every mistake named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.configuration.yaml_file import explain_setting
from tasks.core.errors import ConfigError
from tasks.core.paths import find_config
from tasks.runs.configuration import choose_config

BAD_CONFIGS = {
    "broken YAML": ("backends: [", ":", "line 1", "not valid YAML"),
    "not a mapping": ("- a\n- b\n", "imagen.yaml:1", "settings by their names", "not a list"),
    "unknown setting": ("output:\n  formt: png\n", "imagen.yaml:2", "output.formt", "no such setting"),
    "unknown format": ("output:\n  quality: 90\n  format: bmp\n", "imagen.yaml:3", "output.format", "'png'"),
    "out of range": (
        "backends:\n  a: {type: sketch}\n  sketch:\n    type: sketch\n    concurrency: 0\n",
        ":5",
        "backends.sketch.concurrency",
        "1",
    ),
    "wrong type": ("stop:\n  error_window: many\n", ":2", "stop.error_window", "must be a whole number, not a text"),
    "nothing in a list": (
        "caps:\n  - {usd: 1, per: day}\n  -\n",
        ":3",
        "caps.1: must be settings by their names",
        "not null",
    ),
    "a number in a list": ("reuse:\n  - runs\n  - 3\n", ":3", "reuse.1: must be a text, not the number 3"),
    "a list for a section": ("output: [png]\n", ":1", "output: must be settings by their names", "not a list"),
    "a section for a list": ("caps: {usd: 1}\n", ":1", "caps: must be a list, as [value], not settings by their names"),
    "nothing among backends": (
        "backends: {a: null}\n",
        ":1",
        "backends.a: must be settings by their names",
        "not null",
    ),
    "nothing in a list of names": (
        "default_backend: [null]\n",
        ":1",
        "default_backend: must be a text or a list",
        "null",
    ),
    "a number as a name": ("columns: {1: seed}\n", ":1", "columns.1: this name must be a text; put it in quotes"),
    "default that is not there": ("default_backend: flux\n", ":1", "default_backend", "'flux' is not one of"),
    "a price without end": (
        "backends:\n  sketch: {type: sketch, price_usd: .inf}\n",
        ":2",
        "backends.sketch.price_usd",
        "finite",
    ),
    "a price that no ledger holds": ("prices:\n  m: {image: 1.0e+300}\n", ":2", "prices.m.image", "100000"),
    "a day that there is not": ("default_backend: 2026-13-45\n", "imagen.yaml", "cannot be read", "month"),
    "a number that is none": ("default_backend: !!int abc\n", "imagen.yaml", "cannot be read", "'abc'"),
    "a truth that is none": ("default_backend: !!bool maybe\n", "imagen.yaml", "not what its tag says"),
    "an empty number": ('default_backend: !!int ""\n', "imagen.yaml", "not what its tag says"),
    "a bomb of aliases": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{n}: &{n} [{', '.join([f'*{b}'] * 10)}]\n" for b, n in pairwise("abcdefgh")),
        "imagen.yaml",
        "aliases followed",
    ),
    "a list in itself": ("prices: &a [*a]\n", "imagen.yaml", "aliases followed"),
    "a price that stands twice": (
        "backends:\n  sketch: {type: sketch, price_usd: 1}\n  s:\n    type: sketch\n    price_usd: 1\n    price_usd: 2\n",
        "imagen.yaml:6",
        "price_usd: appears here a second time",
    ),
    "text without end": ("# " + "x" * 4_000_001, "imagen.yaml", "is it a configuration"),
    "nested without end": ("[" * 3_000, "imagen.yaml", "nested too deeply"),
    "type missing": ("backends:\n  sketch:\n    model: x\n", ":2", "backends.sketch.type", "required"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_every_mistake_names_file_line_and_setting(case: str, tmp_path: Path) -> None:
    """A setting that cannot be used is reported where it stands, with what is allowed."""
    text, *fragments = BAD_CONFIGS[case]
    path = tmp_path / "imagen.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """A user mends a configuration in one go."""
    path = tmp_path / "imagen.yaml"
    path.write_text("output: {quality: 0}\nstop: {error_rate: 2}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("value", [None, 3, True, "x", [None], {"a": None}])
def test_no_message_names_a_class(value: object) -> None:
    """A value of the wrong kind at any setting is told in words of the file, and a text is not repeated, which may be a key."""
    for name in Settings.model_fields:
        try:
            Settings.model_validate({name: value})
        except ValidationError as exc:
            told = [explain_setting(error, "f") for error in exc.errors()]
            assert not [line for line in told if "instance" in line or "Settings" in line or "str]" in line]


def test_missing_and_undecodable_files_are_config_errors(tmp_path: Path) -> None:
    """No file, and a file that is not text, are one clear message each."""
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("# für Anna\nreuse: [ä, ".encode() + b"\xfc]\n")
    with pytest.raises(
        ConfigError, match=r"latin.yaml:2: is not UTF-8 \(byte 0xfc in column 12\); .* `iconv -f cp1252"
    ):
        load_settings(tmp_path / "latin.yaml")


def test_no_file_and_an_empty_file_are_the_built_in_settings(tmp_path: Path) -> None:
    """The program works without any configuration."""
    (tmp_path / "imagen.yaml").write_text("")
    empty = load_settings(tmp_path / "imagen.yaml")
    assert load_settings(None).model_dump() == empty.model_dump() == Settings().model_dump()


def test_the_nearest_configuration_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A given file wins over the folder's, the folder's over the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    users = tmp_path / "user" / "imagen" / "imagen.yaml"
    users.parent.mkdir(parents=True)
    users.touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    assert find_config(cwd=folder) == users
    (folder / "imagen.yaml").touch()
    assert find_config(cwd=folder) == folder / "imagen.yaml"
    monkeypatch.chdir(folder)
    assert (choose_config(None), choose_config("given.yaml")) == (str(folder / "imagen.yaml"), "given.yaml")


@pytest.mark.parametrize("target", ["nowhere", "imagen.yaml", "/dev/null", "."])
def test_what_is_no_configuration_is_not_passed_over(tmp_path: Path, target: str) -> None:
    """A link to nothing, to itself, to a device or to a folder: another configuration would count in silence."""
    (tmp_path / "imagen.yaml").symlink_to(target)
    with pytest.raises(ConfigError, match="is not a file"):
        find_config(cwd=tmp_path)
