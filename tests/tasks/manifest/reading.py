"""Manifests of one test: written, read, and told as a test wants to compare them."""

from __future__ import annotations

import io
from pathlib import Path

from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings, ReadOptions, open_manifest, read_prompts

Place = tuple[int | None, str | None, str]
"""Line, column and message of a problem."""


def read(
    folder: Path,
    name: str,
    content: str | bytes,
    options: ReadOptions | None = None,
    findings: Findings | None = None,
) -> list[Prompt | Problem]:
    """All that a manifest of this name and content gives."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_manifest(str(path), options=options) as manifest:
        return list(read_prompts(manifest, findings))


def good(
    folder: Path,
    name: str,
    content: str | bytes,
    options: ReadOptions | None = None,
    findings: Findings | None = None,
) -> list[Prompt]:
    """Its prompts; a problem fails the test."""
    items = read(folder, name, content, options, findings)
    assert [str(item) for item in items if isinstance(item, Problem)] == []
    return [item for item in items if isinstance(item, Prompt)]


def problems(folder: Path, name: str, content: str | bytes, options: ReadOptions | None = None) -> list[Place]:
    """Its problems, all of the file as the user named it."""
    found = [item for item in read(folder, name, content, options) if isinstance(item, Problem)]
    assert {item.file for item in found} <= {str(folder / name)}
    return [(item.line, item.column, item.message) for item in found]


def piped(content: bytes) -> tuple[str, list[Prompt | Problem]]:
    """The format that standard input was taken for, and what it gave."""
    with open_manifest("-", stdin=io.BytesIO(content)) as manifest:
        return manifest.format, list(read_prompts(manifest))
