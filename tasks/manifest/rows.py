"""From a raw row to a `Prompt`: columns are sorted, values validated, and all that is wrong is told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tasks.core.records import Problem, Prompt
from tasks.core.values import find_carrying_problem, find_weight_problem
from tasks.manifest.cell_values import is_any_seed, parse_option_text, parse_size
from tasks.manifest.columns import Cells, ColumnSorter, RawRow
from tasks.manifest.odd_texts import note_odd_text
from tasks.manifest.requests import NotAPrompt, unwrap_request
from tasks.manifest.row_gates import GATE_KEYS, RULE
from tasks.manifest.row_model import ManifestRow

MISSING_PROMPTS = frozenset({"nan", "<na>", "none", "null"})
"""Words that pandas writes for a missing prompt."""
_PYDANTIC = "Value error, "
# Excel's and LibreOffice's, also in German, French, Spanish and Italian.
_CELL_ERROR = re.compile(
    r"#[\u00a1\u00bf]?(?:REF|NAME|VALUE|DIV/0|NULL|NUM|SPILL|CALC|FIELD|ERROR|BEZUG|WERT|ZAHL|\u00dcBERLAUF|KALK"
    r"|NOM|VALEUR|NOMBRE|NUL|VALOR|RIF|NOME|VALORE)[!?]|#N/A|#NV|#GETTING_DATA|Err:\d{3}"
)
_LACK = "stands for a missing value or an error of a formula; give the text or delete the row"
_MERGE_MARK = re.compile(r"(?:<{7}|\|{7}|={7}|>{7})(?: .*)?")


def parse_row(row: RawRow, file: str, sorter: ColumnSorter) -> Iterator[Prompt | Problem]:
    """The prompt of a raw row, or all that is wrong with it.

    Questions about columns come beside the prompt, once for each column of a file.
    """
    try:
        cells, request_options = _unwrap(row, sorter)
    except NotAPrompt as exc:
        yield Problem(file, row.line, None, str(exc))
        return
    if row.defaults:  # a misspelt one would be lost for every row
        yield from sorter.find_questions(row, row.defaults, file)
    yield from sorter.find_questions(row, cells, file)
    lack = sorter.find_lack(row, cells, file)
    yield from lack or ()
    sorted_cells = sorter.sort(cells)
    sorted_cells.options = {**request_options, **sorted_cells.options}
    sorter.list_options(request_options)
    if row.defaults:
        sorted_cells = _add_defaults(sorted_cells, sorter.sort(row.defaults))
    if lack is not None:
        # The lack is one problem; without a text each row would repeat it.
        sorted_cells.known["prompt"] = "told already"
    if is_any_seed(sorted_cells.known.get("seed")):
        del sorted_cells.known["seed"]
        sorter.findings.count("a seed of -1 or `random` was read as none: the row gets one derived from it", row.line)
    found = _validate(row, sorted_cells, file, literal=sorter.options.literal)
    for item in found:
        if isinstance(item, Problem):
            yield item
        elif lack is None:
            if not sorter.options.literal:
                note_odd_text(item.prompt, row.line, sorter.findings)
            yield item


def _unwrap(row: RawRow, sorter: ColumnSorter) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    cells, options = unwrap_request(row.cells)
    # The user's word about a column counts inside a request too.
    if given := {name: value for name, value in options.items() if sorter.is_given(name)}:
        return {**cells, **given}, {name: value for name, value in options.items() if name not in given}
    return cells, options


def _validate(row: RawRow, cells: Cells, file: str, *, literal: bool) -> Iterator[Prompt | Problem]:
    problems = [
        Problem(file, row.cell_lines.get(name, row.line), name, message)
        for name, message in (*_spread_size(cells), *_check_texts(cells, literal=literal), *_read_own_extra(cells))
    ]
    # Absent or empty, it is the same error with the same words.
    cells.known.setdefault("prompt", None)
    # Not columns of the row's model: the planner checks the one, the other makes ids unique.
    model, sample = cells.known.pop("model", None), cells.known.pop("sample", None)
    try:
        valid = ManifestRow.model_validate(cells.known)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            column = str(error["loc"][0])
            name = cells.spelled.get(column, column)
            message = str(error["msg"]).removeprefix(_PYDANTIC)
            problems.append(Problem(file, row.cell_lines.get(name, row.line), name, message))
        valid = None
    if RULE in cells.extra:
        problems.append(
            Problem(file, row.cell_lines.get(RULE, row.line), RULE, "is a name that imagen keeps; rename it")
        )
    problems += [
        Problem(file, row.cell_lines.get(name, row.line), name, f"cannot be carried along ({reason})")
        for name, value in cells.extra.items()
        if (reason := find_carrying_problem(value))
    ]
    if not problems and (reason := find_weight_problem([cells.extra, cells.options, cells.known.get("backend_opts")])):
        problems.append(Problem(file, row.line, None, reason))
    # Contradictions between values only where each of them is valid.
    if valid is not None and not problems:
        problems += [Problem(file, row.line, name, message) for name, message in _find_contradictions(valid)]
    if valid is None or problems:
        yield from dict.fromkeys(problems)  # each once
        return
    yield _build_prompt(row.line, file, valid, cells, model=model, sample=sample)


def _spread_size(cells: Cells) -> Iterator[tuple[str, str]]:
    """Put the sides of a `size` cell where width and height are; gives what is wrong with it."""
    if "size" not in cells.known:
        return
    name = cells.spelled.get("size", "size")
    try:
        sides = parse_size(cells.known.pop("size"))
    except ValueError as exc:
        yield name, str(exc)
        return
    if clash := {side: value for side, value in sides.items() if str(cells.known.get(side, value)) != str(value)}:
        yield name, f"contradicts {', '.join(clash)}; give the size once"
    cells.known |= sides
    cells.spelled = {**dict.fromkeys(sides, name), **cells.spelled}


def is_lack(text: str) -> bool:
    """True for a word that pandas or a spreadsheet writes where it has no text."""
    return text.strip().casefold() in MISSING_PROMPTS or _CELL_ERROR.fullmatch(text.strip()) is not None


def _check_texts(cells: Cells, *, literal: bool) -> Iterator[tuple[str, str]]:
    negative, prompt = cells.known.get("negative_prompt"), cells.known.get("prompt")
    if isinstance(negative, str) and not literal and is_lack(negative):
        yield cells.spelled.get("negative_prompt", "negative_prompt"), f"{negative!r} {_LACK}"
    if not isinstance(prompt, str):
        return
    name = cells.spelled.get("prompt", "prompt")
    # In every kind of file: a column of pandas that was made one of texts holds them as such.
    if not literal and is_lack(prompt):
        yield name, f"{prompt!r} {_LACK}"
    elif _MERGE_MARK.fullmatch(prompt):
        yield (
            name,
            "is a mark of a Git merge that was not finished; choose one of the two versions, and delete the marks",
        )


def _read_own_extra(cells: Cells) -> Iterator[tuple[str, str]]:
    """Unpack `extra` of a batch's own table, which holds the other columns of the row that it came from."""
    if "extra" not in cells.known:
        return
    value = cells.known.pop("extra")
    try:
        extra = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        extra = None
    if isinstance(extra, dict):
        # A rule is validated as one that stands in columns.
        rule = extra.pop(RULE, None)
        cells.known |= rule if isinstance(rule, dict) else {}
        cells.extra = {**extra, **cells.extra}
    else:
        yield "extra", "is not the JSON object that the table of a batch holds"


def _find_contradictions(valid: ManifestRow) -> Iterator[tuple[str, str]]:
    if valid.aspect_ratio and None not in {valid.width, valid.height}:
        yield "aspect_ratio", "stands beside width and height; give two of the three at most"
    if valid.mask and not valid.image:
        yield "mask", "stands without image; give the image that it belongs to"


def _build_prompt(line: int, file: str, valid: ManifestRow, cells: Cells, *, model: Any, sample: Any) -> Prompt:
    guidance = {} if valid.guidance is None else {"guidance": valid.guidance}
    rule = {name: value for name in GATE_KEYS if (value := getattr(valid, name)) is not None}
    options = {name: parse_option_text(value) for name, value in cells.options.items()}
    return Prompt(
        line=line,
        file=file,
        prompt=valid.prompt,
        # The table of a batch has a row for each sample; they share the id of the row that they came from.
        id=f"{valid.id}-{sample}" if valid.id and isinstance(sample, int | float) and sample else valid.id,
        negative_prompt=valid.negative_prompt,
        backends=valid.backend or (),
        width=valid.width,
        height=valid.height,
        aspect_ratio=valid.aspect_ratio,
        steps=valid.steps,
        seed=valid.seed,
        image=valid.image,
        mask=valid.mask,
        samples=valid.samples,
        model=None if model is None else str(model).strip(),
        format=valid.format,
        backend_opts={**options, **guidance, **valid.backend_opts},
        # Last: `find_row_rules` reads it from the end of its text.
        extra={**cells.extra, RULE: rule} if rule else cells.extra,
    )


def _add_defaults(cells: Cells, defaults: Cells) -> Cells:
    """The row's cells over the defaults; options are merged, and one way to say the size replaces the other."""
    base, known = defaults.known, cells.known
    if "size" in known or "aspect_ratio" in known or {"width", "height"} <= known.keys():
        # A row that says its shape in another way would else contradict the default.
        base = {name: value for name, value in base.items() if name not in {"width", "height", "aspect_ratio", "size"}}
    elif {"width", "height"} & known.keys() and "size" in base:
        base = _split_default_size(base)
    merged = {**base, **{name: value for name, value in known.items() if name != "prompt" or value is not None}}
    ours, theirs = known.get("backend_opts", {}), base.get("backend_opts")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # The row's own column beats an option of the same name in the defaults.
        if "guidance" in known:
            theirs = {name: value for name, value in theirs.items() if name != "guidance"}
        merged["backend_opts"] = {**theirs, **ours}
    return Cells(
        merged,
        {**defaults.options, **cells.options},
        {**defaults.extra, **cells.extra},
        {**defaults.spelled, **cells.spelled},
    )


def _split_default_size(base: Mapping[str, Any]) -> dict[str, Any]:
    """A default size as width and height, so that a row can replace one of them."""
    try:
        sides = parse_size(base["size"])
    except ValueError:
        return dict(base)
    return {**{name: value for name, value in base.items() if name != "size"}, **sides}
