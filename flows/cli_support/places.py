"""Options that take several places: the shell turns `--reuse runs/*` into one option and many words behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperOption

SPREAD = "--reuse"


def spread_places(command: TyperCommand, ctx: Any, args: list[str]) -> list[str]:
    """Put the option before each of the words that a pattern became.

    The manifest or batch has to stand apart: one of many words could be either, and would be paid for.
    """
    known = {
        name: it for it in command.params if isinstance(it, TyperOption) for name in (*it.opts, *it.secondary_opts)
    }
    if SPREAD not in known or SPREAD not in args:
        return args
    words = list(_split(args, known))
    if not any(option is None for option, _ in words):
        words = [_set_apart(ctx, option, values) for option, values in words]
    return [
        part
        for option, values in words
        for part in ([part for value in values for part in (SPREAD, value)] if option == SPREAD else values)
    ]


def _set_apart(ctx: Any, option: str | None, values: list[str]) -> tuple[str | None, list[str]]:
    """Leave a command that names its manifest last as it is: a file is none of the folders of a pattern."""
    if option != SPREAD or len(values) == 1:
        return option, values
    if len(values) == 2 and not Path(values[1]).is_dir():  # noqa: PLR2004  a place and the manifest
        return "", [SPREAD, *values]
    ctx.fail(f"Name the manifest or the batch before {SPREAD}, because its pattern became several words.")
    return option, values


def _split(args: list[str], known: dict[str, TyperOption]) -> Iterator[tuple[str | None, list[str]]]:
    """The arguments in order: the places of each `--reuse`, options with their values (""), and other words (None)."""
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield None, [word, *rest]
            return
        option = known.get(word)
        if word == SPREAD:
            places = []
            while rest and not rest[0].startswith("-"):
                places.append(rest.pop(0))
            # Without a place it is left to the parser, which has the words for it.
            yield (SPREAD, places) if places else ("", [word])
        elif option is not None and not option.is_flag and rest:
            yield "", [word, rest.pop(0)]
        else:
            yield ("" if word.startswith("-") and word != "-" else None), [word]
