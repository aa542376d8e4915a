"""A first pass over a text file: marks that single lines leave open, and files that are no list of prompts at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from tasks.core.records import Problem
from tasks.manifest.detect import find_delimiter
from tasks.manifest.formats.infotext import is_infotext
from tasks.manifest.lines import is_visible, read_lines
from tasks.manifest.names import PROMPT_NAMES, find_alias, fold_name
from tasks.manifest.source import ManifestFile

_COMMENT = re.compile(r"\s*(#|//)")
_RULE = re.compile(r"\s*([-=*_~+.])(\s*\1){2,}\s*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[\w+-]*\s*")
_BULLET = re.compile(
    r"\s*(?:[-*\u2022\u2023\u25e6\u2043+>]|\d{1,6}[.):]|\(\d{1,6}\)|\[[ xX]?\]"
    r"|(?:positive[ _])?(?:prompt|image)\s*#?\d*\s*[:.)])\s+(?=\S)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""\s*(["'])(.*)\1\s*,?\s*""")
_INDENTED = re.compile(r"\t| {2,}")
_JSON = re.compile(r"\s*\{.*\}\s*,?\s*")
_LIST = re.compile(r"\s*([A-Za-z_]\w*\s*=\s*)?\[\s*([\"'{].*)?")
_YAML_ROW = re.compile(r"\s*-\s+([\w ]+?)\s*:\s")
_YAML_KEY = re.compile(r"(prompts|defaults|template|matrix)\s*:\s*")
_PAIR = re.compile(r"\s*([A-Za-z][\w ]*?)\s*:\s")
_NUMBERED = re.compile(r"\s*\d+\s*[,;|]\s*\S")
_WITH_NUMBERS = re.compile(r".*\S\s{0,9}[;|]\s{0,9}\d{1,9}\s{0,9}(?:[;|][^;|]*)*")
"""A line that ends in cells, one of them a number: `a fox;768;512`."""
_TABLE_RULE = re.compile(r"\s{0,9}\|?(?:\s{0,9}:?-{2,}:?\s{0,9}\|)+(?:\s{0,9}:?-{2,}:?)?\s*")
"""The line under the header of a table in Markdown."""
_DOCUMENTS = (
    (re.compile(r"%PDF-"), "is a PDF"),
    (re.compile(r"\{\\rtf"), "is a document in RTF"),
    (re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "is a web page or XML"),
)
_FRONT_KEY = re.compile(r"([A-Za-z][\w-]*)\s*:(?:\s|$)")
_PAGE_KEYS = frozenset(
    {"title", "date", "tags", "author", "layout", "description", "draft", "categories", "lang", "aliases"}
)
MOST_FRONT_LINES = 50
SHORTEST_NAME = 4
"""Of a column on a line of its own: a `p` alone may be anything."""


@dataclass(slots=True)
class Survey:
    """Counts of the marks that the lines of a file have."""

    prompts: int = 0
    bulleted: int = 0
    indented: int = 0
    quoted: int = 0
    tabbed: int = 0
    numbered: int = 0
    celled: int = 0
    json_lines: int = 0
    settings: int = 0
    starts_with_bullet: bool = False
    has_infotext: bool = False
    front_end: int = 0
    """The last line of a page's front matter; 0 where there is none."""
    name_line: int | None = None
    """The line on which the name of a column stands alone above the prompts."""
    is_named: bool = False
    """That name is the one that the user gives to the column of prompts."""
    other: tuple[int, str] | None = None
    """Line and reason why this is another kind of file."""

    @property
    def has_list(self) -> bool:
        """Every line has a bullet or a number, or goes on with the one above it."""
        return self.starts_with_bullet and self.bulleted + self.indented == self.prompts

    @property
    def has_quotes(self) -> bool:
        """Every line stands in quotes, behind its bullet."""
        return self.quoted == self.prompts


def survey_lines(file: ManifestFile, column: str | None = None) -> Survey:
    """Read a file once, and count the marks that its lines have in common; `column` may be the name on its first line."""
    survey = Survey()
    survey.front_end = _find_front_end(file)
    first = 0
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem) or number <= survey.front_end or not is_visible(line) or find_skip_reason(line):
            continue
        text = line.rstrip("\r\n")
        if survey.other is None and _TABLE_RULE.fullmatch(text):
            survey.other = number, "is the rule of a table in Markdown; write the table as CSV"
        if not first:
            first = number
            survey.other = survey.other or _find_other_kind(number, text)
            survey.starts_with_bullet = find_bullet(text) is not None
            survey.is_named = column is not None and fold_name(text) == fold_name(column)
            if survey.is_named or (len(text) >= SHORTEST_NAME and fold_name(text) in PROMPT_NAMES):
                survey.name_line = number
                continue
        _count_line(survey, text)
    if not survey.prompts:
        survey.name_line, survey.is_named = None, False  # a word alone is a prompt
    if survey.other is None:
        survey.other = _judge_lines(survey, first)
    return survey


def _find_front_end(file: ManifestFile) -> int:
    """The line that ends the settings at the top of a page in Markdown (`title:` and the like between rules)."""
    is_page = False
    for number, line in islice(read_lines(file.path, file.display), MOST_FRONT_LINES):
        text = "" if isinstance(line, Problem) else line.strip()
        if text == "---" and number > 1:
            # Without a setting that only pages have, it may be somebody's prompts between rules.
            return number if is_page else 0
        if number == 1 and text != "---":
            return 0
        pair = _FRONT_KEY.match(text)
        if number > 1 and pair is None and not text.startswith(("- ", "#")):
            return 0
        is_page |= pair is not None and pair[1].lower() in _PAGE_KEYS
    return 0


def _count_line(survey: Survey, text: str) -> None:
    end = find_bullet(text)
    survey.prompts += 1
    survey.bulleted += end is not None
    survey.indented += end is None and _INDENTED.match(text) is not None
    survey.quoted += get_quoted(text[end or 0 :]) is not None
    survey.tabbed += "\t" in text.strip()
    survey.numbered += _NUMBERED.match(text) is not None
    survey.celled += _WITH_NUMBERS.fullmatch(text) is not None
    survey.json_lines += _JSON.fullmatch(text) is not None and '"' in text
    pair = _PAIR.match(text)
    survey.settings += pair is not None and (find_alias(pair[1]) or ("prompt",))[0] != "prompt"
    survey.has_infotext |= is_infotext(text)


def _find_other_kind(number: int, text: str) -> tuple[int, str] | None:
    """Find by its first line that the file is of another kind."""
    # Each line of such a file would be paid for as a prompt.
    for pattern, kind in _DOCUMENTS:
        if pattern.match(text):
            return number, f"{kind}; save its prompts as plain text, one a line"
    if delimiter := find_delimiter(text):
        # Not guessed: cells that are read as columns may change the size of every image.
        return number, (
            f"looks like the header of a table (names separated by {delimiter!r}); end the file's name in .csv"
        )
    row = _YAML_ROW.match(text)
    if (row is not None and find_alias(row[1])) or _YAML_KEY.fullmatch(text):
        return number, "looks like YAML; end the file's name in .yaml"
    if _LIST.fullmatch(text) and ("]" not in text or text.rstrip().endswith("]")):
        return number, "looks like a list of JSON or Python; write it as JSON, and end the file's name in .json"
    return None


def _judge_lines(survey: Survey, first: int) -> tuple[int, str] | None:
    """Find by all lines together that the file is of another kind."""
    # Only where every line agrees: a single odd one is somebody's prompt.
    if survey.json_lines and survey.json_lines == survey.prompts:
        return first, "looks like JSON, an object a line; end the file's name in .jsonl"
    if survey.settings and survey.settings + survey.bulleted == survey.prompts:
        return first, "looks like YAML (a setting a line); begin each row with a dash, and end the file's name in .yaml"
    if survey.prompts > 1 and survey.tabbed == survey.prompts:
        return first, (
            "looks like a table (separated by tabs) that does not name its columns; "
            "name them on a first line, one of them prompt, and end the file's name in .tsv"
        )
    if survey.prompts > 1 and survey.prompts in {survey.numbered, survey.celled}:
        return first, (
            "looks like a table that does not name its columns; "
            "name them on a first line, as id,prompt, and end the file's name in .csv"
        )
    return None


def find_skip_reason(line: str) -> str | None:
    """Why a line is no prompt; None where it is one."""
    if _FENCE.fullmatch(line):
        return "code fences were left out"
    if _COMMENT.match(line):
        return "comments (# or //) were left out"
    if _RULE.fullmatch(line):
        return "rules between prompts were left out"
    return None


def find_bullet(text: str) -> int | None:
    """The place at which the prompt begins behind a bullet, a number or a label; None where there is none."""
    match = _BULLET.match(text)
    return None if match is None else match.end()


def get_quoted(text: str) -> str | None:
    """The text between quotes that stand around a whole line; None where there are none."""
    match = _QUOTED.fullmatch(text)
    # Two quoted parts in one line are no quotes around it.
    return None if match is None or match[1] in match[2].replace(f"\\{match[1]}", "") else match[2]
