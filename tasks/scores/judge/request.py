"""The request of a judge: the row's question and its image, as chat completions take them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from tasks.core.errors import UnreadableFile
from tasks.core.identity import hash_text, to_canonical_json
from tasks.core.judge import JudgeSettings, list_placeholders
from tasks.scores.base import decode_rgb

JPEG_QUALITY = 85
_FORMS = {
    "yes_no": 'Answer with JSON only: {"answer": "yes" or "no", "reason": "one short sentence"}',
    "number": 'Answer with JSON only: {"answer": a number from 0 to 10, "reason": "one short sentence"}',
}


def fill_question(settings: JudgeSettings, row: Mapping[str, Any]) -> str:
    """The question with the row's values; columns of the table and of the manifest.

    Raises:
        UnreadableFile: The row has no value for a column.
    """
    values = {name.lower(): value for name, value in json.loads(row["extra"]).items()} | dict(row)
    names = list_placeholders(settings.question)
    if missing := [name for name in names if values.get(name.lower()) in {None, ""}]:
        raise UnreadableFile(f"the row has no {missing[0]}, which the question asks for")
    return settings.question.format(**{name: values[name.lower()] for name in names})


def hash_question(settings: JudgeSettings, question: str, sha256: str) -> str:
    """Our own name of a call: the same question about the same file by the same model has the same."""
    return "judge-" + hash_text(to_canonical_json([sha256, settings.model, settings.answer, question]))[:32]


def build_body(settings: JudgeSettings, question: str, data: bytes) -> dict[str, Any]:
    """The JSON of a call. The image is scaled down: providers bill by its size, and look at no more.

    Raises:
        BadImage: The file cannot be decoded.
    """
    with decode_rgb(data) as image:
        image.thumbnail((settings.side_px, settings.side_px))
        file = BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
    address = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": address}}]
    return {
        "model": settings.model,
        "messages": [{"role": "system", "content": _FORMS[settings.answer]}, {"role": "user", "content": content}],
        "max_tokens": settings.max_tokens,
        **settings.options,
    }
