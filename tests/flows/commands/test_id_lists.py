"""Lists of ids, as editors, shells and pages write them."""

from __future__ import annotations

import codecs
import io
import sys
from pathlib import Path

import pytest

from flows.cli_support.id_lists import read_id_list
from tasks.core.errors import InputError


@pytest.mark.parametrize(
    "data",
    [
        b"fox\nowl\n",
        codecs.BOM_UTF8 + b"fox\r\n\r\n  \r\nowl",
        b"fox\rowl\r",
        codecs.BOM_UTF16_LE + "fox\r\nowl\r\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "fox\nowl\nfox\n".encode("utf-16-be"),
    ],
)
def test_a_list_is_read_whoever_wrote_it(data: bytes, tmp_path: Path) -> None:
    """Marks, line ends of all systems, empty lines and doubles; PowerShell 5 writes UTF-16."""
    (tmp_path / "ids.txt").write_bytes(data)
    assert read_id_list(str(tmp_path / "ids.txt")) == ["fox", "owl"]


def test_an_id_may_hold_what_ends_no_line(tmp_path: Path) -> None:
    """U+2028, U+0085 and a form feed are parts of an id."""
    ids = ["a\u2028b", "c\u0085d", "e\x0cf"]
    (tmp_path / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
    assert read_id_list(str(tmp_path / "ids.txt")) == ids


def test_bytes_that_are_no_text_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file as on standard input, which gives them as half characters that no database takes."""
    (tmp_path / "ids.txt").write_bytes(b"fox\n\xff\xfe\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("fox\n\udcff\n"))
    for source in (str(tmp_path / "ids.txt"), "-"):
        with pytest.raises(InputError, match="no text in UTF-8"):
            read_id_list(source)
