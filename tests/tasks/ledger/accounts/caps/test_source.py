"""The caps of a batch are those that its configuration file has now."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.core.configuration.settings import Settings, load_settings
from tasks.ledger.accounts.caps.source import CapsSource, open_source
from tasks.ledger.accounts.place import build_sqlite_writer, prepare_tables


def write(path: Path, text: str, *, at_s: int) -> None:
    """Write a configuration with a time of its own: two writes of a test may fall into one tick of the file system."""
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def amounts(source: CapsSource) -> list[float | None]:
    """The dollars of its caps."""
    return [cap.usd for cap in source.caps]


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    """Raised, lowered and taken away; a file that is broken or gone keeps what held before."""
    path = tmp_path / "imagen.yaml"
    write(path, "caps: [{usd: 1, per: day}]", at_s=1)
    source = CapsSource(load_settings(path).caps, path)
    write(path, "caps: [{usd: 2, per: day}, {usd: 9, per: month}]", at_s=2)
    assert amounts(source) == [2, 9]
    write(path, "caps: [{usd: ", at_s=3)
    assert amounts(source) == [2, 9]
    path.unlink()
    assert amounts(source) == [2, 9]
    write(path, "caps: []", at_s=4)
    assert amounts(source) == []


async def test_a_resume_keeps_to_the_file_of_the_run(tmp_path: Path) -> None:
    """A resume names no configuration; the state folder knows which one the batch was run with."""
    path = tmp_path / "imagen.yaml"
    write(path, "caps: [{usd: 1, per: day}]", at_s=1)
    state = build_sqlite_writer(tmp_path / "accounts.db")
    try:
        await state.write(prepare_tables)
        given = load_settings(path)
        assert amounts(await open_source(given, "batch", state)) == [1]
        write(path, "caps: [{usd: 3, per: day}]", at_s=2)
        kept = Settings.model_validate_json(given.model_dump_json())
        assert amounts(await open_source(kept, "batch", state)) == [3]
        assert amounts(await open_source(kept, "other", state)) == [1]
        path.unlink()
        assert amounts(await open_source(kept, "batch", state)) == [1]
    finally:
        await state.close()


async def test_an_address_takes_the_place_of_an_earlier_file(tmp_path: Path) -> None:
    """A batch that goes on with a configuration at an address keeps to its caps, and so does a resume after it."""
    path = tmp_path / "imagen.yaml"
    state = build_sqlite_writer(tmp_path / "accounts.db")
    try:
        await state.write(prepare_tables)
        write(path, "caps: [{usd: 9, per: day}]", at_s=1)
        assert amounts(await open_source(load_settings(path), "batch", state)) == [9]
        (tmp_path / "copy.yaml").write_text("caps: [{usd: 2, per: day}]")
        fetched = load_settings(tmp_path / "copy.yaml", source="https://example.org/imagen.yaml")
        assert amounts(await open_source(fetched, "batch", state)) == [2]
        kept = Settings.model_validate_json(fetched.model_dump_json())
        assert amounts(await open_source(kept, "batch", state)) == [2]
    finally:
        await state.close()
