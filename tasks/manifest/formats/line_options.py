"""Lines of text that hold more than a prompt: options of other tools, and a negative prompt behind the prompt.

A1111 writes `--prompt "a fox" --steps 30`, Midjourney `a fox --ar 16:9 --no dogs`, InvokeAI `a fox -s 30 -W 512`.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from tasks.manifest.names import find_alias

_OPTION = re.compile(r"(?:^|\s)--([A-Za-z][\w-]*)(?=[\s=]|$)")
# Word processors and phones make one long dash of the two hyphens before an option of Midjourney.
_LONG_DASH = re.compile(
    r"(?<=\s)[\u2013\u2014](?=(ar|aspect|no|seed|stylize|version|quality|chaos|iw|niji|style|tile|weird|sref|cref)\b"
    r"|[svcwq] ?\d)"
)
_SHORT = re.compile(r"\s-([sSWHCn])[ =]?(?=\d)")
_ANY_SHORT = re.compile(r"(?:(?<=\s)|^)-([A-Za-z])(?=[\s\d=])")
_SHORT_NAMES = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "cfg", "n": "samples"}
"""InvokeAI's, where upper and lower case differ."""
_COMMAND = re.compile(r"\s*/imagine\b\s*(prompt\s*:?)?\s*", re.IGNORECASE)
_BOLD = re.compile(r"\s*\*\*(.+?)\*\*(\s+-\s.*)?\s*")
"""A prompt as Discord shows it, with the user's name behind."""
# All repetitions are bounded: a line of a thousand hashes must not be searched again from each of them.
_NEGATIVE = re.compile(
    r"\s{0,9}(?:[#|,;(\[]{1,9}\s{0,9}negative(?:[ _]prompt)?|\bnegative[ _]prompt)\s{0,9}[:=]\s*", re.IGNORECASE
)
_MIDJOURNEY = {"no": "negative_prompt", "ar": "aspect_ratio", "seed": "seed", "aspect": "aspect_ratio"}


def read_line(text: str) -> tuple[dict[str, Any], str | None]:
    """The columns of a line, and what there is to tell about how it was read.

    Raises:
        ValueError: An option stands there twice, or a quote is not closed.
    """
    plain = _COMMAND.sub("", text, count=1) if _COMMAND.match(text) else text
    if (bold := _BOLD.fullmatch(plain)) and _OPTION.search(bold[1]):
        plain = bold[1]
    plain = _LONG_DASH.sub("--", plain)
    if _SHORT.search(plain):
        plain = _ANY_SHORT.sub(lambda found: f"--{_SHORT_NAMES.get(found[1], found[1])} ", plain)
    if _OPTION.search(plain):
        return _split_options(plain), "options such as --steps were read as columns"
    # The last one counts: the negative prompt stands behind everything else.
    if marks := list(_NEGATIVE.finditer(plain)):
        prompt, negative = plain[: marks[-1].start()].rstrip(), plain[marks[-1].end() :].strip().rstrip(")]").rstrip()
        # A bracket that is closed before the end of the line goes on with the prompt, which nobody can cut in two.
        is_open = "(" in marks[-1][0] or "[" in marks[-1][0]
        if prompt and negative and (not is_open or plain.rstrip()[-1] in ")]"):
            told = "what stands behind `negative prompt:` was read as the negative prompt"
            return {"prompt": prompt, "negative_prompt": negative}, told
    return {"prompt": plain}, None if plain == text else "the command /imagine was left out"


def _split_options(text: str) -> dict[str, Any]:
    """The columns of a line of options."""
    found = list(_OPTION.finditer(text))
    cells: dict[str, Any] = {}
    if words := _unquote(text[: found[0].start()].strip()):
        cells["prompt"] = words
    for index, match in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(text)
        value = _unquote(text[match.end() : end].strip().removeprefix("=").strip())
        name = _name_option(match[1])
        if name in cells:
            raise ValueError(f"--{match[1]} stands twice")
        cells[name] = value or True  # an option without a value is switched on
    return cells


def _name_option(name: str) -> str:
    plain = _MIDJOURNEY.get(name.lower(), name.replace("-", "_"))
    return plain if len(plain) > 1 and find_alias(plain) else f"--{name}"


def _unquote(text: str) -> str:
    return " ".join(shlex.split(text)) if text[:1] in {'"', "'"} else text
