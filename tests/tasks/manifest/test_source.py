from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.settings import load_settings
from tasks.core.errors import ConfigError, ManifestError
from tasks.core.records import Prompt
from tasks.manifest import open_manifest, plain_copy, read_prompts
from tasks.manifest.detect import EXTENSIONS
from tests.tasks.manifest.reading import piped, problems, read

MEASURE = """
import sys
from benchmarks.process import read_peak_bytes
from tasks.manifest import open_manifest, read_prompts
from tasks.core.records import Prompt
read = 0
with open_manifest(sys.argv[1]) as manifest:
    for item in read_prompts(manifest):
        read += isinstance(item, Prompt)
print(read, read_peak_bytes())
"""
MOST_GROWTH_BYTES = 10_000_000
ROOT = Path(__file__).parents[3]


def measured(path: Path) -> tuple[int, int]:
    """Prompts read by a process of its own, and its peak memory in bytes."""
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    read, peak_bytes = done.stdout.split()
    return int(read), int(peak_bytes)


def refused(source: str) -> str:
    """The message of a manifest that cannot be opened."""
    with pytest.raises(ManifestError) as caught, open_manifest(source):
        pass
    assert caught.value.exit_code == 2
    [problem] = caught.value.problems
    assert problem.file == source
    return problem.message


@pytest.mark.parametrize("name", ["m.docx", "m", "m.yaml.bak", "m.pdf"])
def test_an_unknown_extension_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    """A user sees at once what the file could be called."""
    (tmp_path / name).write_text("a cat\n")
    message = refused(str(tmp_path / name))
    assert "is not a kind of manifest" in message
    assert all(extension in message for extension in EXTENSIONS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path stands in the message as it was given."""
    assert refused(str(tmp_path / "m.yaml")) == "cannot be read (No such file or directory)"


def test_a_file_that_another_program_has_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of Windows refuses it for the moment, and nobody can guess that from the system's own words."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))

    (tmp_path / "m.txt").write_text("a fox\n")
    monkeypatch.setattr(Path, "open", refuse)
    with (
        pytest.raises(ManifestError, match="another program has locked it; close it there"),
        open_manifest(str(tmp_path / "m.txt")),
    ):
        pass
    with pytest.raises(ConfigError, match="another program has locked it; close it there"):
        load_settings(tmp_path / "m.txt")


def test_an_empty_folder_is_no_manifest(tmp_path: Path) -> None:
    """Not even one that is called like one."""
    (tmp_path / "m.csv").mkdir()
    assert refused(str(tmp_path / "m.csv")).startswith("holds no manifest")


def test_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    """It would be empty, or wait for ever, when it is read the second time."""
    os.mkfifo(tmp_path / "m.jsonl")
    assert refused(str(tmp_path / "m.jsonl")).startswith("is a pipe, which can be read only once")


def test_a_device_is_no_manifest(tmp_path: Path) -> None:
    """One that never ends would be read for ever, whatever the name of the link to it."""
    (tmp_path / "m.txt").symlink_to("/dev/zero")
    assert refused(str(tmp_path / "m.txt")) == "is a device or a socket, not a file"


def test_standard_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without end is refused before it fills the disk."""
    monkeypatch.setattr(plain_copy, "MOST_UNPACKED_BYTES", 2 * plain_copy.CHUNK_BYTES)
    endless = io.BufferedReader(_Endless())
    with pytest.raises(ManifestError, match="holds more than"), open_manifest("-", stdin=endless):
        pass


class _Endless(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"a" * len(buffer)
        return len(buffer)


@pytest.mark.parametrize("name", ["m.csv", "m.txt", "m.jsonl", "m.yaml", "m.parquet", "m.xlsx"])
def test_a_file_that_was_not_downloaded_is_no_manifest(tmp_path: Path, name: str) -> None:
    """Git LFS leaves three lines of text in its place; none of them is a prompt."""
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n")
    assert "run `git lfs pull`" in refused(str(tmp_path / name))


@pytest.mark.parametrize(("name", "head"), [("m.txt", ""), ("m.csv", "prompt\n")])
def test_marks_of_an_unfinished_merge_are_no_prompts(tmp_path: Path, name: str, head: str) -> None:
    """Each of them is placed, and nothing is planned of the file."""
    content = f"{head}<<<<<<< HEAD\na fox\n||||||| base\nan owl\n=======\na hare\n>>>>>>> other\n"
    found = problems(tmp_path, name, content)
    assert len(found) == (3 if name == "m.txt" else 4)  # a line of = is a rule of a text file
    assert all(column == "prompt" and "Git merge" in message for _, column, message in found)


def test_a_closed_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was started without one is told so."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ManifestError, match="<stdin>: cannot be read"), open_manifest("-"):
        pass


@pytest.mark.parametrize("name", ["..csv", "...csv"])
def test_a_manifest_of_dots_has_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    """A batch's folder is never the one of all batches, nor the one above it."""
    (tmp_path / name).write_text("prompt\na cat\n")
    with open_manifest(str(tmp_path / name)) as manifest:
        assert manifest.name == "manifest"


def test_a_manifest_that_goes_meanwhile_is_a_problem(tmp_path: Path) -> None:
    """It is read again after it was checked, and then it may be gone."""
    path = tmp_path / "m.txt"
    path.write_text("a cat\n")
    with open_manifest(str(path)) as manifest:
        path.unlink()
        assert [str(item) for item in read_prompts(manifest)] == [f"{path}: cannot be read (No such file or directory)"]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """Missing rights are told as such, by any user."""
    path = tmp_path / "m.txt"
    path.write_text("a cat\n")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)  # rights do not hold root back
    try:
        assert refused(str(path)) == "cannot be read (Permission denied)"
    finally:
        os.seteuid(user)


def test_the_name_decides_the_format_in_any_case(tmp_path: Path) -> None:
    """`PROMPTS.CSV` is CSV; the name without it names the batch."""
    path = tmp_path / "PROMPTS.CSV"
    path.write_text("prompt\na cat\n")
    with open_manifest(str(path)) as manifest:
        assert (manifest.format, manifest.name, manifest.display) == ("csv", "PROMPTS", str(path))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"prompt": "a cat"}\n', "jsonl"),
        ('\n  {"prompt": "a cat"}\n{"prompt": "b"}\n', "jsonl"),
        ('[\n {"prompt": "a cat"}]\n', "json"),
        ("prompt,seed\na cat,1\n", "csv"),
        ('"id","caption"\n1,a cat\n', "csv"),
        ("Prompt\tCategory\na cat\tAnimals\n", "tsv"),
        ("- a cat\n", "yaml"),
        ("# mine\nprompts:\n- a cat\n", "yaml"),
        ("template: {prompt: a cat}\n", "yaml"),
        ("a cat\n", "text"),
        ("a cat, asleep, in the sun\n", "text"),
        ("-- a cat\n", "text"),
        ("template of a cat\n", "text"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_standard_input_is_known_by_its_start(content: str, kind: str, mark: str) -> None:
    """A pipe has no name; what it carries is seen from its first line, and is text when in doubt."""
    found, items = piped((mark + content).encode())
    assert found == kind
    assert isinstance(items[0], Prompt)
    assert "a cat" in items[0].prompt


def test_standard_input_is_called_so_and_leaves_nothing() -> None:
    """Problems name `<stdin>`, and the copy of the pipe goes when the manifest is closed."""
    kind, items = piped(b'{"prompt": ""}\n')
    assert (kind, str(items[0]).split(" ")[0]) == ("jsonl", "<stdin>:1:")


def test_standard_input_can_be_read_twice(tmp_path: Path) -> None:
    """The plan reads a manifest for its check and again for the ledger."""
    source = tmp_path / "pipe"
    source.write_bytes(b"prompt\tseed\na\t1\nb\tx\n")
    with source.open("rb") as pipe, open_manifest("-", stdin=pipe) as manifest:
        first, second = list(read_prompts(manifest)), list(read_prompts(manifest))
        spooled = manifest.path
    assert first == second
    assert len(first) == 2
    assert not spooled.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.jsonl", '"a"\n{"prompt": ""}\n'),
        ("m.json", '["a", 5]'),
        ("m.csv", "prompt\na\n\n"),
        ("m.txt", "a\nb\n"),
    ],
)
def test_two_passes_are_equal(tmp_path: Path, name: str, content: str) -> None:
    """Reading keeps nothing that could change the second pass."""
    first = read(tmp_path, name, content)
    assert first
    assert read(tmp_path, name, content) == first


@pytest.mark.parametrize(
    ("name", "head"), [("m.jsonl", ""), ("m.csv", "prompt\n"), ("m.tsv", "prompt\n"), ("m.txt", "")]
)
def test_an_endless_line_is_neither_held_nor_the_end(tmp_path: Path, name: str, head: str) -> None:
    """50 MB without a line end cost a message, not 50 MB; the next line is read."""
    path = tmp_path / name
    path.write_text(f'{head}"before"\n')
    idle = measured(path)[1]
    with path.open("ab") as file:
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'\n"after"\n')
    prompts, peak_bytes = measured(path)
    assert prompts == 2
    assert peak_bytes - idle < MOST_GROWTH_BYTES


@pytest.mark.soak
def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    """A million rows are read like ten."""
    peaks_bytes = []
    for rows in (20_000, 200_000):
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            file.writelines(f'{{"id": "r{row}", "prompt": "prompt {row}", "seed": {row}}}\n' for row in range(rows))
        read, peak_bytes = measured(path)
        assert read == rows
        peaks_bytes.append(peak_bytes)
    assert peaks_bytes[1] - peaks_bytes[0] < MOST_GROWTH_BYTES
