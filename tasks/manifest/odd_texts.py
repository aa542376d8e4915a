"""Prompts that other tools read otherwise: each kind is told once, before anything is paid, and sent as it stands."""

from __future__ import annotations

import re

from tasks.manifest.reading import Findings

_LETTERLESS = re.compile(r"[\W\d_]+")
_ADDRESS = re.compile(
    r"(?:https?://|s3://|gs://|file:/|/|[A-Za-z]:\\|\.{0,2}/)\S+\.(?:png|jpe?g|webp|gif|avif|txt|json|csv)",
    re.IGNORECASE,
)
_WHOLE = (
    (_LETTERLESS, "prompts hold no letter (dates, numbers or signs alone), and are sent as they stand"),
    (_ADDRESS, "prompts are addresses or paths of files, which are sent as words: nothing is opened"),
)
"""Kinds that a prompt is of as a whole."""
# All repetitions are bounded, so that no text is searched again from each of its signs.
_KINDS = (
    (
        re.compile(r"(?:^|\s)--(?:ar|aspect|no|seed|v|stylize|niji|style|steps|chaos|q|iw|s|width|height)[ =]"),
        "prompts hold options such as --ar, which are sent as words; give them columns",
    ),
    (
        re.compile(r"\bnegative[ _]prompt\s*[:=]|[#|(\[]\s*negative\s*:", re.IGNORECASE),
        "prompts hold `negative prompt:`, which is sent as words; give it the column negative_prompt",
    ),
    (
        re.compile(r"<(?:lora|lyco|hypernet):[^>]{0,200}>", re.IGNORECASE),
        "prompts hold tags such as <lora:...>, which are sent as words: nothing is loaded for them",
    ),
    (
        re.compile(r"\{[^{}]{0,300}\|[^{}]{0,300}\}|(?<!\w)__[A-Za-z][\w/-]{0,60}?__(?!\w)"),
        "prompts hold {a|b} or __name__, which are sent as words: only `template` with `matrix` expands",
    ),
    (
        re.compile(r"^\s{0,9}=\s{0,9}[A-Za-z.]{1,40}\("),
        "prompts are formulas of a spreadsheet, which are sent as words; save the values in their place",
    ),
    (
        re.compile(r"&(?:amp|quot|lt|gt|nbsp|#39|#x27);"),
        "prompts hold codes of web pages such as &amp;, which are sent as they stand; write the characters",
    ),
    (
        # UTF-8 that was read as Windows-1252 and saved again.
        re.compile("\u00c3[\u0080-\u00bf\u0192\u201a\u2020\u2021\u02c6\u2030]|\u00e2\u20ac|\u00f0\u0178"),
        "prompts hold signs such as \u00c3\u00bc in place of letters: the file was saved in a wrong encoding on its way",
    ),
)
_ANY = re.compile(
    "^\\s{0,9}=|--[a-z]|negative|<[lh]|\\{[^{}]{0,300}\\||__[a-z]|&[a-z#]|[\u00c3\u00e2\u00f0]", re.IGNORECASE
)
"""True of every text of a kind: one look spares most prompts the others."""


def note_odd_text(prompt: str, line: int, findings: Findings) -> None:
    """Count a prompt under each kind that it is of."""
    if _ANY.search(prompt):
        for pattern, message in _KINDS:
            if pattern.search(prompt):
                findings.count(message, line)
    for pattern, message in _WHOLE:
        if pattern.fullmatch(prompt):
            findings.count(message, line)
