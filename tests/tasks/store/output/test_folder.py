"""A folder of this machine as an output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import OutputError, UnreadableFile
from tasks.core.paths import LEDGER_NAME
from tasks.store.output.base import NewFile
from tasks.store.output.folder import RUN_FILES, OutputFolder


async def test_files_are_listed_and_removed(out: Path) -> None:
    """Those of one folder, by their names in the output; what is not there has none and needs no removing."""
    place = OutputFolder(out)
    for name in ("gallery/a/one.js", "gallery/two.js", "gallery2/three.js"):
        await place.write(lambda name=name: NewFile(name, b""))  # type: ignore[misc]
    assert await place.names("gallery") == {"gallery/a/one.js", "gallery/two.js"}
    assert await place.names("images") == set()
    await place.remove(["gallery/two.js", "gallery/gone.js"])
    assert (place.has("gallery/a/one.js"), place.has("gallery/two.js"), place.has("gallery")) == (True, False, False)


def test_a_file_that_is_there_and_cannot_be_read_is_told_from_a_missing_one(out: Path) -> None:
    """One such file need not be the end of a whole gallery."""
    (out / "a.png").mkdir()
    with pytest.raises(UnreadableFile, match=f"{out}/a.png: cannot be read"):
        OutputFolder(out).read("a.png")
    assert OutputFolder(out).read("b.png") is None


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_file_that_a_run_would_overwrite_is_another_programs_where_there_is_no_ledger(name: str, out: Path) -> None:
    """It may be somebody's data set, or all that is left of a batch; beside a ledger it is our own."""
    (out / name).write_text("precious")
    with pytest.raises(OutputError, match=f"holds {name} and no ledger"):
        OutputFolder(out).check()
    (out / LEDGER_NAME).touch()
    OutputFolder(out).check()
