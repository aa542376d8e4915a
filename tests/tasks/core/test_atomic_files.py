from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.atomic_files import remove_leftovers, replace_atomically, replace_folder_atomically, write_atomically

ROOT = Path(__file__).parents[3]


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_writes_the_bytes_and_makes_the_folders(tmp_path: Path) -> None:
    """A file lands whole under its name, in folders that did not exist."""
    write_atomically(tmp_path / "images" / "ab" / "fox.png", b"picture")
    assert (tmp_path / "images" / "ab" / "fox.png").read_bytes() == b"picture"
    assert files_in(tmp_path) == {"images/ab/fox.png"}


def test_replaces_what_is_there(tmp_path: Path) -> None:
    """A second write takes the first one's place."""
    write_atomically(tmp_path / "a", b"old and longer")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    """Others can read a picture as far as the user's umask says, not only its owner."""
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_longest_file_name_can_be_written(tmp_path: Path) -> None:
    """The temporary name is never longer than the system allows, whatever the final one is."""
    write_atomically(tmp_path / ("x" * 255), b"1")
    assert files_in(tmp_path) == {"x" * 255}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    """A writer that fails, or is interrupted, changes nothing and leaves nothing."""
    path = tmp_path / "table"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with replace_atomically(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert files_in(tmp_path) == {"table"}
    assert path.read_bytes() == b"old"


def test_the_final_name_appears_only_at_the_end(tmp_path: Path) -> None:
    """A reader never sees a file that is still being written; until then it lies hidden in the same folder."""
    with replace_atomically(tmp_path / "table") as temporary:
        temporary.write_bytes(b"new")
        assert not (tmp_path / "table").exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".tmp"
    assert (tmp_path / "table").read_bytes() == b"new"


def test_a_folder_in_the_way_is_an_os_error(tmp_path: Path) -> None:
    """What the system refuses passes through as it is, without a temporary file left."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"1")
    assert files_in(tmp_path) == set()


def test_a_file_where_a_folder_should_be_is_an_os_error(tmp_path: Path) -> None:
    """A path through a file is refused as the system refuses it."""
    (tmp_path / "images").write_bytes(b"")
    with pytest.raises(OSError, match="images"):
        write_atomically(tmp_path / "images" / "ab" / "fox.png", b"1")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_leftovers_of_a_killed_run_are_found_and_removed(tmp_path: Path) -> None:
    """What a process killed in the middle of a write leaves is removed by the next run, and nothing else is."""
    program = (
        "import os, signal, sys; from pathlib import Path; from tasks.core.atomic_files import replace_atomically\n"
        "with replace_atomically(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for name in ("images/ab/fox.png", "metadata.parquet"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], cwd=ROOT, check=False)
    kept = {"images/ab/.imagen-notes.tmp", "images/ab/other.tmp", ".imagen-0123456789abcdef.tmp.bak", "a.png"}
    for name in kept:
        (tmp_path / name).write_bytes(b"the user's")
    assert len(files_in(tmp_path)) == len(kept) + 2
    assert remove_leftovers(tmp_path) == 2
    assert files_in(tmp_path) == kept


def test_a_folder_that_does_not_exist_has_no_leftovers(tmp_path: Path) -> None:
    """The first run of a batch finds nothing to remove, and does not fail."""
    assert remove_leftovers(tmp_path / "not there") == 0


def test_a_leftover_that_became_a_file_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of an earlier run still writes into the folder: it renamed what was just seen."""
    monkeypatch.setattr(os, "walk", lambda _: [(str(tmp_path), [], [f".imagen-{'0' * 16}.tmp"])])
    assert remove_leftovers(tmp_path) == 0


def test_leftovers_are_not_looked_for_behind_links(tmp_path: Path) -> None:
    """A link out of the output folder never lets us remove files elsewhere."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / ".imagen-0123456789abcdef.tmp").write_bytes(b"")
    (out / "images").symlink_to(outside, target_is_directory=True)
    assert remove_leftovers(out) == 0
    assert files_in(outside) == {".imagen-0123456789abcdef.tmp"}


@given(data=st.binary(max_size=4_096))
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """What is written is what is read, byte for byte (no newline or encoding is touched)."""
    path = tmp_path_factory.mktemp("any") / "file"
    write_atomically(path, data)
    assert path.read_bytes() == data


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    """What was in the old one is gone then, and no temporary name is left."""
    target = tmp_path / "a" / "b"
    for name in ("first", "second"):
        with replace_folder_atomically(target) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in target.parent.iterdir()] == ["b"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    """What lies behind it is replaced, on the disk that was chosen for it, and nothing is left beside the link."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "old").write_text("old")
    (tmp_path / "link").symlink_to("large")
    with replace_folder_atomically(tmp_path / "link") as folder:
        (folder / "new").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"large", "link"}
    assert (tmp_path / "link").is_symlink()
    assert files_in(tmp_path / "large") == {"new"}


def test_a_folder_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    """By an error or by Ctrl-C; nothing of the new one is left."""
    target = tmp_path / "b"
    with replace_folder_atomically(target) as folder:
        (folder / "first").write_text("first")

    def fail(error: type[BaseException]) -> None:
        with replace_folder_atomically(target) as folder:
            (folder / "second").write_text("half")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
    assert [path.name for path in target.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
