"""`imagen plan` ends as the run would: the same checks, the same exit status, nothing sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.support.file_server import serving


@pytest.fixture
def planned(offline: Cli) -> Cli:
    """A manifest, a priced backend, one without its token, and a folder with the batch of another prompt."""
    (offline.folder / "m.txt").write_text("a fox\nan owl\n")
    (offline.folder / "imagen.yaml").write_text(
        "default_backend: s\n"
        "backends:\n"
        "  s: {type: sketch, price_usd: 0.04}\n"
        "  r: {type: replicate, model: black-forest-labs/flux-schnell}\n"
        "  u: {type: openai, model: mine, api_base: 'http://127.0.0.1:1/v1', api_key_env: null}\n"
    )
    (offline.folder / "gone").symlink_to("nothing")
    assert offline.run("try", "a heron", "--out", "herons", "--quiet").returncode == 0
    return offline


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("", 0, ""),
        ("--budget 1", 0, ""),
        ("--budget 0.05", 3, "budget does not suffice"),
        ("--backend r", 2, "REPLICATE_API_TOKEN"),
        ("--backend u --budget 1", 2, "price is unknown"),
        ("--out m.txt", 2, "m.txt is a file, not a folder"),
        ("--out gone/b", 2, "gone is a link that leads to nothing"),
        ("--out herons", 2, "--replace"),
    ],
)
def test_its_exit_status_is_the_runs(arguments: str, status: int, said: str, planned: Cli) -> None:
    """The plan is shown in full, and the reason stands on standard error in one line."""
    done = planned.run("plan", "m.txt", *arguments.split())
    assert (done.returncode, "2 images" in done.stdout) == (status, True)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)
    assert not (planned.folder / "runs").exists()


def test_rows_that_would_leave_are_counted(planned: Cli) -> None:
    """For programs too, and only where the whole manifest is planned."""
    assert planned.json("plan", "m.txt", "--out", "herons", status=2)["dropped"] == 1
    assert planned.json("plan", "m.txt", "--out", "herons", "--limit", "1")["dropped"] == 0
    (planned.folder / "m.txt").write_text("a heron\n")
    assert planned.json("plan", "m.txt", "--out", "herons")["dropped"] == 0


def test_the_status_of_a_folder_of_batches_is_a_line_for_each(planned: Cli) -> None:
    """As of nights; one that cannot be read does not hide the others."""
    for night in ("2026-11-24", "2026-11-25"):
        planned.run("try", "a fox", "--out", f"nights/{night}", "--quiet")
    Path(planned.folder, "nights/broken").mkdir()
    Path(planned.folder, "nights/broken/ledger.db").write_text("no ledger")
    done = planned.run("status", "nights")
    assert (done.returncode, [line.partition(":")[0] for line in done.stdout.splitlines()]) == (
        0,
        ["nights/2026-11-24", "nights/2026-11-25"],
    )
    assert "nights/broken" in done.stderr
    assert [record["images"] for record in planned.json("status", "nights")] == [1, 1]
    assert planned.run("status", "nights", "--watch").returncode == 2


def test_a_plan_takes_the_options_of_a_run(planned: Cli) -> None:
    """A manifest that replaces a batch is planned with --replace, as it is run."""
    assert planned.run("plan", "m.txt", "--out", "herons", "--replace").returncode == 0


def test_a_plan_keeps_the_batchs_budget(planned: Cli) -> None:
    """A run that is given no budget keeps the cap of the batch, so the plan counts with it and ends the same way."""
    planned.run("try", "a heron", "--out", "capped", "--budget", "0.10", "--quiet")
    (planned.folder / "m.txt").write_text("a heron\na fox\nan owl\n")
    done = planned.run("plan", "m.txt", "--out", "capped")
    assert (done.returncode, "of the budget of $0.10" in done.stdout) == (3, True)


def test_a_plan_counts_what_other_batches_have(planned: Cli) -> None:
    """The words of a shell's pattern are places; what they have is neither to do nor paid, and fits the budget."""
    (planned.folder / "m.txt").write_text("a heron\nan owl\n")
    (planned.folder / "notes").mkdir()
    done = planned.run("plan", "m.txt", "--budget", "0.05", "--reuse", "herons", "notes", "imagen.yaml")
    assert (done.returncode, "to do: 1 image, $0.04" in done.stdout) == (0, True), done.stderr
    assert "reused for nothing: 1 image" in done.stdout
    assert "which saves $0.04" in done.stdout
    record = planned.json("plan", "m.txt", "--reuse", "herons")
    assert (record["reused"], record["reuse_saves_usd"], record["to_do_usd"]) == (1, 0.04, 0.04)
    assert planned.run("plan", "--reuse", "herons", "notes").returncode == 2
    assert "1 image," in planned.run("plan", "--reuse", "herons", "m.txt").stdout


def test_a_wrong_certificate_is_told_by_the_plan_and_the_run(offline: Cli) -> None:
    """Signing that cannot work ends both with status 2, and no folder is made."""
    (offline.folder / "imagen.yaml").write_text("output: {provenance: c2pa}\n")
    offline.environ["C2PA_CERTIFICATE"] = "/nowhere/chain.pem"
    for command in ("plan", "run"):
        done = offline.run(command, offline.manifest(1), "--out", "out")
        assert (done.returncode, "output.c2pa.certificate_env" in done.stderr) == (2, True), done.stderr
    assert not (offline.folder / "out").exists()


def test_a_configuration_may_stand_at_an_address(offline: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fetched as it is written, both slashes in it, and a mistake is told with the address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    good = b"default_backend: s\nbackends: {s: {type: sketch, price_usd: 0.04}}"
    with serving({"/a.yaml": (200, "text/plain", good), "/b.yaml": (200, "text/plain", b"backend: {}")}) as address:
        done = offline.run("plan", offline.manifest(1), "--config", f"{address}/a.yaml")
        assert (done.returncode, "0.04" in done.stdout) == (0, True), done.stderr
        done = offline.run("run", offline.manifest(1), "--config", f"{address}/b.yaml")
        assert (done.returncode, f"{address}/b.yaml:1: backend" in done.stderr) == (2, True), done.stderr
