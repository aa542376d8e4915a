"""The backend `comfyui` against stand-ins of its servers: values at their places, lost submits, servers that die."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.backends.base import Backend
from tasks.backends.comfyui.backend import ComfyBackend
from tasks.backends.conformance.steps import build_square
from tasks.backends.conformance.subject import build_context
from tasks.core.errors import Ambiguous, ConfigError, JobError, Rejected, Transient
from tasks.core.presets.workflows import embed_workflow
from tasks.core.records import Prediction
from tasks.store.references import find_reference
from tests.support.fakes import comfyui
from tests.support.fakes.backends import generate, make_instance_job, open_backend
from tests.support.fakes.comfyui import NODES, WORKFLOW, ComfyUI
from tests.support.fakes.serving import serving

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[ComfyUI]:
    """One server."""
    provider = ComfyUI()
    async with serving(provider):
        yield provider


async def make_end(backend: Backend, instance: dict[str, Any], **changes: Any) -> Prediction:
    """One job's end."""
    job = make_instance_job(instance, **changes)
    return await backend.wait(job, await backend.submit(job, attempt=1))


async def test_a_rows_values_stand_at_their_places(server: ComfyUI) -> None:
    """Prompt, seed, steps, size, an option by its name and one by its node; the rest stays as the workflow has it."""
    instance = comfyui.instance(server.url)
    job = make_instance_job(
        instance,
        prompt="a  fox",
        seed=7,
        steps=9,
        width=64,
        height=48,
        backend_opts={"guidance": 3.5, "5.batch_size": 1},
    )
    backend = open_backend(instance)
    ended = await backend.wait(job, await backend.submit(job, attempt=2))
    graph = server.created[0]
    assert graph["6"]["inputs"] == {"text": "a fox", "clip": ["4", 1]}
    assert graph["3"]["inputs"] == {"seed": 7, "steps": 9, "cfg": 3.5, "positive": ["6", 0], "latent": ["5", 0]}
    assert graph["5"]["inputs"] == {"width": 64, "height": 48, "batch_size": 1}
    assert graph["9"]["inputs"]["filename_prefix"] == f"imagen/{ended.prediction_id}-9"
    assert (ended.predict_time_s, ended.cost_micros, ended.cost_source) == (2.5, 0, "free")
    assert WORKFLOW["6"]["inputs"]["text"] == "", "the workflow itself is not changed"
    await backend.close()


async def test_a_ratio_keeps_the_workflows_area(server: ComfyUI) -> None:
    """A 512x512 workflow makes 16:9 at about as many pixels."""
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    await make_end(backend, instance, aspect_ratio="16:9")
    assert server.created[0]["5"]["inputs"] | {"batch_size": 1} == {"width": 688, "height": 384, "batch_size": 1}
    await backend.close()


def test_values_without_a_place_are_problems() -> None:
    """They would be dropped in silence."""
    instance = comfyui.instance("http://127.0.0.1:1")
    del instance["inputs"]["width"], instance["inputs"]["image"]
    job = make_instance_job(
        instance, negative_prompt="blurry", width=64, aspect_ratio="1:1", backend_opts={"3.nothing": 1}
    )
    found = open_backend(instance).problems(job)
    assert [problem.partition(":")[0] for problem in found] == [
        "negative_prompt",
        "width",
        "aspect_ratio",
        "backend_opts.3.nothing",
    ]


SHOWN = {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workflow": None}, r"workflow"),
        ({"workflow": {"1": {"class_type": "X"}}}, r"node '1' has no inputs"),
        ({"workflow": {"1": {"class_type": "X", "inputs": {}}}}, r"no node saves an image"),
        ({"inputs": {"prompt": "6.text"}}, r"place of seed"),
        ({"inputs": {"prompt": "6.text", "seed": "33.seed"}}, r"inputs\.seed: the workflow has no node '33'"),
        ({"inputs": {"prompt": "6.text", "seed": "3.sed"}}, r"no input 'sed'; it has: cfg"),
        ({"inputs": {"prompt": "text", "seed": "3.seed"}}, r"'text' is no input of a node"),
        ({"servers": []}, r"servers"),
        ({"servers": ["127.0.0.1:8188"]}, r"is not an address"),
        ({"servers": "http://me:pw@127.0.0.1:8188"}, r"holds a login; put it into an environment variable"),
        ({"inputs": {"prompt": "3.seed", "seed": "3.steps"}}, r"inputs\.prompt: 3\.seed holds a number .* is a text"),
        ({"inputs": {"prompt": ["6.text"], "seed": "6.text"}}, r"inputs\.seed: 6\.text is the place of prompt too"),
        ({"inputs": {"prompt": "6.clip", "seed": "10.image"}}, r"inputs\.seed: 10\.image holds a text"),
        ({"inputs": {"prompt": 6, "seed": "3.seed"}}, r"inputs\.prompt: 6 is no input of a node"),
        ({"inputs": {"prompt": None, "seed": "3.seed"}}, r"inputs\.prompt: None is no input of a node"),
        ({"outputs": [77]}, r"outputs: the workflow has no node '77'"),
        ({"outputs": ["8"], "workflow": {**WORKFLOW, "8": SHOWN}}, r"outputs: node '8' \(PreviewImage\) saves no file"),
        ({"workflow": {**WORKFLOW, "8": {**SHOWN, "inputs": {"images": ["99", 0]}}}}, r"images comes from node '99'"),
    ],
)
def test_settings_that_cannot_work_are_named(changes: dict[str, Any], words: str) -> None:
    """When the backend is built, before anything is asked."""
    with pytest.raises(ConfigError, match=words):
        open_backend(comfyui.instance("http://127.0.0.1:1", **changes))


def test_numbers_of_nodes_may_be_numbers(tmp_path: Path) -> None:
    """As YAML reads them, in a node's key and in the links to it; the server knows texts alone."""
    graph = json.loads(json.dumps(WORKFLOW))
    written = {
        int(number): {
            **node,
            "inputs": {
                name: [int(value[0]), value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        }
        for number, node in graph.items()
    }
    assert embed_workflow(written, "", folder=tmp_path) == embed_workflow(graph, "", folder=tmp_path)


async def test_servers_are_asked_for_nodes_and_models(server: ComfyUI) -> None:
    """A node or model that a server lacks is an error before the run, a value out of bounds one of its row."""
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    await asyncio.to_thread(backend.learn)
    assert backend.problems(make_instance_job(instance, steps=20_000)) == [
        "3.steps (KSampler): 20000 is more than 10000"
    ]
    assert backend.problems(make_instance_job(instance)) == []
    linked = open_backend({**instance, "inputs": {"prompt": "6.clip", "seed": "3.seed"}})
    await asyncio.to_thread(linked.learn)
    assert linked.problems(make_instance_job(instance)) == [
        "6.clip (CLIPTextEncode): takes a link to a node that gives CLIP, no value"
    ]
    del server.nodes["LoadImage"]
    with pytest.raises(ConfigError, match=r"has no node LoadImage \(node 10\); install"):
        await asyncio.to_thread(open_backend(instance).learn)
    server.nodes = {
        **NODES,
        "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["other.safetensors"], {}]}}},
    }
    with pytest.raises(ConfigError, match=r"node 4 .*ckpt_name: 'flux.safetensors' is not there; it has: other"):
        await asyncio.to_thread(open_backend(instance).learn)
    server.nodes["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": ["COMBO", {"options": ["x"]}]}}}
    with pytest.raises(ConfigError, match=r"ckpt_name"):
        await asyncio.to_thread(open_backend(instance).learn)
    assert not server.created


def test_a_workflow_s_file_may_begin_with_a_mark_and_has_to_be_json(tmp_path: Path) -> None:
    """As some editors save it; what is no JSON says what to export."""
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(WORKFLOW).encode())
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "half.json").write_text('{"1": {')
    assert embed_workflow("bom.json", "", folder=tmp_path)["workflow"] == WORKFLOW
    for name in ("image.png", "half.json"):
        told = embed_workflow(name, "", folder=tmp_path)["workflow"]
        assert told.startswith(f"{name}: is not JSON"), told
        assert "export it with Workflow > Export (API)" in told


async def test_a_server_that_does_not_answer_is_no_error_beside_one_that_does(server: ComfyUI) -> None:
    """None that answers is one: the run would only wait."""
    nobody = "http://127.0.0.1:1"
    await asyncio.to_thread(open_backend(comfyui.instance(nobody, server.url)).learn)
    with pytest.raises(ConfigError, match=r"servers: none answers"):
        await asyncio.to_thread(open_backend(comfyui.instance(nobody)).learn)


async def test_jobs_are_spread_over_the_servers(server: ComfyUI, tmp_path: Path) -> None:
    """The least busy one gets the next job; one that refuses connections gets none."""
    async with serving(ComfyUI()) as other_url:
        instance = comfyui.instance("http://127.0.0.1:1", server.url, other_url, concurrency=8)
        jobs = [make_instance_job(instance, number) for number in range(16)]
        counts = await generate(tmp_path, instance, jobs)
    assert counts.succeeded == 16
    assert 4 <= len(server.created) <= 12


async def test_a_dead_server_gives_its_jobs_to_the_others(tmp_path: Path) -> None:
    """What waited there is made elsewhere."""
    dying, other = ComfyUI(looks_to_end=10**6), ComfyUI()
    async with serving(other):
        async with serving(dying):
            instance = comfyui.instance(dying.url, other.url, concurrency=6, server_patience_s=0.2)
            jobs = [make_instance_job(instance, number) for number in range(6)]
            run = asyncio.create_task(generate(tmp_path, instance, jobs))
            while not dying.created:
                await asyncio.sleep(0.01)
        counts = await run
    assert counts.succeeded == 6
    assert len(other.created) == 6


async def test_a_lost_submit_is_found_in_queue_history_and_folder(server: ComfyUI) -> None:
    """By the attempt's own id; after a restart of the server by the file's name."""
    instance = comfyui.instance(server.url)
    job, backend = make_instance_job(instance), open_backend(instance)
    sent = await backend.submit(job, attempt=1)
    other = open_backend(instance)
    changes: list[Callable[[], object]] = [lambda: None, lambda: server.end(sent.prediction_id), server.restart]
    for change in changes:
        change()
        found = await other.find(job, since=LONG_AGO, known=())
        assert found is not None
        assert found.prediction_id == sent.prediction_id
    ended = await other.wait(job, Prediction(prediction_id=sent.prediction_id))
    assert await other.fetch(job, ended) == next(iter(server.files.values()))
    assert len(server.created) == 1
    await backend.close()
    await other.close()


ODD_ANSWERS = {
    "/history": [b"<html>", b"[]", b"null", b'{"PROMPT": null}', b'{"PROMPT": [1]}'],
    "/queue": [
        *(b"", b"{}", b'{"queue_running": []}', b'{"queue_running": {}, "queue_pending": []}'),
        *(b'{"queue_running": [null], "queue_pending": []}', b'{"queue_running": [[1, null]], "queue_pending": []}'),
    ],
}


@pytest.mark.parametrize(("path", "body"), [(path, body) for path, bodies in ODD_ANSWERS.items() for body in bodies])
async def test_an_answer_that_cannot_be_read_proves_no_loss(path: str, body: bytes) -> None:
    """Where a prompt costs money, it is not sent again because a page or a broken queue does not name it."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(path):
            return httpx.Response(200, content=body.replace(b"PROMPT", request.url.path.rpartition("/")[2].encode()))
        empty: dict[str, Any] = {"queue_running": [], "queue_pending": []} if request.url.path == "/queue" else {}
        return httpx.Response(404 if request.url.path == "/view" else 200, json=empty)

    instance = comfyui.instance("http://127.0.0.1:1", price_usd=0.5)
    backend = open_backend(instance)
    assert isinstance(backend, ComfyBackend)
    backend._pool.servers[0]._calls.http = httpx.AsyncClient(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(respond)
    )
    with pytest.raises(Ambiguous):
        await backend.find(make_instance_job(instance), since=LONG_AGO, known=())
    await backend.close()


async def test_another_batch_has_other_ids(server: ComfyUI) -> None:
    """Two folders of one manifest make images of their own."""
    instance = comfyui.instance(server.url)
    job, context = make_instance_job(instance), build_context(instance)
    one, other = (ComfyBackend(replace(context, batch=name)) for name in ("one", "other"))
    await one.submit(job, attempt=1)
    assert await other.find(job, since=LONG_AGO, known=()) is None
    await one.close()
    await other.close()


async def test_a_prompt_that_a_restart_took_is_made_again(server: ComfyUI, tmp_path: Path) -> None:
    """It was neither saved nor queued, so the next attempt makes it."""
    server.looks_to_end = 10**6
    instance = comfyui.instance(server.url)
    run = asyncio.create_task(generate(tmp_path, instance, [make_instance_job(instance)]))
    while not server.created:
        await asyncio.sleep(0.01)
    server.looks_to_end = 1
    server.restart()
    counts = await run
    assert counts.succeeded == 1
    assert len(server.created) == 2


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("failed", JobError, r"KSampler \(node 3\): mat1"),
        ("out_of_memory", Transient, r"out of memory"),
        ("interrupted", Transient, r"interrupted"),
        ("no_images", JobError, r"without a saved image"),
        ("invalid", Rejected, r"node 3 \(KSampler\): Value 0 smaller"),
        ("half_invalid", Rejected, r"node 9 saves nothing: node 3 \(KSampler\): Value 0 smaller"),
    ],
)
async def test_failures_are_told_apart(server: ComfyUI, fault: str, error: type[JobError], words: str) -> None:
    """With the node, and with the type that says whether another attempt can help."""
    server.break_(fault)
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    with pytest.raises(error, match=words):
        await make_end(backend, instance)
    await backend.close()


async def test_all_images_of_a_prompt_are_taken(server: ComfyUI) -> None:
    """The first is the job's, the others come beside it; `outputs` chooses the node."""
    server.images_a_node = 2
    instance = comfyui.instance(server.url)
    instance["workflow"] = {
        **WORKFLOW,
        "20": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["3", 0]}},
    }
    backend, chosen = open_backend(instance), open_backend({**instance, "outputs": [20]})
    ended = await make_end(backend, instance)
    assert (ended.images, len(ended.further)) == (4, 3)
    ended = await make_end(chosen, instance, number=1)
    assert ended.images == 2
    assert ended.output.file.name.startswith(f"{ended.prediction_id}-20_")
    await backend.close()
    await chosen.close()


async def test_cancelling_takes_out_or_interrupts(server: ComfyUI) -> None:
    """What waits leaves the queue; only what is seen to run is interrupted."""
    server.looks_to_end = 10**6
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    running, waiting = [await backend.submit(make_instance_job(instance, number), attempt=1) for number in range(2)]
    await backend.cancel(waiting)
    assert server.interrupted == []
    await backend.cancel(running)
    assert server.interrupted == [running.prediction_id]
    assert not server.queue
    await backend.close()


async def test_an_image_is_uploaded_and_loaded(server: ComfyUI, tmp_path: Path) -> None:
    """Its node gets the name that the server gave it."""
    (tmp_path / "start.png").write_bytes(build_square(32))
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    await make_end(backend, instance, image=find_reference("start.png", tmp_path))
    name = server.created[0]["10"]["inputs"]["image"]
    assert server.uploads[name] == build_square(32)
    await backend.close()


async def test_trouble_with_a_look_is_no_end(server: ComfyUI) -> None:
    """A gateway's error says nothing about the prompt."""
    server.break_("history_error", 2)
    instance = comfyui.instance(server.url)
    backend = open_backend(instance)
    ended = await make_end(backend, instance)
    assert ended.images == 1
    assert len(server.created) == 1
    await backend.close()
