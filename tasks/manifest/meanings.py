"""The meaning of each name in a row: a column of ours, an option, carried along, ignored, or to be asked about."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.manifest.names import NAMES, RULES, SETTINGS, TEXT_COLUMNS, TOGETHER, find_alias, fold_name, guess_column
from tasks.manifest.reading import CARRY, IGNORE, OPTION

ASK = "ask"
ALSO = "also"
"""A second name of a column: it counts where the first gives nothing, and asks where the two differ."""

_OWN_TABLE = frozenset({"job_id", "sample", "backend_type", "prompt_hash"})
OWN_MEANINGS = {
    **{name: name for name in ("id", "prompt", "negative_prompt", "backend", "aspect_ratio", "steps", "seed", "extra")},
    "requestedwidth": "width",
    "requestedheight": "height",
    "backendopts": "backend_opts",
    "negativeprompt": "negative_prompt",
    "aspectratio": "aspect_ratio",
    "inputimage": "image",
    "inputmask": "mask",
    "sample": "sample",
}
"""Columns of a batch's own table that make the same image again; the others record what came of it."""


def find_meanings(names: tuple[str, ...], given_columns: Mapping[str, str]) -> dict[str, str]:
    """By name: a column, `option:NAME`, `carry`, `ignore:WHY` or `ask:WHY`."""
    # `metadata.parquet` of an earlier batch: its images can be made again from it.
    if names and set(names) >= _OWN_TABLE:
        return {name: _get_given(name, given_columns) or _get_own(name) for name in names}
    folded = {fold_name(name) for name in names}
    meanings: dict[str, str] = {}
    ranks: dict[str, tuple[int, str]] = {}
    for name in names:
        # The user's word counts before any guess.
        if given := _get_given(name, given_columns):
            meanings[name] = given
            if given in NAMES:
                ranks[given] = (-1, name)
            continue
        alias = find_alias(name)
        needs = TOGETHER.get(fold_name(name))
        if alias is None or (needs is not None and needs not in folded):
            meanings[name] = _judge_unknown(name)
            continue
        column, rank = alias
        # By rank among the aliases, not by place in the file: column order says nothing.
        if (best := ranks.get(column)) is None or rank < best[0]:
            ranks[column] = (rank, name)
        meanings[name] = column
    for name, meaning in meanings.items():
        if meaning in NAMES and ranks[meaning][1] != name:
            # A second caption is somebody's data; a second `steps` may be the one that was meant, and so may
            # `Prompt` beside `prompt`, and one of two columns to which the user gives one meaning.
            is_same_name = fold_name(name) == fold_name(ranks[meaning][1])
            is_data = meaning in TEXT_COLUMNS and not is_same_name and not _get_given(name, given_columns)
            meanings[name] = CARRY if is_data else f"{ALSO}:{meaning}"
    return meanings


def get_listed_meaning(meaning: str) -> str:
    """The meaning as it is listed for people."""
    kind, _, detail = meaning.partition(":")
    return {ASK: CARRY, ALSO: detail}.get(kind, meaning)


def _get_given(name: str, given_columns: Mapping[str, str]) -> str | None:
    meaning = given_columns.get(fold_name(name))
    return f"{OPTION}:{name}" if meaning == OPTION else meaning


def _get_own(name: str) -> str:
    meaning = OWN_MEANINGS.get(fold_name(name))
    return meaning or f"{IGNORE}:a record of the batch that this table is of"


def _judge_unknown(name: str) -> str:
    if fold_name(name) in SETTINGS:
        return f"{ASK}:is a setting of other tools and does nothing here"
    if fold_name(name) in RULES:
        return f'{ASK}:is an option of the command; a row has its rule in the column keep, as {{"by": "sharpness", "best": 1}}'
    if name.startswith("--"):
        return f"{ASK}:is an option that nothing here reads"
    near = guess_column(name)
    return CARRY if near is None else f"{ASK}:looks like {near}"
