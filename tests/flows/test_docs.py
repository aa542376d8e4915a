"""Every command that the README and the pages under docs/ show is run, here or in the test that is named for it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.support.services.sharing import share
from tests.support.surroundings import NO_TELEMETRY
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHELL = {"", "sh", "console"}

ELSEWHERE = {
    "imagen plan prompts.yaml --backend gpt-image-openai": "commands/test_plan.py",
    "imagen plan prompts.xlsx": "strangers/test_spreadsheet.py",
    "imagen run prompts.xlsx": "strangers/test_spreadsheet.py",
    "imagen gallery runs/prompts": "strangers/test_spreadsheet.py",
    "imagen export runs/prompts --format csv --to prompts-done.csv": "strangers/test_spreadsheet.py",
    "imagen plan prompts.jsonl --out runs/foxes": "commands/test_plan.py",
    "imagen simulate": "commands/test_simulate.py",
    # The shell is found among the parent processes, and below `make`, `nohup` or a container there may be none.
    "imagen --install-completion": "commands/test_completion.py",
    "imagen --show-completion": "commands/test_completion.py",
    "imagen run prompts.yaml --backend flux-schnell-replicate": "backends/test_replicate.py",
    "imagen run prompts.yaml --backend gpt-image-openai": "kills/test_images_apis.py",
    "imagen run prompts.yaml --backend flux-schnell-fal": "kills/test_images_apis.py",
    "imagen run prompts.yaml --backend flux-schnell-local": "backends/test_local_model.py",
    "imagen usage migrate": "commands/test_usage.py",
    "imagen serve": "served/test_nightly.py",
    "imagen run prompts.yaml --out s3:": "test_object_storage.py",
    "imagen status s3:": "test_object_storage.py",
    "imagen resume s3:": "test_object_storage.py",
    "imagen usage push s3:": "test_object_storage.py",
    "imagen run prompts.yaml --out /shared": "kills/test_many_workers.py",
    "imagen gallery runs/foxes --open": "commands/test_gallery.py",
    "imagen review": "../tasks/report/review/test_server.py",
    "imagen compare runs/foxes runs/owls": "../tasks/report/blind/test_server.py",
    "imagen pick runs/foxes --ids -": "../tasks/report/review/test_judging.py",
    "imagen export runs/foxes --format parquet --to picked.parquet --picked": "../tasks/metadata/exports/test_selection.py",
    "imagen export runs/foxes --format webdataset --to shards --ids": "../tasks/metadata/exports/test_selection.py",
    "imagen pick runs/foxes --verdict reject": "../tasks/report/review/test_judging.py",
    "imagen reroll runs/foxes --rejected": "commands/test_reroll.py",
    "imagen reroll runs/foxes --ids": "../tasks/report/review/test_judging.py",
    "imagen export runs/foxes --format jsonl --to - | jq": "commands/test_export.py",
}
"""How a command begins that needs a key, a server, another program or a person, and the file whose tests run it."""


def commands(page: Path) -> list[str]:
    """The calls of `imagen` in a page's shell blocks."""
    blocks = [text for language, text in BLOCK.findall(page.read_text()) if language in SHELL]
    lines = (line.strip().removeprefix("$ ") for text in blocks for line in text.splitlines())
    return [line.partition("  #")[0].rstrip() for line in lines if line.startswith("imagen ")]


def elsewhere(command: str) -> str | None:
    """The file whose tests run it, if it cannot be run here."""
    return next((file for begin, file in ELSEWHERE.items() if command.startswith(begin)), None)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, prefect_url: str, prefect_home: Path) -> Iterator[Path]:
    """What the pages take for granted: a configuration, manifests, and two batches that have been run."""

    @contextmanager
    def make() -> Iterator[str]:
        folder = tmp_path_factory.mktemp("finished")
        cli = Cli(folder, {"PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(prefect_home), "PYTHONPATH": str(ROOT)})
        # A fixture of the session has no private home yet.
        cli.environ |= {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("finished-state")), **NO_TELEMETRY}
        assert cli.run("init").returncode == 0
        (folder / "prompts.jsonl").write_text('{"prompt": "a heron"}\n')
        for name in ("foxes", "owls"):
            assert cli.run("run", "prompts.yaml", "--out", f"runs/{name}", "--limit", "6").returncode == 0
        yield str(folder)

    with share(tmp_path_factory, "finished", make) as folder:
        yield Path(folder)


@pytest.fixture
def shell(finished: Path, cli: Cli, tmp_path: Path) -> Cli:
    """A copy of it, with `imagen` on the path as a user has it."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    program = tmp_path / "bin" / "imagen"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom flows.cli import main\nmain()\n")
    program.chmod(0o755)
    cli.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return cli


@pytest.mark.parametrize(
    "page",
    [
        # The other pages take a minute together; that their commands and options exist is held by tests/test_readme.py.
        pytest.param(page, marks=[] if page.name == "README.md" else [pytest.mark.soak], id=page.name)
        for page in PAGES
        if commands(page)
    ],
)
def test_the_commands_of_a_page_work_one_after_the_other(page: Path, shell: Cli) -> None:
    """As they stand there, in the folder of somebody who has run `imagen init` and a batch."""
    for command in commands(page):
        if elsewhere(command) is None:
            is_plain = not set(command) & set("|<>&;$*`~")
            done = shell.run(*shlex.split(command)[1:]) if is_plain else run_in_bash(shell, command)
            assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
            assert "Traceback" not in done.stderr


def run_in_bash(shell: Cli, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that needs a shell: a pipe, a redirection, a variable."""
    process = shell.start_program("bash", "-c", f"{command}\nexit $?")
    out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def console_session(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of a page's `console` blocks, each with the lines that it is shown to print."""
    lines = [
        line
        for language, text in BLOCK.findall(page.read_text())
        if language == "console"
        for line in text.splitlines()
    ]
    session: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            session.append((line.removeprefix("$ "), []))
        else:
            session[-1][1].append(line)
    return session


def shape(text: str) -> str:
    """A text without the digits that differ from machine to machine."""
    return re.sub(r"\b[0-9a-f]{2,}\b", "#", text)


def test_the_readme_s_first_session_prints_what_it_shows(cli: Cli) -> None:
    """Each command of it works in an empty folder and prints the lines below it, hashes aside."""
    session = console_session(ROOT / "README.md")
    assert len(session) >= 5
    for command, shown in session:
        done = cli.run(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
        printed = {shape(line) for line in done.stdout.splitlines()}
        assert {shape(line) for line in shown} <= printed, command


def test_commands_that_are_run_elsewhere_are_shown_and_tested() -> None:
    """Nothing stands on the list that no page shows any more, and each file is there and calls the command."""
    shown = [command for page in PAGES for command in commands(page)]
    for begin, file in ELSEWHERE.items():
        assert any(command.startswith(begin) for command in shown), begin
        assert begin.split()[1] in (Path(__file__).parent / file).read_text(), (begin, file)
