"""Jobs through the engine, the backend and a real pipeline: which go together, and what becomes of each."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.backends.diffusers_local import sharing, worker
from tasks.backends.diffusers_local.calls import IMAGE, TEXT, Signature, build_call
from tasks.backends.diffusers_local.device import PipelineSpec, is_out_of_memory
from tasks.backends.diffusers_local.model import ModelReference
from tasks.backends.diffusers_local.options import DiffusersOptions
from tasks.backends.diffusers_local.pipelines import LoadedPipeline
from tasks.core.records import Counts, Job, Prediction, ReferenceImage
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tasks.store import encode
from tasks.store.references import find_reference
from tests.support.factories import START_US, make_job, open_batch_with
from tests.support.waiting import PATIENCE_S
from tests.tasks.backends.diffusers_local.conftest import Loads, WatchedPipe

EVERYTHING = (0, 2**62)
ROUNDING = 2
"""Of 255: what a sum in another order may change in a pixel."""


async def run(out: Path, jobs: list[Job], instance: dict[str, Any], **changes: Any) -> Counts:
    """Generate everything that is open and count."""
    async with open_batch_with(out, jobs, **{**instance, **changes}) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is None, batch.stop.cause
        return await count_jobs(batch.engine)


def ledger(out: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the ledger file."""
    with sqlite3.connect(out / "ledger.db") as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows


def images(out: Path) -> dict[str, np.ndarray[Any, np.dtype[np.int16]]]:
    """The stored images' pixels by row id."""
    files = ledger(out, "SELECT id, file_name FROM jobs WHERE state = 'succeeded'")
    return {row_id: np.asarray(Image.open(out / name), dtype=np.int16) for row_id, name in files}


def build_jobs(number: int, **changes: Any) -> list[Job]:
    """So many jobs alike, but for prompt and seed."""
    return [make_job(each, **changes) for each in range(number)]


async def test_jobs_that_wait_together_are_made_together(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """Alike ones in calls of up to the batch size, others apart; each image has the size that was asked for."""
    jobs = [*build_jobs(8), make_job(8, width=48, height=64)]
    counts = await run(out, jobs, instance, batch_size=4)
    assert counts.succeeded == 9
    assert sorted(loads.last.sizes) == [1, 4, 4]
    assert ledger(out, "SELECT width, height, count(*) FROM jobs GROUP BY 1, 2") == [(32, 32, 8), (48, 64, 1)]
    [(prediction_id, predict_time_s)] = ledger(out, "SELECT prediction_id, predict_time_s FROM jobs WHERE id = 'row-8'")
    assert prediction_id == f"local-{jobs[8].job_id[:20]}-1"
    assert predict_time_s > 0


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
async def test_the_weights_have_the_precision_asked_for(
    out: Path, instance: dict[str, Any], loads: Loads, dtype: str
) -> None:
    """By itself a CPU computes in 32 bits; images come out in either precision."""
    import torch

    assert (await run(out, build_jobs(2), instance, device="cpu", dtype=dtype)).succeeded == 2
    expected = {"auto": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    assert {loads.last.pipe.transformer.dtype, loads.last.pipe.text_encoder_2.dtype} == {expected}


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_an_image_does_not_depend_on_its_neighbours(
    tmp_path: Path, instance: dict[str, Any], loads: Loads
) -> None:
    """Same prompt and seed: the same image alone and in a batch, to rounding; another seed: another image."""
    jobs = build_jobs(4)
    for batch_size in (1, 4):
        (tmp_path / str(batch_size)).mkdir()
        await run(tmp_path / str(batch_size), jobs, instance, batch_size=batch_size)
    assert [pipe.sizes for pipe in loads.pipes] == [[1, 1, 1, 1], [4]]
    alone, together = images(tmp_path / "1"), images(tmp_path / "4")
    for row_id in alone:
        assert np.abs(alone[row_id] - together[row_id]).max() <= ROUNDING
    assert np.abs(alone["row-0"] - alone["row-1"]).max() > 10 * ROUNDING


async def test_samples_of_one_prompt_are_encoded_once(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """The text encoders run for the first of several equal calls; the images differ by their seeds."""
    encoded = []

    def watch(watched: WatchedPipe) -> None:
        encoder = watched.pipe.text_encoder_2
        encoder.register_forward_hook(lambda *_: encoded.append(1))

    loads.prepare = watch
    counts = await run(out, build_jobs(3, prompt="one fox"), instance, batch_size=1)
    assert (counts.succeeded, len(loads.last.sizes), len(encoded)) == (3, 3, 1)
    assert len({pixels.tobytes() for pixels in images(out).values()}) == 3


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_a_job_of_a_killed_run_is_made_again(tmp_path: Path, instance: dict[str, Any], loads: Loads) -> None:
    """Submitted in a process that is gone: the job alone is enough to make the same image, as the same attempt."""
    job = make_job()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    await run(whole, [job], instance)
    async with open_batch_with(killed, [job], **instance) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=None, now_us=START_US)
        prediction = await batch.backend("sketch").submit(job, attempt=1)
        batch.journal.record_submitted(job, number=1, prediction=prediction, retries=0, now_us=START_US)
    assert (await run(killed, [job], instance)).succeeded == 1
    assert ledger(killed, "SELECT attempts, prediction_id FROM jobs") == [(1, prediction.prediction_id)]
    assert np.array_equal(images(killed)["row-0"], images(whole)["row-0"])
    assert len(loads.pipes) == 2


async def test_memory_that_runs_out_halves_the_batch(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """The images are made all the same, in smaller calls, and the next ones of the process are smaller from the start."""
    import torch

    def cramped(arguments: dict[str, Any]) -> None:
        if len(arguments["prompt"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    loads.prepare = lambda pipe: setattr(pipe, "before", cramped)
    counts = await run(out, build_jobs(16), instance, batch_size=8)
    assert counts.succeeded == 16
    assert loads.last.sizes == [8, 4, *[2] * 8]
    (out / "next").mkdir()
    await run(out / "next", build_jobs(4), instance, batch_size=8)
    assert loads.last.sizes == [2, 2]


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_an_image_too_large_for_the_memory_fails_alone(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """Its kind says so; smaller images are made."""
    import torch

    def cramped(arguments: dict[str, Any]) -> None:
        if arguments["width"] > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")

    loads.prepare = lambda pipe: setattr(pipe, "before", cramped)
    counts = await run(out, [*build_jobs(2), make_job(2, width=64, height=64)], instance)
    assert (counts.succeeded, dict(counts.errors)) == (2, {"out_of_memory": 1})


async def test_a_failure_is_put_down_to_its_own_job(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """One of a batch breaks the whole call; made one by one, the others have their images."""

    def picky(arguments: dict[str, Any]) -> None:
        if any("number 2" in prompt for prompt in arguments["prompt"]):
            raise RuntimeError("cannot make number 2")

    loads.prepare = lambda pipe: setattr(pipe, "before", picky)
    counts = await run(out, build_jobs(4), instance, batch_size=4)
    assert (counts.succeeded, counts.failed) == (3, 1)
    assert loads.last.sizes == [4, 1, 1, 1, 1]
    assert ledger(out, "SELECT id, error_message FROM jobs WHERE state = 'failed'") == [
        ("row-2", "RuntimeError: cannot make number 2")
    ]


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_a_flagged_image_is_refused(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """The safety checker's black image is not stored; the device's time is paid for."""
    loads.prepare = lambda pipe: setattr(pipe, "flag", lambda prompt: "number 1" in prompt)
    counts = await run(out, build_jobs(2), instance, price_usd=0.01)
    assert (counts.succeeded, dict(counts.errors), counts.cost_micros) == (1, {"moderation": 1}, 20_000)


@pytest.mark.usefixtures("loads")
async def test_what_the_pipeline_does_not_take_is_refused_by_name(out: Path, instance: dict[str, Any]) -> None:
    """Also where nothing was asked before, as on a resume; the rest of the batch goes on."""
    jobs = [make_job(0), make_job(1, negative_prompt="rain"), make_job(2, backend_opts={"cfg_rescale": 1})]
    counts = await run(out, jobs, instance)
    assert (counts.succeeded, dict(counts.errors), counts.cost_unknown) == (1, {"invalid": 2}, 1)
    messages = dict(ledger(out, "SELECT id, error_message FROM jobs WHERE state = 'failed'"))
    assert messages["row-1"].startswith("negative_prompt: ")
    assert messages["row-2"] == "cfg_rescale: FluxPipeline has no such argument"


@pytest.mark.parametrize("first_sign", ["AcceleratorError", "RuntimeError"])
async def test_a_lost_device_stops_the_batch(
    out: Path, instance: dict[str, Any], loads: Loads, monkeypatch: pytest.MonkeyPatch, first_sign: str
) -> None:
    """No job is marked failed for it: everything is open for a new process, also where only cleaning up shows it."""
    import torch

    def broken() -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def lost(_: dict[str, Any]) -> None:
        if first_sign == "AcceleratorError":
            broken()
        monkeypatch.setattr(worker, "free_memory", broken)
        raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")

    loads.prepare = lambda pipe: setattr(pipe, "before", lost)
    async with open_batch_with(out, build_jobs(9), **instance, batch_size=2, concurrency=4) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "device"
        counts = await count_jobs(batch.engine)
    assert (counts.failed, counts.submitted + counts.planned) == (0, 9)


async def test_a_model_that_cannot_be_loaded_stops_the_batch(
    out: Path, instance: dict[str, Any], tiny_flux: Path, tmp_path: Path, loads: Loads
) -> None:
    """One clear error and no failed job, however many jobs wait."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text((tiny_flux / "model_index.json").read_text())
    async with open_batch_with(out, build_jobs(30), **{**instance, "model": str(broken)}) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "model"
        assert str(broken) in str(batch.stop.cause)
        assert len(str(batch.stop.cause).splitlines()) == 1
        assert (await count_jobs(batch.engine)).failed == 0
    assert not loads.pipes


async def test_the_next_call_runs_while_images_are_encoded(
    out: Path, instance: dict[str, Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder of the first image waits for the second call to begin; it would wait in vain if they took turns."""
    second_began, overlapped = threading.Event(), []
    really_encode = encode.encode

    def slow(*arguments: Any, **named: Any) -> bytes:
        overlapped.append(second_began.wait(timeout=PATIENCE_S))
        return really_encode(*arguments, **named)

    monkeypatch.setattr(encode, "encode", slow)
    loads.prepare = lambda pipe: setattr(pipe, "before", lambda _: second_began.set() if len(pipe.sizes) == 2 else None)
    assert (await run(out, build_jobs(2), instance, batch_size=1)).succeeded == 2
    assert overlapped == [True, True]


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_one_model_is_loaded_once_off_the_event_loop(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """Two instances that differ in other settings share it; it goes when the last is closed."""
    places: list[threading.Thread] = []
    loads.prepare = lambda _: places.append(threading.current_thread())
    async with open_batch_with(out, build_jobs(2), **instance) as first:
        await generate_range(first, *EVERYTHING)
        second = out / "second"
        second.mkdir()
        assert (await run(second, build_jobs(1), instance, default_steps=1)).succeeded == 1
        assert await wait_for_one(first) is not None
    assert len(loads.pipes) == 1
    (out / "third").mkdir()
    await run(out / "third", build_jobs(1), instance)
    assert [pipe.sizes for pipe in loads.pipes] == [[2, 1, 1], [1]]
    assert threading.main_thread() not in places


async def wait_for_one(batch: Batch) -> Prediction:
    """One more image of an open batch."""
    return await batch.backend("sketch").wait(make_job(7), Prediction(prediction_id="local-7"))


async def test_a_call_that_nobody_waits_for_ends_at_its_next_step(
    out: Path, instance: dict[str, Any], loads: Loads
) -> None:
    """The second Ctrl-C does not have to wait for a long image."""
    began, steps = threading.Event(), []

    def watch(watched: WatchedPipe) -> None:
        watched.before = lambda _: began.set()
        watched.pipe.transformer.register_forward_hook(lambda *_: steps.append(began_and_left.wait(PATIENCE_S)))

    began_and_left = threading.Event()
    loads.prepare = watch
    async with open_batch_with(out, [make_job(steps=40)], **instance) as batch:
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        await asyncio.to_thread(began.wait, PATIENCE_S)
        generating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await generating
        began_and_left.set()
        # The device is free again: another image can be made.
        loads.last.before = lambda _: None
        assert (await wait_for_one(batch)).output is not None
    assert len(steps) == 1 + 2


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(
    ("prices", "cost_micros", "source"),
    [
        ({}, None, None),
        ({"price_usd": 0}, 0, "free"),
        ({"price_usd": 0.002}, 2_000, "priced"),
        ({"price_usd": 0.002, "price_usd_per_hour": 36}, 2_000, "priced"),
    ],
)
async def test_an_image_costs_what_the_configuration_says(
    out: Path, instance: dict[str, Any], prices: dict[str, float], cost_micros: int | None, source: str | None
) -> None:
    """A price of an image comes first; without any price the cost is unknown, never 0 by itself."""
    await run(out, build_jobs(2), instance, **prices)
    assert ledger(out, "SELECT cost_micros, cost_source FROM jobs") == [(cost_micros, source)] * 2


@pytest.mark.usefixtures("loads")
async def test_a_price_of_an_hour_is_shared_by_time(out: Path, instance: dict[str, Any]) -> None:
    """An image costs its share of the device's time; once one is made, its time is what the next is expected to take."""
    job = make_job(9)
    async with open_batch_with(
        out, build_jobs(2), **instance, price_usd_per_hour=36_000, latency_s=2, concurrency=3
    ) as batch:
        backend = batch.backend("sketch")
        assert backend.estimate(job).cost_micros == 2 * 10_000_000
        assert backend.estimate(job).latency_s == 2 * 3
        await generate_range(batch, *EVERYTHING)
        expected_micros = backend.estimate(job).cost_micros
    rows = ledger(out, "SELECT cost_micros, predict_time_s, cost_source FROM jobs")
    assert rows == [(round(predict_time_s * 10_000_000), predict_time_s, "priced") for _, predict_time_s, _ in rows]
    assert expected_micros in {cost_micros for cost_micros, _, _ in rows}


@pytest.fixture
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes packed weights apart on a CPU, in Python: quanto's own is compiled for most of a minute where it is new."""
    import torch
    from optimum.quanto.library.extensions import get_extension

    def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
        return torch.cat([(packed >> bits * place) & (2**bits - 1) for place in range(8 // bits)])

    monkeypatch.setattr(get_extension("quanto_cpp"), "_lib", SimpleNamespace(unpack=unpack))


@pytest.mark.soak  # a real pipeline: a second or two of a core
@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize(("bits", "most_apart"), [("int8", 6), ("float8", 40), ("int4", 60)])
async def test_quantised_weights_make_nearly_the_same_images(
    out: Path, instance: dict[str, Any], loads: Loads, bits: str, most_apart: int
) -> None:
    """The large parts are kept in fewer bits, the decoder is not, and the images hardly change."""
    for name in ("whole", "fewer"):
        (out / name).mkdir()
    await run(out / "whole", build_jobs(2), instance)
    counts = await run(out / "fewer", build_jobs(2), instance, quantize=bits)
    assert counts.succeeded == 2
    pipe = loads.last.pipe
    assert type(pipe.transformer.transformer_blocks[0].attn.to_q).__name__ == "QLinear"
    assert type(pipe.vae.decoder.conv_in).__name__ == "Conv2d"
    whole, fewer = images(out / "whole"), images(out / "fewer")
    apart = max(int(np.abs(whole[name] - fewer[name]).max()) for name in whole)
    assert 0 < apart <= most_apart


def image_file(folder: Path, name: str, colour: tuple[int, int, int]) -> ReferenceImage:
    """A plain image of another size than the one that is asked for."""
    Image.new("RGB", (70, 50), colour).save(folder / name)
    return find_reference(name, folder)


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_images_that_start_from_images(out: Path, tmp_path: Path, instance: dict[str, Any], loads: Loads) -> None:
    """They go together with their like only, with the weights that are loaded, and what they start from is seen."""
    red, blue = image_file(tmp_path, "red.png", (220, 20, 20)), image_file(tmp_path, "blue.png", (20, 20, 220))
    options = {"strength": 0.5}
    jobs = [
        make_job(0, image=red, backend_opts=options),
        make_job(1, image=blue, backend_opts=options),
        make_job(2),
        make_job(3, image=red, mask=blue, backend_opts=options),
    ]
    counts = await run(out, jobs, instance)
    assert counts.succeeded == 4
    made = images(out)
    assert {image.shape for image in made.values()} == {(32, 32, 3)}
    assert loads.last.sizes == [1]  # the other calls went to the pipelines that start from images
    alone = await run_alone(out / "alone", make_job(0, image=red, backend_opts=options), instance)
    assert np.abs(alone - made["row-0"]).max() <= ROUNDING
    other = await run_alone(out / "other", make_job(0, image=blue, backend_opts=options), instance)
    assert np.abs(other - made["row-0"]).max() > 5 * ROUNDING
    assert len(loads.pipes) == 3


async def run_alone(out: Path, job: Job, instance: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The one image of a batch."""
    out.mkdir()
    await run(out, [job], instance)
    return images(out)[job.id or ""]


async def test_an_address_is_not_fetched_for_a_local_model(out: Path, instance: dict[str, Any], loads: Loads) -> None:
    """No network is used while a batch runs."""
    counts = await run(out, [make_job(0, image=find_reference("https://x/a.png", out))], instance)
    [(kind, message)] = ledger(out, "SELECT error_kind, error_message FROM jobs")
    assert (counts.failed, kind) == (1, "input_image")
    assert "a local model fetches nothing" in message
    assert not loads.pipes


@pytest.mark.soak  # a real pipeline: a second or two of a core
async def test_a_call_that_fails_half_way_leaves_the_pipeline_as_it_was(
    out: Path, instance: dict[str, Any], loads: Loads
) -> None:
    """What a pipeline does last, it has not done: the decoder gets its precision back, offloaded parts go back."""
    import torch

    gone_back: list[int] = []

    def ran_out_in_the_decoder(arguments: dict[str, Any]) -> None:
        if len(arguments["prompt"]) > 1:
            loads.last.pipe.vae.to(torch.float64)  # as pipelines do whose decoder needs more bits than the rest
            raise torch.OutOfMemoryError("CUDA out of memory")

    def prepare(watched: WatchedPipe) -> None:
        watched.before = ran_out_in_the_decoder
        watched.pipe.maybe_free_model_hooks = lambda: gone_back.append(len(watched.sizes))

    loads.prepare = prepare
    assert (await run(out, build_jobs(2), instance, batch_size=2)).succeeded == 2
    assert loads.last.sizes == [2, 1, 1]
    assert gone_back == [1, 2, 3]


@pytest.mark.usefixtures("tiny_flux")
def test_a_model_that_takes_several_images_as_one_subject_is_asked_image_by_image() -> None:
    """Of a whole batch it would put everybody's images into each (FLUX.2); such models have one class for both."""
    asked: list[tuple[Any, Any]] = []

    def editor(prompt: Any = None, image: Any = None, generator: Any = None) -> SimpleNamespace:
        asked.append((prompt, image))
        assert len(generator) == len(prompt)
        return SimpleNamespace(images=[f"made of {each}" for each in image or prompt])

    takes = Signature.of("Flux2Pipeline", editor)
    loaded = LoadedPipeline(pipe=editor, signatures={TEXT: takes, IMAGE: takes}, version=None, other=lambda _: editor)
    calls = [build_call(make_job(n), DiffusersOptions()) for n in range(2)]
    references = {IMAGE: ReferenceImage("/a.png", "0")}
    edits = [replace(call, references=references, images={IMAGE: n}) for n, call in enumerate(calls)]
    made = loaded.make(edits, abandoned=lambda: False)
    assert [image.image for image in made] == ["made of 0", "made of 1"]
    assert asked == [([call.prompt], [n]) for n, call in enumerate(calls)]
    loaded.make(calls, abandoned=lambda: False)
    assert asked[-1] == ([call.prompt for call in calls], None)


@pytest.mark.parametrize("words", ["MPS backend out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"])
@pytest.mark.usefixtures("tiny_flux")
def test_memory_runs_out_by_other_names_too(words: str) -> None:
    """Libraries that allocate by themselves raise a plain error, and a smaller call helps all the same."""
    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"))


@pytest.mark.usefixtures("loads", "tiny_flux")
def test_models_on_one_device_take_turns_whatever_it_is_called() -> None:
    """Two calls at once would share its memory, and each would run out of it."""
    specs = [
        PipelineSpec(model=ModelReference("a/b", is_folder=False), device=device, dtype="auto", offload="none")
        for device in ("auto", "cuda", "cuda:0", "cuda:1")
    ]
    threads = [sharing.acquire_worker(spec)._thread for spec in specs]
    assert threads[0] is threads[1] is threads[2] is not threads[3]
    for spec in specs:
        sharing.release_worker(spec)
