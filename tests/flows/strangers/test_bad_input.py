"""Bad input: one clear message, exit status 2, nothing written, nothing started."""

from __future__ import annotations

import json
import shlex
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.flows.conftest import NOWHERE, Cli
from tests.support.waiting import PATIENCE_S

GOOD_ROW = '{"prompt": "a fox"}\n'

BAD_MANIFESTS: dict[str, tuple[str, bytes, list[str]]] = {
    "broken YAML": ("m.yaml", b"prompts:\n  - [a fox\n  - b\n", ["m.yaml:2", "not YAML", "not closed until line 4"]),
    "a column of the wrong type": ("m.jsonl", b'{"prompt": ["a", "fox"]}\n', ["m.jsonl:1", "prompt", "not text"]),
    "a negative size": ("m.csv", b"prompt,width\na fox,-5\n", ["m.csv:2", "width", "-5", "16 to 16384"]),
    "an absurd size": ("m.jsonl", b'{"prompt": "a", "height": 9000000}\n', ["m.jsonl:1", "height", "16384"]),
    "an empty prompt": ("m.tsv", b"Prompt\tNote\n  \tx\n", ["m.tsv:2", "Prompt", "empty"]),
    "an unknown backend": ("m.yaml", b"- {prompt: a, backend: flux}\n", ["m.yaml:1", "backend", "'flux'", "sketch"]),
    "an id that stands twice": (
        "m.jsonl",
        b'{"id": "x", "prompt": "a"}\n{"id": "y", "prompt": "b"}\n{"id": "x", "prompt": "c"}\n',
        ["m.jsonl:3", "id", "'x'", "line 1"],
    ),
    "NUL bytes": ("m.txt", b"a fox\nan \0 owl\n", ["m.txt:2", "NUL"]),
    "another encoding": ("m.txt", b"a fox\nein F\xfcchslein\n", ["m.txt:2", "UTF-8"]),
    "a path as id": ("m.jsonl", b'{"id": "../../x", "prompt": "a"}\n', ["m.jsonl:1", "id", "../../x"]),
    "a line of 50 MB": (
        "m.jsonl",
        GOOD_ROW.encode() + b'{"prompt": "LONG"}\n',
        ["m.jsonl:2", "longer"],
    ),
    "an unknown extension": ("m.docx", b"a fox", ["m.docx", ".jsonl"]),
    "Parquet that is none": ("m.parquet", b"not parquet", ["m.parquet", "Parquet"]),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused_whole(case: str, offline: Cli) -> None:
    """The message names file, line and column, and no folder appears."""
    name, content, fragments = BAD_MANIFESTS[case]
    (offline.folder / name).write_bytes(content.replace(b"LONG", b"x" * 50_000_000))
    done = offline.run("run", name, "--out", "out", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    for fragment in fragments:
        assert fragment in done.stderr
    assert not (offline.folder / "out").exists()


def test_all_problems_are_reported_at_once(offline: Cli) -> None:
    """A user mends a manifest in one go; a flood is cut, and counted."""
    rows = [{"prompt": "", "width": 1}, {"prompt": "fine"}, *({"prompt": "a", "steps": -1} for _ in range(60))]
    (offline.folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = offline.run("plan", "m.jsonl")
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert "m.jsonl:1: prompt" in lines[0]
    assert "m.jsonl:1: width" in lines[1]
    assert "m.jsonl:3: steps" in lines[2]
    assert lines[-1] == "... and 12 more problems"


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ("run missing.jsonl", "missing.jsonl"),
        ("run m.jsonl --backend flux", "'flux' is not configured"),
        ("run m.jsonl --config none.yaml", "none.yaml"),
        ("run m.jsonl --config broken.yaml", "broken.yaml:1"),
        ("run m.jsonl --limit 0", "--limit"),
        (f"resume . --limit {'9' * 30}", "--limit"),
        (f"export . --format webdataset --to x --shard-images {'9' * 30}", "--shard-images"),
        ("run m.jsonl --budget -1", "--budget"),
        ("plan m.jsonl --budget 1e400", "--budget"),
        ("plan m.jsonl --salt \udcff", "\\xff: is not UTF-8 (byte 0xff in column 1). Convert a text, as with `iconv"),
        (f"gallery {'x' * 300}", "is not the output folder of a batch"),
        (
            "plan m.jsonl --config dated_option.yaml",
            "dated_option.yaml:1: backends.sketch.backend_opts: cannot be sent",
        ),
        ("run m.jsonl --budget inf", "--budget"),
        ("run m.jsonl --budget 1e300", "--budget"),
        ("run m.jsonl --frobnicate", "--frobnicate"),
        (
            "plan m.jsonl --config unknown_type.yaml",
            "unknown_type.yaml: backends.sketch.type: 'teleport' is not a backend type",
        ),
        ("plan m.jsonl --config bad_option.yaml", "bad_option.yaml: backends.sketch: latency_s"),
        ("resume nowhere", "nowhere"),
        ("resume .", "ledger"),
        ("status nowhere", "nowhere"),
        ("usage --since tuesday", "tuesday"),
        ("usage --until tuesday", "--until"),
        ("usage --by prompt", "--by"),
        ("usage push nowhere", "nowhere"),
    ],
)
def test_bad_arguments_and_settings_are_refused(arguments: str, fragment: str, offline: Cli) -> None:
    """One message that names the argument or setting, and exit status 2."""
    (offline.folder / "m.jsonl").write_text(GOOD_ROW)
    (offline.folder / "broken.yaml").write_text("stop: {error_rate: 7}\n")
    (offline.folder / "unknown_type.yaml").write_text("backends: {sketch: {type: teleport}}\n")
    (offline.folder / "bad_option.yaml").write_text("backends: {sketch: {type: sketch, latency_s: slow}}\n")
    (offline.folder / "dated_option.yaml").write_text(
        "backends: {sketch: {type: sketch, backend_opts: {x: 2026-01-01}}}\n"
    )
    done = offline.run(*arguments.split(), *(["--quiet"] if arguments.startswith(("run", "resume")) else []))
    assert done.returncode == 2, done.stderr
    assert fragment in done.stderr
    assert not (offline.folder / "runs").exists()


def test_a_server_that_is_none_of_prefects_is_one_clear_error(offline: Cli) -> None:
    """Another program behind PREFECT_API_URL, or one that wants a password: the setting is named, nothing is generated."""
    (offline.folder / "m.jsonl").write_text(GOOD_ROW)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        offline.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{server.server_port}/api"
        done = offline.run("run", "m.jsonl", "--out", "out", "--quiet")
        server.shutdown()
    assert done.returncode == 3
    assert "internal error" not in done.stderr
    assert "PREFECT_API_URL" in done.stderr
    assert not list(offline.folder.glob("out/images/*/*"))


def test_a_setting_of_prefect_that_cannot_be_used_is_one_clear_error(offline: Cli) -> None:
    """In this process too, where Prefect raises it while it is loaded."""
    offline.environ |= {"PREFECT_API_URL": NOWHERE, "PREFECT_API_REQUEST_TIMEOUT": "soon"}
    offline.before = "import tasks.orchestration.server.connection as c\nc.require_answer = lambda *_, **__: None"
    done = offline.run("serve", "m.txt", "--cron", "0 2 * * *")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("imagen: a setting of Prefect cannot be used (APISettings.request_timeout: "), (
        done.stderr
    )
    assert done.stderr.count("\n") == 1


def test_an_argument_that_is_no_text_is_refused(offline: Cli) -> None:
    """A folder by another encoding's name could neither be kept by Prefect nor be printed."""
    (offline.folder / "m.jsonl").write_text(GOOD_ROW)
    done = offline.run("run", "m.jsonl", "--out", "r\udcff")
    assert (done.returncode, done.stderr) == (
        2,
        "imagen: r\\xff: is not UTF-8 (byte 0xff in column 2). Convert a text, as with `iconv -f cp1252 -t utf-8`, and rename a file.\n",
    )


def test_a_removed_current_folder_is_one_clear_error(offline: Cli) -> None:
    """It happens to a shell that was left open in a folder of yesterday."""
    offline.before = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
    done = offline.run("backends")
    assert done.returncode == 2
    assert "current folder" in done.stderr


def test_the_status_tells_where_standard_error_is_closed(offline: Cli) -> None:
    """A script that closes it still learns that its input was bad."""
    offline.before = "import sys; sys.stderr = None"
    assert offline.run("status", "nowhere").returncode == 2


def test_ctrl_c_while_the_command_line_is_loaded_shows_no_traceback(offline: Cli) -> None:
    """The first quarter of a second belongs to imports."""
    interrupting = "class Finder:\n def find_spec(self, name, *_):\n  if name == 'flows.cli': raise KeyboardInterrupt\n"
    program = f"import sys\n{interrupting}sys.meta_path.insert(0, Finder())\nfrom flows.start import main; main()"
    process = offline.start_program(sys.executable, "-c", program, "backends")
    assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 130


def test_an_output_folder_that_cannot_be_made_is_refused(cli: Cli) -> None:
    """A file where the folder should be: exit status 2, and the file is as it was."""
    (cli.folder / "file").write_text("precious")
    done = cli.run("run", cli.manifest(2), "--out", "file/out", "--quiet")
    assert done.returncode == 2
    assert "file is a file" in done.stderr
    assert (cli.folder / "file").read_text() == "precious"


def test_a_foreign_ledger_is_left_alone(cli: Cli) -> None:
    """A `ledger.db` that is not ours is neither used nor overwritten."""
    out = cli.folder / "out"
    out.mkdir()
    (out / "ledger.db").write_bytes(b"the accounts of a bakery, which are no database at all " * 20)
    before = (out / "ledger.db").read_bytes()
    done = cli.run("run", cli.manifest(2), "--out", "out", "--quiet")
    assert done.returncode == 2
    assert "ledger" in done.stderr
    assert (out / "ledger.db").read_bytes() == before


def test_nothing_is_left_of_standard_input(offline: Cli, tmp_path: Path) -> None:
    """A bad manifest on standard input is reported as such, and its copy is gone."""
    spool = tmp_path / "tmp"
    spool.mkdir()
    offline.environ["TMPDIR"] = str(spool)
    done = offline.run("run", "-", "--quiet", stdin='{"prompt": ""}\n')
    assert done.returncode == 2
    assert "stdin" in done.stderr
    assert not list(spool.iterdir())


@pytest.mark.parametrize("command", ["resume ''", "reroll '' --id x", "run m.jsonl --out ''", "status ' '", "plan ''"])
def test_an_empty_path_is_refused(command: str, offline: Cli) -> None:
    """As `"$DIR"` gives it where the variable is not set; it would be this folder, or the default one."""
    offline.manifest(1)
    done = offline.run(*shlex.split(command))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "empty" in done.stderr
    assert not (offline.folder / "runs").exists()
