"""`--where`: a condition in SQLite's expression language over the table's columns and the manifest's own.

Takes pages of the ledger, gives the jobs for which the condition is true. The expression runs in a database in
memory that holds one page: it reads that one table, and can neither write, open a file nor run for long.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import InputError
from tasks.core.safe_text import error_text, sanitize_text
from tasks.metadata.columns import COLUMNS, build_plain_row
from tasks.metadata.exports.extra_columns import TABLE_COLUMNS, ExtraColumns

MOST_CHARACTERS = 10_000
"""Of an expression."""
MOST_TEXT_BYTES = 20_000_000
"""Of a text that an expression makes: `replace` and `printf` could ask for gigabytes."""
MOST_PATTERN_BYTES = 200
"""Of a pattern of LIKE or GLOB: matching takes time that grows with a power of its wildcards."""
STEPS_PER_CALL, MOST_CALLS = 100_000, 5_000
"""Work on one page: about ten seconds. Steps are counted, not seconds, so that a busy machine changes nothing."""

_TABLE = "images"
_AFFINITIES = {"string": "TEXT", "int32": "INTEGER", "int64": "INTEGER", "double": "REAL", "bool": "INTEGER"}
# Texts and comments are skipped, so that a quote in them is none.
_QUOTED_NAME = re.compile(r"""'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|"((?:[^"]|"")*)\"""", re.DOTALL)
# Two passes over a batch must choose the same, and the rest are ways out of the database.
_DENIED_FUNCTIONS = frozenset(
    {
        *("random", "randomblob", "load_extension", "fts3_tokenizer"),
        *("changes", "total_changes", "last_insert_rowid", "sqlite_log"),
    }
)


class RowFilter:
    """A condition, ready to be asked about one page after the other. Close it after use."""

    def __init__(self, expression: str, extra: ExtraColumns, option: str = "--where") -> None:
        """Prepare the condition; `option` is its name in messages.

        Raises:
            InputError: It is empty, too long, or no condition over these columns; the message names the place.
        """
        self._expression, self._extra, self._option = expression, extra, option
        self._selects = self._calls = 0
        self._refuse_unreadable()
        known = [(column.name, _AFFINITIES.get(column.type, "TEXT")) for column in COLUMNS]
        own = extra.list_types().items()
        self._columns = [name for name, _ in (*known, *own)]
        self._db = sqlite3.connect(":memory:")
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MOST_PATTERN_BYTES)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._db.set_progress_handler(self._count_call, STEPS_PER_CALL)
        spelled = ", ".join(f"{_quote(name)} {affinity}" for name, affinity in (*known, *own))
        # A rowid would be the place within a page, and choose one image of each.
        spelled += ", PRIMARY KEY (job_id)) WITHOUT ROWID"
        with self._explain_errors():
            self._db.execute(f"CREATE TABLE {_TABLE} ({spelled}")
            # After the table, whose text may be longer than any value.
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_TEXT_BYTES)
        # Asked about no row: a wrong expression is told before the ledger is read again.
        self.match([])
        self._selects = 0
        with self._explain_errors():
            # Sums would see one page, and two columns be no condition: in a WHERE clause SQLite itself refuses them.
            self._db.execute(f"SELECT 1 FROM {_TABLE} WHERE ({self._expression}\n)")  # noqa: S608  the user's condition

    def close(self) -> None:
        """Free the database."""
        self._db.close()

    def match(self, page: Sequence[RowMapping]) -> set[str]:
        """The job ids of the page for which the condition is true; unknown (null) is not true.

        Raises:
            InputError: The condition cannot be evaluated, takes too long, or is none.
        """
        marks = ", ".join("?" * len(self._columns))
        self._selects = self._calls = 0
        with self._explain_errors():
            self._db.set_authorizer(None)
            self._db.execute(f"DELETE FROM {_TABLE}")  # noqa: S608  our own name
            self._db.executemany(f"INSERT INTO {_TABLE} VALUES ({marks})", map(self._build_cells, page))  # noqa: S608  likewise
            self._db.set_authorizer(self._authorize)
            # On a line of its own, so that a comment at the end does not take the bracket along.
            found = self._db.execute(f"SELECT job_id, ({self._expression}\n) FROM {_TABLE}")  # noqa: S608  the user's condition
            return {job_id for job_id, answer in found if self._is_true(answer)}

    def _build_cells(self, row: RowMapping) -> list[Any]:
        values = self._extra.read_values(row) | build_plain_row(row)
        return [values.get(name) for name in self._columns]

    def _is_true(self, answer: Any) -> bool:
        # SQLite takes a text for false, and nothing would be selected in silence.
        if isinstance(answer, str | bytes):
            raise InputError(
                f"{self._option}: {self._shown} gives a text, and no yes or no; compare it, as in light = 'dawn'"
            )
        return bool(answer)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        match action:
            case sqlite3.SQLITE_SELECT:
                # One only: another one would see a page and not the batch.
                self._selects += 1
                allowed = self._selects == 1
            case sqlite3.SQLITE_READ:
                allowed = first == _TABLE
            case sqlite3.SQLITE_FUNCTION:
                allowed = second is not None and second.lower() not in _DENIED_FUNCTIONS
            case _:
                allowed = False
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _count_call(self) -> int:
        self._calls += 1
        return self._calls > MOST_CALLS

    @property
    def _shown(self) -> str:
        return repr(error_text(self._expression, most_chars=200))

    def _refuse_unreadable(self) -> None:
        if not self._expression.strip():
            raise InputError("--where is empty: give a condition, as \"light = 'dawn'\"")
        if len(self._expression) > MOST_CHARACTERS:
            raise InputError(
                f"{self._option} has more than {MOST_CHARACTERS:,} characters; a list of ids goes with --ids"
            )
        if sanitize_text(self._expression) != self._expression:
            raise InputError(f"{self._option}: {self._shown} holds characters that are no text")
        known = TABLE_COLUMNS | self._extra.list_types().keys()
        for quoted in _QUOTED_NAME.finditer(self._expression):
            name = quoted.group(1)
            # SQLite takes a name in quotes that it does not know for a text: "lihgt" = 'dawn' would select nothing.
            if name is not None and name.replace('""', '"').lower() not in known:
                raise InputError(f"{self._describe_unknown(name)} A text stands in single quotes: '{name}'.")

    def _describe_unknown(self, name: str) -> str:
        own = ", ".join(self._extra.names) or "none"
        table = ", ".join(column.name for column in COLUMNS)
        return error_text(
            f"{self._option}: there is no column {name!r}. Columns of the manifest: {own}. Of the table: {table}."
        )

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        # `Warning` is no `Error`: Python 3.11 raises it for a second statement.
        except (sqlite3.Error, sqlite3.Warning) as exc:
            raise self._explain(exc) from None

    def _explain(self, error: Exception) -> InputError:
        message = str(error)
        if (unknown := re.fullmatch(r"no such column: (.*)", message, re.DOTALL)) is not None:
            return InputError(self._describe_unknown(unknown.group(1)))
        if message == "interrupted":
            message = "takes too long"
        elif "not authorized" in message or "prohibited" in message:
            message = "may only compare the columns of one image: no SELECT, and no function that gives chance values or counts rows"
        elif "one statement" in message:
            message = "is more than one statement"
        return InputError(f"{self._option}: {self._shown}: {error_text(message)}")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
