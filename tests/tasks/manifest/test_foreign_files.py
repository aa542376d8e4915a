"""Files as other programs write them: encodings, separators, compression, spreadsheets, several files, addresses."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import from_url

from tasks.core.errors import ManifestError
from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings, open_manifest, read_prompts
from tasks.manifest.reading import build_read_options
from tasks.manifest.remote import require_no_downgrade
from tests.support.file_server import serving
from tests.support.services.object_storage import BUCKET
from tests.tasks.manifest.reading import good, piped, problems, read


def open_prompts(source: str) -> list[str]:
    """The prompts at a source; a problem fails the test."""
    with open_manifest(source) as manifest:
        items = list(read_prompts(manifest))
    assert [str(item) for item in items if isinstance(item, Problem)] == []
    return [item.prompt for item in items if isinstance(item, Prompt)]


def refuse(source: str) -> str:
    """The message of a source that cannot be opened."""
    with pytest.raises(ManifestError) as caught, open_manifest(source):
        pass
    return str(caught.value)


def test_a_file_of_zeros_is_refused_by_its_beginning(tmp_path: Path) -> None:
    """A power cut leaves files of the right size without content, and a large one is not read to its end."""
    path = tmp_path / "m.txt"
    with path.open("wb") as file:
        file.truncate(1024**3)  # takes no room on the disk
    assert "zero bytes" in refuse(str(path))


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "-"])
def test_any_separator_is_found(tmp_path: Path, separator: str, name: str) -> None:
    """A table is read by what separates its cells, whatever the end of its name says; a pipe like a file."""
    content = separator.join(["Prompt", "width"]) + "\n" + separator.join(["a fox in snow", "512"]) + "\n"
    items = piped(content.encode())[1] if name == "-" else good(tmp_path, name, content)
    assert [(item.prompt, item.width) for item in items if isinstance(item, Prompt)] == [("a fox in snow", 512)]


def test_the_line_of_excel_names_the_separator(tmp_path: Path) -> None:
    """`sep=;` is no header, and lines keep their numbers."""
    [row] = good(tmp_path, "m.csv", 'sep=;\r\nprompt;id\r\n"a; b, c";x\r\n')
    assert (row.line, row.prompt, row.id) == (3, "a; b, c", "x")


@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
def test_empty_cells_beyond_the_header_are_nothing(tmp_path: Path, name: str) -> None:
    """Lines that end in separators are no rows of too many cells; a cell with something in it is one too many."""
    sign = "," if name == "m.csv" else "\t"
    rows = good(tmp_path, name, f"prompt{sign}seed\na{sign}1{sign}{sign}\n")
    assert [(row.prompt, row.seed) for row in rows] == [("a", 1)]
    assert "3 cells" in problems(tmp_path, name, f"prompt{sign}seed\na{sign}1{sign}x\n")[0][2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_spreadsheets_encodings_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    """Every way in which Excel saves a CSV gives the same prompts on the same lines."""
    content = line_end.join(["Prompt;Seed", "un été à Paris — “café”;1", "a fox;2", ""])
    rows = good(tmp_path, "m.csv", content.encode(encoding))
    assert [(row.line, row.prompt, row.seed) for row in rows] == [(2, "un été à Paris — “café”", 1), (3, "a fox", 2)]


def test_a_guessed_encoding_is_told(tmp_path: Path) -> None:
    """Windows-1252 is a guess, so the first line that depends on it is shown."""
    findings = Findings()
    good(tmp_path, "m.csv", "prompt\na façade\n".encode("cp1252"), None, findings)
    [note] = findings.notes
    assert "line 2" in note
    assert "façade" in note


@pytest.mark.parametrize(
    ("text", "encoding"), [("кот на крыше", "cp1251"), ("żółw", "cp1250"), ("狐の絵", "shift_jis")]
)
def test_other_alphabets_are_not_guessed(tmp_path: Path, text: str, encoding: str) -> None:
    """Letters of another alphabet are refused with the option that names the encoding, and read with it."""
    content = f"prompt\n{text}\n".encode(encoding)
    assert "--encoding" in problems(tmp_path, "m.csv", content)[0][2]
    assert [row.prompt for row in good(tmp_path, "m.csv", content, build_read_options({}, encoding=encoding))] == [text]


def test_two_byte_order_marks_are_no_text(tmp_path: Path) -> None:
    """A tool that adds a mark to a file with one hides no column."""
    assert good(tmp_path, "m.csv", "\ufeff\ufeffprompt,seed\na,1\n")[0].seed == 1


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("is_named", [True, False])
def test_packed_files_are_unpacked(tmp_path: Path, ending: str, is_named: bool) -> None:  # noqa: FBT001  a case
    """By its first bytes, also where its name hides it; the batch is called as the file inside."""
    path = tmp_path / (f"fox.jsonl.{ending}" if is_named else "fox.jsonl")
    path.write_bytes(PACKERS[ending](b'{"prompt": "a"}\n{"prompt": "b"}\n'))
    assert open_prompts(str(path)) == ["a", "b"]
    with open_manifest(str(path)) as manifest:
        assert manifest.name == "fox"


def test_zstd_is_unpacked(tmp_path: Path) -> None:
    """As data sets are packed."""
    path = tmp_path / "fox.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as packed:
        packed.write(b"prompt\na\nb\n")
    assert open_prompts(str(path)) == ["a", "b"]


@pytest.mark.parametrize("ending", ["gz", "xz", "bz2"])
def test_half_a_packed_file_is_refused(tmp_path: Path, ending: str) -> None:
    """A download that broke off says so, and no half batch is paid for."""
    path = tmp_path / f"m.csv.{ending}"
    whole = PACKERS[ending](b"prompt\n" + b"".join(b"fox %d\n" % number for number in range(9_999)))
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be unpacked" in refuse(str(path))


def build_spreadsheet(
    sheets: Mapping[str, Sequence[Sequence[str | float | None]]], hidden: Collection[str] = (), raw: str = ""
) -> bytes:
    """A minimal .xlsx with its texts inline; `raw` is written behind the rows of each sheet."""

    def cell(row: int, column: int, value: str | float | None) -> str:
        place = f'r="{chr(65 + column)}{row}"'
        if value is None:
            return ""
        if isinstance(value, str):
            return f'<c {place} t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'
        return f"<c {place}><v>{value}</v></c>"

    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    links = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    hide = ' state="hidden"'
    names = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"{hide if name in hidden else ""}/>'
        for number, name in enumerate(sheets, 1)
    )
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships {links}><Relationship Id="r0" Type="{kind}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{kind}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships {links}>"
        + "".join(
            f'<Relationship Id="r{n}" Type="{kind}/worksheet" Target="worksheets/s{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        )
        + "</Relationships>",
    }
    for number, rows in enumerate(sheets.values(), 1):
        lines = "".join(
            f'<row r="{at}">' + "".join(cell(at, column, value) for column, value in enumerate(row)) + "</row>"
            for at, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/s{number}.xml"] = f"<worksheet {main}><sheetData>{lines}{raw}</sheetData></worksheet>"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in parts.items():
            packed.writestr(name, text)
    return file.getvalue()


def test_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """The sheet with prompts is found, whole numbers have no point, rows keep the numbers that Excel shows."""
    content = build_spreadsheet(
        {
            "Notes": [["for us"]],
            "Plan": [[None], ["Prompt", "Num Images", "id"], ["a fox", 2.0, 7], [None], ["an owl", None, "o"]],
        }
    )
    findings = Findings()
    first, second = good(tmp_path, "m.xlsx", content, None, findings)
    assert (first.line, first.prompt, first.samples, first.id) == (3, "a fox", 2, "7")
    assert (second.line, second.prompt, second.samples) == (5, "an owl", 1)
    assert any("Notes" in note for note in findings.notes)


def test_a_spreadsheet_has_titles_above_its_table(tmp_path: Path) -> None:
    """Titles are no row and are told; a number that Excel has cut to 15 digits is refused where it counts."""
    rows: list[list[str | float | None]] = [
        ["Campaign"],
        ["as of May", None],
        ["prompt", "seed"],
        ["a fox", 7.0],
        ["an owl", 1234567890123456789.0],
    ]
    findings = Findings()
    fox, owl = read(tmp_path, "m.xlsx", build_spreadsheet({"Plan": rows}), None, findings)
    assert isinstance(fox, Prompt)
    assert (fox.line, fox.prompt, fox.seed) == (4, "a fox", 7)
    assert "lost its last digits" in str(owl)
    assert any("named on line 3" in note for note in findings.notes)


def test_a_hidden_sheet_stands_behind_one_that_is_seen(tmp_path: Path) -> None:
    """A draft that somebody has hidden is not what its user means to pay for."""
    content = build_spreadsheet({"Draft": [["prompt"], ["a fox"]], "Plan": [["prompt"], ["an owl"]]}, hidden={"Draft"})
    assert [prompt.prompt for prompt in good(tmp_path, "m.xlsx", content)] == ["an owl"]


def test_errors_and_formulas_without_a_value_are_told(tmp_path: Path) -> None:
    """They come as empty cells, so a width would be the default one without a word."""
    raw = (
        '<row r="3"><c r="A3" t="inlineStr"><is><t>an owl</t></is></c><c r="B3" t="e"><v>#REF!</v></c></row>'
        '<row r="4"><c r="A4" t="inlineStr"><is><t>an elk</t></is></c><c r="B4"><f>2*B2</f></c></row>'
        '<row r="5"><c r="A5" t="inlineStr"><is><t>a bee</t></is></c><c r="B5"><f>2*B2</f><v>128</v></c></row>'
    )
    findings = Findings()
    rows = good(
        tmp_path, "m.xlsx", build_spreadsheet({"S": [["prompt", "width"], ["a fox", 64.0]]}, raw=raw), None, findings
    )
    assert [row.width for row in rows] == [64, None, None, 128]
    assert any("(B3, B4)" in note for note in findings.notes)


def test_a_spreadsheet_on_standard_input_is_known() -> None:
    """The same bytes mean the same through a pipe."""
    assert piped(build_spreadsheet({"S": [["prompt"], ["a fox"]]}))[0] == "excel"


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 broken", b"no spreadsheet", build_spreadsheet({"S": [["title"], ["x"]]})]
)
def test_a_bad_spreadsheet_is_one_problem(tmp_path: Path, content: bytes) -> None:
    """Damage, another file, and a sheet without prompts are told as such."""
    assert len(problems(tmp_path, "m.xlsx", content)) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("m.json", '{"prompt": "a"}\n{"prompt": "b"}\n', [(1, "a"), (2, "b")]),
        ("m.jsonl", '[\n  {"prompt": "a"},\n  "b"\n]\n', [(2, "a"), (3, "b")]),
        ("m.jsonl", '{"prompts": ["a", "b"]}', [(1, "a"), (1, "b")]),
        (
            "m.json",
            '{\n "defaults": {"seed": 1},\n "prompts": [\n  "a",\n  {"prompt": "b"}\n ]\n}',
            [(4, "a"), (5, "b")],
        ),
        ("m.json", '{\n"a": {"seed": 1},\n"b": {}\n}', [(2, "a"), (3, "b")]),
        ("m.json", '{"x": {"prompt": "a"}, "y": {"prompt": "b"}}', [(1, "a"), (1, "b")]),
        ("m.json", '{"prompt": "a"}', [(1, "a")]),
        ("m.jsonl", '{\n"prompt": "a"\n}\n{\n"prompt": "b"\n}\n', [(1, "a"), (4, "b")]),
    ],
)
def test_json_of_any_shape_is_read(tmp_path: Path, name: str, content: str, expected: list[tuple[int, str]]) -> None:
    """Lists, lines, objects with a list, maps of prompts: each row knows its line, also through a pipe."""
    assert [(row.line, row.prompt) for row in good(tmp_path, name, content)] == expected
    assert [(item.line, item.prompt) for item in piped(content.encode())[1] if isinstance(item, Prompt)] == expected


def write_part(path: Path, prompt: str) -> None:
    """A part of a table of one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"prompt": [prompt], "width": [5 if prompt == "bad" else 64]}), path)
    else:
        path.write_text(f"prompt\n{prompt}\n")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_folder_or_pattern_of_parts_is_one_manifest(tmp_path: Path, ending: str) -> None:
    """In the order of their names; marks of other programs are no parts."""
    for number, prompt in enumerate("abc"):
        write_part(tmp_path / "t" / f"part-{number}.{ending}", prompt)
    (tmp_path / "t" / "_SUCCESS").touch()
    (tmp_path / "t" / ".hidden.csv").write_text("prompt\nno\n")
    assert open_prompts(str(tmp_path / "t")) == ["a", "b", "c"]
    assert open_prompts(str(tmp_path / "t" / f"part-[02].{ending}")) == ["a", "c"]
    assert open_prompts(str(tmp_path / "**" / f"*.{ending}")) == ["a", "b", "c"]


def test_a_problem_names_the_part(tmp_path: Path) -> None:
    """And the row in it."""
    write_part(tmp_path / "t" / "1.parquet", "a")
    write_part(tmp_path / "t" / "2.parquet", "bad")
    with open_manifest(str(tmp_path / "t")) as manifest:
        [problem] = [item for item in read_prompts(manifest) if isinstance(item, Problem)]
    assert (problem.file, problem.line) == (str(tmp_path / "t" / "2.parquet"), 1)


def test_a_folder_of_several_kinds_is_refused(tmp_path: Path) -> None:
    """Which of them is meant, nobody said."""
    write_part(tmp_path / "1.parquet", "a")
    write_part(tmp_path / "2.csv", "b")
    assert "several kinds" in refuse(str(tmp_path))


def test_a_batch_is_not_read_by_accident(tmp_path: Path) -> None:
    """The folder of a batch is told from a folder of parts."""
    (tmp_path / "ledger.db").touch()
    write_part(tmp_path / "metadata.parquet", "a")
    assert "output folder of a batch" in refuse(str(tmp_path))


def test_a_data_set_is_called_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`owner/name` alone is a path; the message says how to write a data set."""
    monkeypatch.chdir(tmp_path)
    assert "hf://datasets/Gustavosta/Stable-Diffusion-Prompts" in refuse("Gustavosta/Stable-Diffusion-Prompts")


def test_an_address_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format comes from the path, else from the type; what is open once is fetched once."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answers = {
        "/a/prompts.csv?raw=1": (200, "application/octet-stream", b"prompt;seed\na;1\n"),
        "/export": (200, "text/csv; charset=utf-8", b"prompt\nb\n"),
        "/rows.jsonl.gz": (200, "application/gzip", gzip.compress(b'{"prompt": "c"}\n')),
    }
    with serving(answers) as address:
        assert [open_prompts(f"{address}{path}") for path in answers] == [["a"], ["b"], ["c"]]
        with open_manifest(f"{address}/export") as manifest:
            answers.clear()
            assert open_prompts(manifest.source) == ["b"]
            assert manifest.name == "export"


def test_what_opens_an_address_is_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest behind a signature or a login is read; ledger, screen and Prefect see neither."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({"/m.csv?sig=abc&gid=1": (200, "text/csv", b"prompt\na\n")}) as address:
        login = address.replace("http://", "http://me:hunter2@")
        with open_manifest(f"{login}/m.csv?sig=abc&gid=1") as manifest:
            shown = f"{address}/m.csv?sig=***&gid=1"
            assert {manifest.display, manifest.source, manifest.files[0].display} == {shown}
            assert open_prompts(shown) == ["a"]
        assert refuse(f"{login}/none.csv?sig=abc").startswith(f"{address}/none.csv?sig=***: ")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, "text/plain", b""), "404"),
        ((200, "text/html", b"<html>sign in</html>"), "web page"),
        ((200, "text/csv", b"\n <!DOCTYPE html><html>"), "web page"),
    ],
)
def test_an_address_without_a_file_is_told(
    answer: tuple[int, str, bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in page is not a manifest of one prompt."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({"/m.csv": answer}) as address:
        assert message in refuse(f"{address}/m.csv")


@pytest.mark.parametrize(
    ("address", "hop", "followed"),
    [
        ("https://a.org/m", "https://b.org/m", True),
        ("https://a.org/m", "http://b.org/m", False),
        ("https://a.org/m", "http://localhost:8000/m", True),
        ("http://127.0.0.1/m", "http://b.org/m", False),
        ("http://a.org/m", "http://b.org/m", True),
    ],
)
def test_a_redirect_does_not_leave_https(address: str, hop: str, *, followed: bool) -> None:
    """What was asked for at a safe address is not taken from whoever listens on the way."""
    with nullcontext() if followed else pytest.raises(ValueError, match=r"leads to http://b\.org"):
        require_no_downgrade(address, hop)


@pytest.mark.parametrize("address", ["hf://datasets/x", "hf://models/a/b", "https://"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    """Nothing is asked for it."""
    assert address in refuse(address)


def test_a_data_set_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data set of Hugging Face: all of its parts, or one file."""
    files = [
        {"type": "file", "path": path, "size": 9, "oid": "o"} for path in ("README.md", "data/0.csv", "data/1.csv")
    ]
    answers = {
        "/api/datasets/fox/prompts/tree/main?recursive=true&expand=false": (
            200,
            "application/json",
            json.dumps(files).encode(),
        ),
        "/datasets/fox/prompts/resolve/main/data/0.csv": (200, "text/csv", b"prompt\na\n"),
        "/datasets/fox/prompts/resolve/main/data/1.csv": (200, "text/csv", b"prompt\nb\n"),
    }
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with serving(answers) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert open_prompts("hf://datasets/fox/prompts") == ["a", "b"]
        assert open_prompts("hf://datasets/fox/prompts/data/1.csv") == ["b"]
        assert "holds no manifest" in refuse("hf://datasets/fox/prompts/other")


def test_bytes_of_a_table_are_never_text(tmp_path: Path) -> None:
    """Columns of bytes are left out and told; one that is ours must be left out by the user."""
    table = pa.table(
        {
            "caption": ["a fox"],
            "jpg_0": pa.array([b"\xff\xd8"]),
            "thumbs": pa.array([[{"bytes": b"x"}]]),
            "image": pa.array([{"bytes": b"\x89PNG", "path": None}]),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    [(_, column, message)] = problems(tmp_path, "m.parquet", file.getvalue())
    assert (column, "--ignore-columns image" in message) == ("image", True)
    findings = Findings()
    options = build_read_options({}, ignore="image")
    [row] = good(tmp_path, "m.parquet", file.getvalue(), options, findings)
    assert (row.prompt, row.extra) == ("a fox", {})
    assert set(findings.to_record()["ignored"]) == {"jpg_0", "thumbs", "image"}


def test_whole_decimals_and_floats_are_whole_numbers(tmp_path: Path) -> None:
    """Numbers of PostgreSQL and pandas: a Decimal's width, a float's id."""
    table = pa.table(
        {
            "prompt": ["a"],
            "id": pa.array([17.0]),
            "width": pa.array([1024], pa.int64()).cast(pa.decimal128(21, 2)),
            "guidance": pa.array([3], pa.int64()).cast(pa.decimal128(21, 1)),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    [row] = good(tmp_path, "m.parquet", file.getvalue())
    assert (row.id, row.width, row.backend_opts) == ("17", 1024, {"guidance": 3.0})


def test_numbers_and_dates_of_a_table_are_shown_as_people_write_them(tmp_path: Path) -> None:
    """A message spells no type of Python."""
    table = pa.table({"prompt": [datetime(2026, 5, 1, 8, 30, tzinfo=UTC)], "width": [Decimal("64.50")]})
    pq.write_table(table, tmp_path / "m.parquet")
    told = [message for _, _, message in problems(tmp_path, "m.parquet", (tmp_path / "m.parquet").read_bytes())]
    assert [message.split(" is not")[0] for message in told] == ["2026-05-01 08:30:00+00:00", "64.50"]


def test_the_table_of_a_batch_is_a_manifest(tmp_path: Path) -> None:
    """What was asked for is asked for again; what came of it is left out."""
    row = {"file_name": "x.png", "job_id": "ab", "id": "fox", "sample": 1, "prompt": "a", "backend_type": "sketch"}
    row |= {"prompt_hash": "h", "width": 512, "height": 512, "requested_width": None, "aspect_ratio": "16:9", "seed": 7}
    row |= {"model": "m", "extra": '{"mood": "calm"}', "backend_opts": "{}", "cost_usd": 0.1}
    [prompt] = good(tmp_path, "m.jsonl", json.dumps(row))
    assert (prompt.id, prompt.seed, prompt.width, prompt.aspect_ratio) == ("fox-1", 7, None, "16:9")
    assert (prompt.extra, prompt.model) == ({"mood": "calm"}, None)


@pytest.mark.usefixtures("rclone")
def test_a_bucket_is_fetched(prefix: str) -> None:
    """A file, the parts under a prefix, and a pattern."""
    store = from_url(f"s3://{BUCKET}", client_options={"allow_http": True})
    for name, prompt in (("t/1.csv", "a"), ("t/2.csv", "b"), ("t/_SUCCESS", "no"), ("other.csv", "c")):
        store.put(f"{prefix}/{name}", f"prompt\n{prompt}\n".encode())
    root = f"s3://{BUCKET}/{prefix}"
    assert open_prompts(f"{root}/t/1.csv") == ["a"]
    assert open_prompts(f"{root}/t") == ["a", "b"]
    assert open_prompts(f"{root}/t/*.csv") == ["a", "b"]
    assert "cannot be fetched" in refuse(f"{root}/missing.csv")
    assert "holds no manifest" in refuse(f"{root}/nowhere")
