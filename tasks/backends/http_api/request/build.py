"""Requests of a described API: templates filled in, as JSON or as a form with files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.request.placeholders import BASE64, OF_IMAGES
from tasks.backends.http_api.request.pointers import merge_into
from tasks.backends.http_api.request.template import fill, fill_address, fill_text, find_names, is_place
from tasks.backends.http_api.sections import Call
from tasks.store.references import get_media_type

FILE = "_file"
"""End of the name of an image's bytes, which a form sends as a file."""


def build_request(
    call: Call,
    values: Mapping[str, Any],
    *,
    url: str | None = None,
    opts_at: str = "",
    opts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A request as httpx takes it.

    Args:
        call: The template.
        values: Its placeholders.
        url: The address, where an answer has given it.
        opts_at: The object of the content into which `opts` are merged.
        opts: A row's further inputs; null takes one away.
    """
    request: dict[str, Any] = {
        "url": url or fill_address(call.url or "", values),
        "headers": {name: fill_text(text, values) for name, text in call.headers.items()},
    }
    if call.body is not None:
        request["json"] = fill(call.body, values)
        merge_into(request["json"], opts_at, dict(opts or {}))
    elif call.form is not None:
        # A field that is one image placeholder becomes a file; mixed with text it could only be text.
        files = {name: values[kept] for name, text in call.form.items() if (kept := _name_file(text, values))}
        form = fill({name: text for name, text in call.form.items() if name not in files}, values)
        merge_into(form, opts_at, dict(opts or {}))
        # httpx sends a multipart form only where `files` is given, so plain fields travel in it too, without a file
        # name.
        request["files"] = [*_list_fields(form), *_list_files(files)]
    elif call.fields is not None:
        fields = fill(call.fields, values)
        merge_into(fields, opts_at, dict(opts or {}))
        request["data"] = {name: _spell(value) for name, value in fields.items()}
    return request


def read_places(call: Call, last: Answer) -> dict[str, Any]:
    """Values of the placeholders that are places in the last answer."""
    names = set(find_names([call.url, call.headers, call.content]))
    return {name: last.read(name) for name in names if is_place(name)}


def _name_file(text: Any, values: Mapping[str, Any]) -> str | None:
    """The name of the bytes that a field of a form holds; None where it holds text."""
    names = list(find_names(text))
    if len(names) != 1 or names[0] not in OF_IMAGES or text != f"{{{names[0]}}}" or names[0].endswith(BASE64):
        return None
    return name if (name := names[0] + FILE) in values else None


def _list_fields(form: Mapping[str, Any]) -> list[tuple[str, tuple[None, bytes]]]:
    return [(name, (None, _spell(value).encode())) for name, value in form.items()]


def _list_files(files: Mapping[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [(name, (name, data, get_media_type(data))) for name, data in files.items()]


def _spell(value: Any) -> str:
    """A value as the text of a form's field."""
    # A form has only text: JSON's spelling of numbers, true and lists is what services expect in it.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
