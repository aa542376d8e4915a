"""Rows of spreadsheets (.xlsx, .xls, .ods): the first sheet that has a column of prompts. Needs the extra `excel`.

A hidden sheet counts only where none that is seen has prompts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from typing import Any

from tasks.core.installation import install_command
from tasks.core.records import Problem
from tasks.manifest.cell_values import EXACT_FLOAT
from tasks.manifest.columns import RawRow
from tasks.manifest.formats.excel_cells import find_lost_cells
from tasks.manifest.header import TITLE_ROWS, check_header, describe_titles, find_header
from tasks.manifest.names import find_alias
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.source import ManifestFile

MOST_BYTES = 64 * 1024 * 1024
MOST_UNPACKED_BYTES = 256 * 1024 * 1024
"""A spreadsheet is a packed file that is read whole."""
MOST_CELLS = 5_000_000
MOST_SHOWN = 5


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a spreadsheet; a line is the number of a row, as the spreadsheet counts."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415  of an extra
    except ImportError:
        missing = f"needs python-calamine; install it: {install_command('excel')}; or save the sheet as CSV"
        yield Problem(file.display, None, None, missing)
        return
    # Before it is opened: the reader unpacks all of it into memory.
    if reason := _find_excess(file):
        yield Problem(file.display, None, None, reason)
        return
    try:
        workbook = CalamineWorkbook.from_path(str(file.path))
        yield from _read_workbook(workbook, file, options, findings)
    except (CalamineError, ValueError, OverflowError) as exc:
        reason = next(iter(str(exc).splitlines()), type(exc).__name__)
        yield Problem(file.display, None, None, f"is not a readable spreadsheet ({reason}); save it as .xlsx or CSV")


def _find_excess(file: ManifestFile) -> str | None:
    if file.path.stat().st_size > MOST_BYTES:
        return f"is larger than {MOST_BYTES // 2**20} MiB; save the sheet as CSV"
    if zipfile.is_zipfile(file.path):
        try:
            with zipfile.ZipFile(file.path) as packed:
                unpacked = sum(member.file_size for member in packed.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as exc:
            return f"is not a readable spreadsheet ({exc}); save it as .xlsx or CSV"
        if unpacked > MOST_UNPACKED_BYTES:
            return f"unpacks to more than {MOST_UNPACKED_BYTES // 2**20} MiB; save the sheet as CSV"
    return None


def _read_workbook(
    workbook: Any, source: ManifestFile, options: ReadOptions, findings: Findings
) -> Iterator[RawRow | Problem]:
    problem: Problem | None = None
    file = source.display
    for name in _order_sheets(workbook):
        sheet = workbook.get_sheet_by_name(name)
        if not sheet.total_height:
            continue
        # One stray cell at the bottom makes a sheet of millions.
        if sheet.total_height * max(1, sheet.total_width) > MOST_CELLS:
            problem = problem or Problem(
                file,
                None,
                None,
                f"sheet {name!r} holds more than {MOST_CELLS:,} cells; delete the empty rows below the table, or save it as CSV",
            )
            continue
        filled = ((number, row) for number, row in _list_rows(sheet) if any(cell != "" for cell in row))
        head = list(islice(filled, TITLE_ROWS))
        first = find_header([[str(cell) for cell in row] for _, row in head], options)
        number, header = head[first]
        rows = chain(head[first + 1 :], filled)
        names = [str(cell).strip() for cell in header]
        if found := check_header(names, file, number, options):
            problem = problem or found
            continue
        if first:
            findings.notes[f"{file}: {describe_titles(number)}"] = None
        if len(workbook.sheet_names) > 1:
            others = ", ".join(other for other in workbook.sheet_names if other != name)
            findings.notes[f"{file}: the sheet {name!r} was read; left out: {others}"] = None
        _tell_lost_cells(source, workbook.sheet_names.index(name), findings)
        yield from _name_rows(rows, names)
        return
    if problem is not None:
        yield problem


def _list_rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """The rows of a sheet with their numbers."""
    return enumerate(sheet.to_python(skip_empty_area=False), start=1)


def _name_rows(rows: Iterable[tuple[int, list[Any]]], names: list[str]) -> Iterator[RawRow]:
    texts = {at for at, title in enumerate(names) if (find_alias(title) or ("",))[0] in {"prompt", "negative_prompt"}}
    for line, row in rows:
        cells = [_convert(cell, is_text=at in texts) for at, cell in enumerate(row)]
        if any(cell not in {"", None} for cell in cells):
            filled = [*cells, *[""] * (len(names) - len(cells))]
            yield RawRow(line, dict(zip(names, filled, strict=False)), is_table=True)


def _order_sheets(workbook: Any) -> list[str]:
    """The sheets that are seen before those that somebody has hidden, such as an older draft."""
    from python_calamine import SheetVisibleEnum  # noqa: PLC0415  of an extra

    hidden = {sheet.name for sheet in workbook.sheets_metadata if sheet.visible != SheetVisibleEnum.Visible}
    return sorted(workbook.sheet_names, key=lambda name: name in hidden)


def _tell_lost_cells(source: ManifestFile, sheet: int, findings: Findings) -> None:
    # A width that is an error would be the default one, without a word.
    if cells := find_lost_cells(source.path, sheet):
        shown = ", ".join(cells[:MOST_SHOWN]) + (" and more" if len(cells) > MOST_SHOWN else "")
        findings.notes[
            f"{source.display}: cells that hold an error (#REF! and the like), or a formula without a value, are read as empty "
            f"({shown}); mend the formulas, or open the file in a spreadsheet program and save it"
        ] = None


def _convert(cell: Any, *, is_text: bool) -> Any:
    """A cell as a row holds it: whole numbers without a point, dates as text, except in place of a prompt."""
    # A longer number has lost its last digits, and is refused where they count.
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT_FLOAT:
        return int(cell)
    if isinstance(cell, datetime | date | time):
        return cell if is_text else cell.isoformat()
    return str(cell) if isinstance(cell, timedelta) else cell
