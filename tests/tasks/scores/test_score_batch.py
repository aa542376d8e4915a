"""`imagen score` over batches of real images."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks import scores as registry
from tasks.core.errors import ConfigError, InputError, OutputError
from tasks.ledger.database import connect
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.scores import Value
from tasks.report.review.judging import judge_ids
from tasks.report.show import format_record, read_record
from tasks.scores import measure, parse_names
from tasks.scores.base import Sample
from tasks.scores.report import build_record
from tasks.scores.report import format_record as format_scored
from tasks.scores.score_batch import Scored, score_batch
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.tasks.scores.images import draw_scene, encode, store, write_images

BUILT_IN = ["phash", "blank", "sharpness"]


def score(out: Path, names: Sequence[str] = BUILT_IN) -> Scored:
    """One `imagen score`."""
    return asyncio.run(score_batch(OutputFolder(out), names))


@pytest.fixture
def batch(out: Path) -> Path:
    """Two scenes, one of them twice, and a black image."""
    scene = draw_scene(1)
    files = [encode(scene), encode(scene, "JPEG", quality=40), encode(draw_scene(2)), encode(Image.new("L", (64, 64)))]
    asyncio.run(write_images(out, [(make_job(number), data) for number, data in enumerate(files)]))
    return out


def read_column(out: Path) -> list[dict[str, Value]]:
    """The column `scores` of the table."""
    return [json.loads(row["scores"]) for row in pq.read_table(out / "metadata.parquet").to_pylist()]


@dataclass
class Plugin:
    """A score of another package, which keeps what it was asked."""

    answer: Callable[[Sequence[Sample]], Sequence[Mapping[str, Value]]]
    batch: int = 3
    seen: list[int] = field(default_factory=list)

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        self.seen.append(len(samples))
        return self.answer(samples)


def install(monkeypatch: pytest.MonkeyPatch, plugin: Plugin) -> None:
    """Make the plugin the score `mine`."""

    class Point:
        name = "mine"

        def load(self) -> object:
            return lambda _context: plugin

    monkeypatch.setattr(registry, "entry_points", lambda **_group: [Point()])


def test_results_are_in_the_table_and_in_show(batch: Path) -> None:
    """One JSON column of metadata.parquet, without a run, and a line of `imagen show`."""
    scored = score(batch)
    assert (scored.images, scored.scored, scored.skipped) == (4, 4, {})
    rows = read_column(batch)
    assert [row["blank"] for row in rows] == [False, False, False, True]
    assert [set(row) for row in rows[:3]] == [{"blank", "blank_share", "phash", "sharpness"}] * 3

    async def show() -> list[str]:
        async with open_ledger(batch) as engine:
            return format_record(await read_record(engine, OutputFolder(batch), "row-3"))

    assert any(line.startswith("scores ") and '"blank_color": "#000000"' in line for line in asyncio.run(show()))


def test_blank_images_and_near_duplicates_are_told(batch: Path) -> None:
    """The same scene as another file is a group; a blank image is in none."""
    record = build_record(score(batch), BUILT_IN, batch)
    [[one, other]] = record["near_duplicates"]
    assert one.endswith("row-0-0.png")
    assert other.endswith("row-1-0.png")
    [(name, color)] = record["blank"].items()
    assert name.endswith("row-3-0.png")
    assert color == "#000000"
    text = "\n".join(format_scored(record))
    assert "4 of 4 images scored now with phash, blank, sharpness" in text
    assert f"{one} = {other}" in text
    assert "warning: 1 blank (#000000 1)" in text


def test_a_second_run_scores_what_is_new(batch: Path) -> None:
    """A score that is there already is not computed again; another name and another file are."""
    assert score(batch, ["blank"]).scored == 4
    assert score(batch, ["blank"]).scored == 0
    assert score(batch, ["blank", "phash"]).scored == 4
    # The image is made again: another file, and so another digest in the ledger.
    ending = store(batch, make_job(2), encode(draw_scene(9)))

    async def replace() -> None:
        async with open_ledger(batch) as engine, engine.begin() as db:
            digest, row = ending["sha256"], make_job(2).job_id
            await db.exec_driver_sql("UPDATE jobs SET sha256 = ? WHERE job_id = ?", (digest, row))

    asyncio.run(replace())
    assert score(batch, ["blank", "phash"]).scored == 1


def test_missing_damaged_and_changed_files_are_skipped_and_told(batch: Path) -> None:
    """Each with its reason; the others are scored, and nothing is written for the skipped ones."""
    damaged = encode(draw_scene(5))[:-300]
    gone, changed, bad = (batch / store(batch, make_job(number), damaged)["file_name"] for number in range(3))
    gone.unlink()
    changed.write_bytes(encode(draw_scene(8)))
    asyncio.run(write_images(batch / "again", [(make_job(0), damaged), (make_job(1), encode(draw_scene(1)))]))
    reasons = {each.label[-11:]: each.reason for each in score(batch).skipped.values()}
    assert reasons["row-0-0.png"] == "the file is missing"
    assert "changed afterwards" in reasons["row-1-0.png"]
    assert bad.exists()
    scored = score(batch / "again")
    assert [each.reason for each in scored.skipped.values()] != []
    assert (scored.images, scored.scored) == (2, 1)


def write_samples(out: Path, pictures: Sequence[tuple[str, int, int]]) -> None:
    """A batch of (prompt, seed, number of the scene)."""
    jobs = [
        (make_job(number, prompt=prompt, seed=seed), encode(draw_scene(scene), "JPEG", quality=60 + number))
        for number, (prompt, seed, scene) in enumerate(pictures)
    ]
    asyncio.run(write_images(out, jobs))


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ([("a fox", 1, 1), ("a fox", 2, 1), ("an owl", 1, 2), ("an owl", 2, 2)], "Every seed gives the same image (2"),
        ([("a fox", 1, 1), ("a fox", 2, 1), ("an owl", 1, 2), ("an owl", 2, 3)], "1 of 2 prompts with several images"),
        ([("a fox", 1, 1), ("a fox", 2, 2), ("an owl", 1, 3)], None),
        # The same seed gives the same image: that is what a seed is for.
        ([("a fox", 1, 1), ("a fox", 1, 1)], None),
    ],
)
def test_seeds_that_change_nothing_are_warned_about(
    out: Path, pictures: list[tuple[str, int, int]], said: str | None
) -> None:
    """Images of one prompt that differ in the seed alone should not look the same."""
    write_samples(out, pictures)
    warnings = score(out, ["phash"]).findings.list_warnings()
    assert (said in warnings[0]) if said else (warnings == [])


def test_a_batch_that_may_only_be_read_is_refused(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results would go into a private copy of the ledger and be lost; verdicts too."""
    monkeypatch.setattr(connect, "is_writable", lambda _: False)
    with pytest.raises(OutputError, match="may only be read"):
        score(batch)
    with pytest.raises(OutputError, match="may only be read"):
        asyncio.run(judge_ids(OutputFolder(batch), ["row-0"], reviewer="ann", verdict="pick"))


def test_an_interrupted_command_keeps_what_it_found(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a part: what is done is in the ledger, and the next command does the rest."""
    asked: list[str] = []

    def answer(samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        asked.append(samples[0].row["id"])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [{"mine": 1.5}]

    # Two at a time go to the one thread of scores with batches; each is one call, and the third call is interrupted.
    install(monkeypatch, Plugin(lambda samples: [*answer(samples), {"mine": 2}][: len(samples)], batch=2))
    many = batch / "many"
    asyncio.run(write_images(many, [(make_job(number), encode(draw_scene(number, 32))) for number in range(6)]))
    with pytest.raises(KeyboardInterrupt):
        score(many, ["mine"])
    assert score(many, ["mine"]).scored == 2


def test_scores_of_other_packages_get_batches_and_rows(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group is asked for by name, gets the path and the row, and its numbers are kept."""

    def answer(samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        return [{"mine": each.path.stat().st_size, "mine_text": each.row["prompt"]} for each in samples]

    plugin = Plugin(answer)
    install(monkeypatch, plugin)
    assert parse_names("mine, blank,mine") == ["mine", "blank"]
    assert score(batch, ["mine", "blank"]).scored == 4
    assert plugin.seen == [3, 1]
    rows = read_column(batch)
    assert [row["mine_text"] for row in rows] == [make_job(number).prompt for number in range(4)]
    assert all("blank" in row for row in rows)


def test_one_damaged_image_of_a_batch_costs_the_others_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of its batch are asked for one by one."""
    install(monkeypatch, Plugin(lambda samples: [{"mine": each.image.width} for each in samples]))
    damaged = encode(draw_scene(5))[:-300]
    files = [encode(draw_scene(1)), damaged, encode(draw_scene(2))]
    asyncio.run(write_images(out, [(make_job(number), data) for number, data in enumerate(files)]))
    scored = score(out, ["mine"])
    assert (scored.scored, [each.label[-11:] for each in scored.skipped.values()]) == (2, ["row-1-0.png"])


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([], "one result for each"),
        ([{}], "not results"),
        ([{"yours": 1}], "begins with mine_"),
        ([{"mine": float("nan")}], "no finite number"),
        ([{"mine": 10**400}], "no finite number"),
        ([{"mine": None}], "no finite number"),
        ([{"mine": "a\0b"}], "no finite number"),
        ([{"mine": "x" * 2_000}], "no finite number"),
    ],
)
def test_what_is_no_result_is_refused(
    batch: Path, monkeypatch: pytest.MonkeyPatch, results: list[dict[str, Value]], said: str
) -> None:
    """The code of another package may give anything; the ledger takes finite numbers and short texts."""
    install(monkeypatch, Plugin(lambda _samples: results, batch=1))
    with pytest.raises(ConfigError, match=said):
        score(batch, ["mine"])


def test_a_score_that_breaks_is_named(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error is told without a traceback, and what other scores found before is kept."""
    install(monkeypatch, Plugin(partial(dict.__getitem__, {}), batch=2))
    with pytest.raises(ConfigError, match="score 'mine' failed"):
        score(batch, ["blank", "mine"])
    assert score(batch, ["blank"]).scored == 0


def test_images_of_a_bucket_have_a_path_too(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not on this machine is there for a score as long as it is measured, and not any longer."""
    seen: list[tuple[Path, bytes]] = []

    def answer(samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        seen.extend((each.path, each.path.read_bytes()) for each in samples)
        return [{"mine": each.data == each.path.read_bytes()} for each in samples]

    install(monkeypatch, Plugin(answer))
    monkeypatch.setattr(measure, "OutputFolder", type("NoFolder", (), {}))
    assert score(batch, ["mine"]).scored == 4
    assert [row["mine"] for row in read_column(batch)] == [True] * 4
    assert {data for _, data in seen} == {path.read_bytes() for path in batch.rglob("*.png")}
    assert [path for path, _ in seen if path.exists() or path.is_relative_to(batch)] == []


@pytest.mark.parametrize("file_name", ["../outside.png", "/etc/passwd"])
def test_a_ledger_of_a_stranger_reads_no_other_file(batch: Path, file_name: str) -> None:
    """A name outside of the folder is skipped and told."""

    async def point_outside() -> None:
        async with open_ledger(batch) as engine, engine.begin() as db:
            values = (file_name, make_job(0).job_id)
            await db.exec_driver_sql("UPDATE jobs SET file_name = ? WHERE job_id = ?", values)

    asyncio.run(point_outside())
    scored = score(batch)
    assert scored.scored == 3
    assert ["outside of" in each.reason for each in scored.skipped.values()] == [True]


@pytest.mark.parametrize("text", ["", " , ", "phahs"])
def test_names_that_are_no_scores_are_refused(text: str) -> None:
    """The message lists those that there are, built in or from an installed package."""
    with pytest.raises(InputError, match=r"there are: .*blank.*, phash.*, sharpness"):
        parse_names(text)
