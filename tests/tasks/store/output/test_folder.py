"""A folder of this machine as an output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import UnreadableFile
from tasks.store.output.base import NewFile
from tasks.store.output.folder import OutputFolder


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
