"""Text that somebody else wrote, made safe at the edges: for databases, terminals, tables and pages.

Providers' errors, headers, file names and cells can hold escape sequences, which move the cursor or set a
window's title, and direction marks, which show a text in another order than it has.
"""

from __future__ import annotations

import errno
import json
import re
from typing import Any

MOST_ERROR_CHARS = 4_096
"""Longest text of an error that is stored or shown."""
_CUT = "..."
_LOCKED = frozenset({errno.EAGAIN, errno.EBUSY, errno.EDEADLK, errno.ETXTBSY})
_MARKUP = re.compile(r"[\\`*_{}\[\]<>()#+!|~&]")


def sanitize_text(text: str) -> str:
    """Replace what no database stores: NUL is removed, half of a character becomes `?`."""
    # Every value of every row that is written comes here, and most are ids and words.
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def escape_control_characters(text: str) -> str:
    """Write every character that a terminal does not print (escape, line end, direction mark) as its code."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def escape_lines(text: str) -> str:
    """As `escape_control_characters`, but the text keeps its lines."""
    return "\n".join(map(escape_control_characters, text.split("\n")))


def error_text(error: object, *, most_chars: int = MOST_ERROR_CHARS) -> str:
    """An error's text on one line, storable, printable, and at most `most_chars` long."""
    # Lines are joined first: escaped line ends would be hard to read.
    line = escape_control_characters(sanitize_text(" ".join(str(error).split())))
    return line if len(line) <= most_chars else line[: most_chars - len(_CUT)] + _CUT


def database_error_text(exc: BaseException) -> str:
    """As `error_text`, of a database's own error where SQLAlchemy wrapped one."""
    return error_text(getattr(exc, "orig", None) or exc)


def os_error_text(exc: OSError) -> str:
    """The system's words for a file that cannot be read, with what to do where another program has locked it."""
    words = exc.strerror or str(exc)
    return f"{words}: another program has locked it; close it there" if exc.errno in _LOCKED else words


def escape_markdown(text: str) -> str:
    """Text of a stranger on one line of a page: neither markup, nor a link or image that a reader would load."""
    return _MARKUP.sub(r"\\\g<0>", escape_control_characters(text))


def dump_json(value: Any) -> str:
    """JSON on one line, readable in any script, in which every character that a terminal does not print is escaped.

    JSON's own rule stops at U+001F: a terminal also obeys U+009B, and direction marks reorder what a person reads.
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
