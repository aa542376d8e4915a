"""Step 1: a manifest's rows become prompts, row by row, with every problem placed.

`source` finds the file and its format, `lines` reads text safely, `text_rows`, `yaml_rows`, `template` and
`parquet_rows` give raw rows, `columns` knows names and aliases, `rows` validates. No format is ever held
whole in memory, and a manifest can be read more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from tasks.core.records import Problem, Prompt
from tasks.manifest.columns import RawRow
from tasks.manifest.rows import parse_row
from tasks.manifest.source import FORMATS, Manifest, open_manifest

__all__ = ["Manifest", "open_manifest", "read_prompts"]


def read_prompts(manifest: Manifest) -> Iterator[Prompt | Problem]:
    """The manifest's prompts in order; a row that cannot be used is its problems instead."""
    for row in _rows(manifest):
        if isinstance(row, Problem):
            yield row
        else:
            yield from parse_row(row, manifest.display)


def _rows(manifest: Manifest) -> Iterator[RawRow | Problem]:
    try:
        yield from import_module(FORMATS[manifest.format]).read_rows(manifest)
    except OSError as exc:  # gone since it was opened, or its disk fails
        yield Problem(manifest.display, None, None, f"cannot be read ({exc.strerror or exc})")
