"""Images of other batches instead of new ones: linked, free, proven, and never at the price of the batch."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.core.atomic_files import link_atomically
from tasks.core.configuration.settings import load_settings
from tasks.core.display import Display, current_display
from tasks.core.paths import get_state_folder
from tasks.report.summary import Summary
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.support.scripted_batch import ledger
from tests.support.services.object_storage import BUCKET

PROMPTS = ("a fox", "an owl", "a heron")


class Remarks(Display):
    """Keeps what stays on the screen."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.lines.append(text)

    def note(self, text: str) -> None:
        """Keep a note."""
        self.lines.append(text)


class Workshop:
    """A folder with a configuration, in which batches of a few sketches are made at a cent each."""

    def __init__(self, folder: Path) -> None:
        """Write the configuration."""
        self.folder = folder
        self.remarks = Remarks()
        (folder / "imagen.yaml").write_text(
            f"default_backend: b\nusage: {{path: {folder / 'usage.db'}}}\n"
            "backends: {b: {type: sketch, price_usd: 0.01}}\n"
        )

    def run(self, name: str, *prompts: str, **options: object) -> Summary:
        """Run a batch of these prompts; with none, resume it."""
        given: dict[str, object] = {"out": str(self.folder / name), **options}
        if prompts:
            manifest = self.folder / f"{name}.jsonl"
            rows = (json.dumps({"prompt": prompt, "width": 32, "height": 32}) for prompt in prompts)
            manifest.write_text("\n".join(rows))
            given |= {"manifest": str(manifest), "config": self.folder / "imagen.yaml"}
        token = current_display.set(self.remarks)
        try:
            return asyncio.run(run_directly(RunRequest.model_validate(given)))
        finally:
            current_display.reset(token)

    def reuse(self, name: str = "b", *prompts: str, **options: object) -> Summary:
        """Run a batch that may take over what the batch `a` has made."""
        return self.run(name, *(prompts or PROMPTS), reuse=[str(self.folder / "a")], **options)

    def images(self, name: str) -> dict[str, Path]:
        """The images of a batch by file name."""
        return {path.name: path for path in (self.folder / name / "images").rglob("*.png")}

    def change(self, name: str, statement: str) -> None:
        """Change a batch's ledger behind the program's back."""
        with sqlite3.connect(self.folder / name / "ledger.db") as db:
            db.execute(statement)
        db.close()


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A workshop whose batch `a` has three images."""
    made = Workshop(tmp_path)
    made.run("a", *PROMPTS)
    return made


def test_an_image_is_linked_for_nothing_with_its_verdict(shop: Workshop) -> None:
    """Cost 0, no usage row, the same bytes under a name of its own that stays when the source is deleted."""
    shop.change(
        "a", "INSERT INTO verdicts SELECT job_id, 1, 'ann', 'reject', 2, 'too red' FROM jobs WHERE prompt = 'a fox'"
    )
    counts = shop.reuse("b", "a fox", "an owl", "a wolf").counts
    assert (counts.succeeded, counts.reused, counts.cost_micros) == (3, 2, 10_000)
    before, here = shop.images("a"), shop.images("b")
    assert {
        name for name in here if name in before and here[name].samefile(before[name])
    } == before.keys() & here.keys()
    table = {row["prompt"]: row for row in pq.read_table(shop.folder / "b/metadata.parquet").to_pylist()}
    assert [table[it]["reused_from"] for it in ("a fox", "a wolf")] == ["a", None]
    assert [table[it]["cost_source"] for it in ("a fox", "a wolf")] == ["reused", "priced"]
    assert (table["a fox"]["cost_usd"], table["a fox"]["verdict"], table["a fox"]["note"]) == (0, "reject", "too red")
    with sqlite3.connect(shop.folder / "usage.db") as usage:
        assert usage.execute("SELECT count(*) FROM imagen_usage WHERE batch LIKE 'b-%'").fetchall() == [(1,)]
    usage.close()
    assert "2 images reused from 1 other batch for nothing, which saves about $0.02" in shop.remarks.lines
    shutil.rmtree(shop.folder / "a")
    assert (shop.run("b").missing, shop.reuse("b", "a fox", "an owl", "a wolf").counts.reused) == (0, 2)


def _spoil_files(change: Callable[[Path], object]) -> Callable[[Workshop], None]:
    def spoil(shop: Workshop) -> None:
        for path in shop.images("a").values():
            change(path)

    return spoil


def _spoil_ledger(statement: str) -> Callable[[Workshop], None]:
    return lambda shop: shop.change("a", statement)


def _move_out(path: Path, folder: Path) -> None:
    target = folder / f"elsewhere-{path.name}"
    path.rename(target)
    path.symlink_to(target)


SPOILT: dict[str, Callable[[Workshop], object]] = {
    "gone": _spoil_files(Path.unlink),
    "changed, of the same size": _spoil_files(lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")),
    "the file leads out": _spoil_files(lambda path: _move_out(path, path.parents[3])),
    "the folder leads out": lambda shop: _move_out(shop.folder / "a/images", shop.folder),
    "the ledger names a file outside": _spoil_ledger("UPDATE jobs SET file_name = '../b.jsonl'"),
    "the ledger lies about the identity": _spoil_ledger("UPDATE jobs SET prompt = prompt || '!'"),
    "the ledger holds rubbish": _spoil_ledger("UPDATE jobs SET bytes = 'many'"),
    "no ledger": lambda shop: (shop.folder / "a/ledger.db").write_bytes(b"rubbish" * 999),
    "a newer ledger": _spoil_ledger("PRAGMA user_version = 99"),
    "the identity is no hash": _spoil_ledger("UPDATE jobs SET job_id = 'zz' || job_id"),
    "another format": _spoil_ledger("UPDATE jobs SET requested_format = 'webp'"),
    "made by another backend": _spoil_ledger("UPDATE jobs SET model = 'other', rerouted_from = 'b'"),
}


# Each is met by the same check as another one of the list.
REPETITIONS = {"the file leads out", "the ledger names a file outside", "no ledger", "a newer ledger"}


@pytest.mark.parametrize(
    "spoil", [pytest.param(SPOILT[it], id=it, marks=[pytest.mark.soak] * (it in REPETITIONS)) for it in SPOILT]
)
def test_what_is_not_proven_is_made_anew(spoil: Callable[[Workshop], object], shop: Workshop) -> None:
    """A spoilt source costs its images and nothing else; known from an index that is older, too."""
    shop.reuse("first")  # the index has seen the batch as it was
    shutil.rmtree(shop.folder / "first")
    spoil(shop)
    counts = shop.reuse().counts
    assert (counts.succeeded, counts.reused, counts.cost_micros) == (len(PROMPTS), 0, 10_000 * len(PROMPTS))
    assert not any(path.is_symlink() for path in shop.images("b").values())


def test_another_salt_is_taken_only_when_asked_for(shop: Workshop) -> None:
    """And then with the seed that made the image, so that the table tells the truth."""
    assert shop.reuse(salt="tonight").counts.reused == 0
    assert shop.reuse("c", salt="tomorrow", reuse_any_salt=True).counts.reused == len(PROMPTS)
    seeds = [sorted(ledger(shop.folder / name, "SELECT prompt, seed FROM jobs")) for name in ("a", "b", "c")]
    assert seeds[0] == seeds[2] != seeds[1]


def test_an_image_of_another_salt_is_taken_on(shop: Workshop) -> None:
    """The batch that took it is a source for any salt as every batch is, and none for those who want its own salt alone."""
    shop.reuse("b", salt="tonight", reuse_any_salt=True)
    shutil.rmtree(shop.folder / "a")
    source = [str(shop.folder / "b")]
    assert shop.run("c", *PROMPTS, salt="tonight", reuse=source).counts.reused == 0
    taken = shop.run("d", *PROMPTS, salt="tomorrow", reuse=source, reuse_any_salt=True)
    assert (taken.counts.reused, taken.counts.cost_micros) == (len(PROMPTS), 0)
    seeds = [sorted(ledger(shop.folder / name, "SELECT prompt, seed FROM jobs")) for name in ("b", "d")]
    assert seeds[0] == seeds[1]


def test_a_killed_run_goes_on_and_keeps_looking_there(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with the files in place and no row written: a resume without options takes the same images for nothing."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr("tasks.reuse.take_over.record_reused", die)
        with pytest.raises(KeyboardInterrupt):
            shop.reuse()
    assert len(shop.images("b")) == len(PROMPTS)
    monkeypatch.chdir(shop.folder.parent)
    counts = shop.run("b").counts
    assert (counts.reused, counts.cost_micros) == (len(PROMPTS), 0)
    assert [path.name for path in (shop.folder / "b/images").rglob(".imagen-*")] == []


def test_missing_images_come_back_from_elsewhere(shop: Workshop) -> None:
    """What was paid here stays on the bill; nothing is added."""
    shop.run("b", *PROMPTS)
    for path in shop.images("b").values():
        path.unlink()
    counts = shop.run("b", missing=True, reuse=[str(shop.folder / "a")]).counts
    assert (counts.reused, counts.cost_micros, len(shop.images("b"))) == (3, 30_000, 3)


def test_a_limit_pays_for_no_job_beyond_it(shop: Workshop) -> None:
    """The first two open jobs are one to reuse and one to make, whatever the third is."""
    shop.run("b", "a wolf", "a fox", "a bear", limit=1)
    shop.run("b", "a wolf", "a fox", "a crow", "a bear", limit=1)
    counts = shop.reuse("b", "a wolf", "a fox", "a crow", "a bear", limit=3).counts
    assert (counts.succeeded, counts.reused, counts.cost_micros) == (3, 1, 20_000)


@pytest.mark.parametrize("damage", [b"rubbish" * 999, None], ids=["damaged", "not writable"])
def test_the_index_can_be_lost(damage: bytes | None, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds nothing that the ledgers do not."""
    shop.reuse("first")
    index = get_state_folder() / "reuse.db"
    if damage is None:
        monkeypatch.setattr("tasks.reuse.index.FILE_NAME", "no/such/folder/reuse.db")
    else:
        index.unlink()
        index.write_bytes(damage)
    assert shop.reuse().counts.reused == len(PROMPTS)


def test_tables_that_do_not_fit_are_a_lost_index(shop: Workshop) -> None:
    """Another program's column is found out in the middle of a look-up, which goes on with the ledgers."""
    shop.reuse("first")
    with sqlite3.connect(get_state_folder() / "reuse.db") as index:
        index.execute("ALTER TABLE images DROP COLUMN format")
    index.close()
    assert shop.reuse().counts.reused == len(PROMPTS)


def test_a_failure_that_cost_nothing_leaves_no_mark(shop: Workshop) -> None:
    """An image that is taken after it is free, and its cost says why."""
    configuration = shop.folder / "imagen.yaml"
    text = configuration.read_text()
    configuration.write_text(text.replace("0.01", "0.01, failure_rate: 1.0"))
    shop.run("b", *PROMPTS)
    configuration.write_text(text)
    shop.run("b", retry_failed=True, config=configuration, reuse=[str(shop.folder / "a")])
    assert set(ledger(shop.folder / "b", "SELECT cost_micros, cost_source FROM jobs")) == {(0, "reused")}


def test_files_that_say_something_else_are_told(shop: Workshop) -> None:
    """A link keeps the other batch's notes, so the settings that they break are named: nobody hands on prompts unawares."""
    configuration = shop.folder / "imagen.yaml"
    text = configuration.read_text()
    configuration.write_text(f"{text}output: {{embed_parameters: false, provenance: none}}\n")
    shop.reuse("b")
    shop.run("plain", "a wolf")
    configuration.write_text(text)
    shop.run("c", "a wolf", reuse=[str(shop.folder / "plain")])
    told = [line.removeprefix("reuse: ") for line in shop.remarks.lines if "output." in line]
    assert told == [
        "output.embed_parameters is false, but prompt and seed are in the files of 3 images, as another batch wrote them",
        "output.provenance is iptc, but nothing says that a model made them in the files of 1 image, as another batch wrote them",
    ]


def test_a_source_that_goes_in_the_middle_stops_nothing(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file was there a moment ago; the image is made anew, and this folder is not blamed."""

    def vanish(path: Path, source: Path) -> AbstractContextManager[Path]:
        shutil.rmtree(shop.folder / "a", ignore_errors=True)
        return link_atomically(path, source)

    monkeypatch.setattr("tasks.reuse.adopt.link_atomically", vanish)
    counts = shop.reuse().counts
    assert (counts.succeeded, counts.reused) == (len(PROMPTS), 0)
    assert "cannot be used" in shop.remarks.lines[-1]


def test_a_place_without_a_batch_is_told_in_one_line(shop: Workshop) -> None:
    """Beside one that is used; files among the words of a pattern are no places."""
    found = shop.run("b", *PROMPTS, reuse=[str(shop.folder / "nowhere*"), str(shop.folder / "*")])
    assert found.counts.reused == len(PROMPTS)
    assert [line for line in shop.remarks.lines if "skipped" in line] == [
        f"reuse: {shop.folder / 'nowhere*'} is skipped: no batch is there"
    ]


@pytest.mark.usefixtures("moto")
def test_buckets_give_and_take(shop: Workshop) -> None:
    """From a folder into a bucket, from there into another place of it by a pattern, and back to a folder."""
    root = f"s3://{BUCKET}/{secrets.token_hex(4)}"
    assert shop.run("one", *PROMPTS, out=f"{root}/one", reuse=[str(shop.folder / "a")]).counts.reused == len(PROMPTS)
    assert shop.run("two", *PROMPTS, out=f"{root}/two", reuse=[f"{root}/on*"]).counts.reused == len(PROMPTS)
    assert shop.run("b", *PROMPTS, reuse=[f"{root}/one", root]).counts.reused == len(PROMPTS)
    first, last = shop.images("a"), shop.images("b")
    assert {name: path.read_bytes() for name, path in first.items()} == {
        name: path.read_bytes() for name, path in last.items()
    }


def test_places_of_the_configuration_start_from_its_folder(tmp_path: Path) -> None:
    """A night starts in another folder; one place needs no list."""
    (tmp_path / "imagen.yaml").write_text("reuse: runs/*\n")
    assert load_settings(tmp_path / "imagen.yaml").reuse == [str(tmp_path / "runs/*")]
    (tmp_path / "imagen.yaml").write_text("reuse: [a, s3://bucket/b]\n")
    assert load_settings(tmp_path / "imagen.yaml").reuse == [str(tmp_path / "a"), "s3://bucket/b"]
