"""Step 1: a manifest's rows become prompts, row by row, with every problem placed.

`source` opens the files (`part_files` finds them, `remote` fetches them, `plain_copy` unpacks and decodes them, `detect`
knows their format). A module for each format gives raw rows. `names` and `meanings` say what each column means, `columns`
sorts the cells by that, `requests` looks into
request files, and `rows` validates. No format that can be read row by row is ever held whole in memory, and a
manifest can be read more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tasks.core.records import Problem, Prompt
from tasks.core.safe_text import os_error_text
from tasks.manifest.columns import ColumnSorter, RawRow
from tasks.manifest.detect import FORMATS
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.rows import parse_row
from tasks.manifest.source import Manifest, ManifestFile, open_manifest

__all__ = ["Findings", "Manifest", "ReadOptions", "open_manifest", "read_gates", "read_prompts"]


def read_prompts(manifest: Manifest, findings: Findings | None = None) -> Iterator[Prompt | Problem]:
    """The manifest's prompts in order; a row that cannot be used is its problems instead.

    Args:
        manifest: An open manifest.
        findings: Filled while the rows are read: what became of each column, and what there is to tell about the file.
    """
    findings = Findings() if findings is None else findings
    findings.notes |= dict.fromkeys(manifest.notes)
    findings.unmet.expect(manifest.options.left_out, manifest.options.configured)
    for file in manifest.files:
        # The `columns:` of one file say nothing about the next.
        findings.columns.clear()
        findings.unmet.begin_file(file.display)
        sorter = ColumnSorter(manifest.options, findings)
        for row in _read_rows(file, manifest.options, findings):
            if isinstance(row, Problem):
                yield row
            else:
                yield from parse_row(row, file.display, sorter)
        findings.close_counts(file.display)


def read_gates(manifest: Manifest) -> dict[str, Any]:
    """`keep`, `reject` and `reroll` of a manifest whose rows have been checked."""
    findings = Findings()
    for file in manifest.files:
        if file.format == "yaml":
            # The first row comes after all that stands beside the rows.
            next(_read_rows(file, manifest.options, findings), None)
    return findings.gates


def _read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    try:
        # Loaded by name: PyArrow and the spreadsheet reader take a while, and a manifest needs one of them at most.
        yield from import_module(FORMATS[file.format]).read_rows(file, options, findings)
    except OSError as exc:  # gone since it was opened, or its disk fails
        yield Problem(file.display, None, None, f"cannot be read ({os_error_text(exc)})")
