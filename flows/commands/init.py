"""`imagen init`: a commented configuration and a small manifest to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "init"

Target = Annotated[Path, typer.Argument(help="Folder to write into; made where it does not exist.")]


def command(folder: Target = Path()) -> None:
    """Write a commented imagen.yaml and a small manifest; existing files are left alone."""
    from tasks.core.starter import write_starter
    from tasks.core.text import format_command

    written, kept = write_starter(folder)
    lines = [*(f"wrote {path}" for path in written), *(f"kept {path}: it exists already" for path in kept)]
    print("\n".join([*lines, f"try it: {format_command('run', folder / 'prompts.yaml')}"]))
