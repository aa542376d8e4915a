"""Answers of a real ComfyUI, and the stand-in held against them.

Recorded from ComfyUI 0.3.64 (its source of 2025-10-12, on the CPU, without a model) on 2026-11-26.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tasks.backends.comfyui.backend import ComfyBackend
from tasks.backends.comfyui.history import build_failure, find_files, read_seconds
from tasks.core.errors import JobError, OutputGone, Rejected, Transient
from tests.support.fakes import comfyui
from tests.support.fakes.backends import make_instance_job, open_backend
from tests.support.fakes.comfyui import NODES, WORKFLOW, ComfyUI
from tests.support.fakes.serving import serving

STARTED = ["execution_start", {"prompt_id": "aa", "timestamp": 1795726662199}]
ENTRY: dict[str, Any] = {
    "prompt": [0, "aa", {"9": {"class_type": "SaveImage", "inputs": {}}}, {"client_id": "imagen"}, ["9", "8"]],
    "outputs": {
        "7": {"text": ["two"]},
        "10": {"images": [{"filename": "aa-10_00001_.png", "subfolder": "imagen", "type": "output"}]},
        "8": {
            "images": [{"filename": "aa-8_00001_.webp", "subfolder": "imagen", "type": "output"}],
            "animated": [False],
        },
        "9": {"images": [{"filename": "ComfyUI_temp_pmfpv_00002_.png", "subfolder": "", "type": "temp"}]},
    },
    "status": {
        "status_str": "success",
        "completed": True,
        "messages": [
            STARTED,
            ["execution_cached", {"nodes": ["1"], "prompt_id": "aa", "timestamp": 1795726662200}],
            ["execution_success", {"prompt_id": "aa", "timestamp": 1795726662235}],
        ],
    },
    "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
}
FAILED = [
    "execution_error",
    {
        "prompt_id": "aa",
        "node_id": "1",
        "node_type": "LoadImage",
        "executed": [],
        "exception_message": "cannot identify image file '/srv/input/broken.png'\n",
        "exception_type": "PIL.UnidentifiedImageError",
        "traceback": ['  File "/srv/execution.py", line 496, in execute\n'],
        "current_inputs": {"image": ["broken.png"]},
        "current_outputs": ["1", "9"],
        "timestamp": 1795727441155,
    },
]
INTERRUPTED = [
    "execution_interrupted",
    {
        "prompt_id": "aa",
        "node_id": "9",
        "node_type": "SaveImage",
        "executed": ["1", "3"],
        "timestamp": 1795727438960,
    },
]
NODE_ERRORS: dict[str, Any] = {
    "21": {
        "errors": [
            {
                "type": "value_smaller_than_min",
                "message": "Value 0 smaller than min of 1",
                "details": "width",
                "extra_info": {
                    "input_name": "width",
                    "input_config": ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}],
                    "received_value": 0,
                },
            }
        ],
        "dependent_outputs": ["20"],
        "class_type": "EmptyImage",
    }
}
REFUSED = {"error": {"type": "x", "message": "x", "details": "x", "extra_info": {}}, "node_errors": NODE_ERRORS}
QUEUE = {"queue_running": [[27, "aa", {"1": {}}, {"client_id": "imagen"}, ["9"]]], "queue_pending": []}


def end_with(message: list[Any]) -> dict[str, Any]:
    """The entry of a prompt that failed."""
    return {"outputs": {}, "status": {"status_str": "error", "completed": False, "messages": [STARTED, message]}}


def test_the_images_come_in_the_workflow_s_order() -> None:
    """Not in the order in which nodes ended, which the server's cache changes; a preview's image is not taken."""
    assert [file.name for file in find_files(ENTRY, ["8", "10"], only=False)] == [
        "aa-8_00001_.webp",
        "aa-10_00001_.png",
    ]
    assert [file.name for file in find_files(ENTRY, ["9", "10"], only=True)] == ["aa-10_00001_.png"]
    assert read_seconds(ENTRY) == pytest.approx(0.036)


def test_an_error_names_its_node_in_one_line() -> None:
    """And an interrupted prompt may be sent again."""
    failed = build_failure(end_with(FAILED), lambda text: " ".join(str(text).split()))
    assert str(failed) == "LoadImage (node 1): cannot identify image file '/srv/input/broken.png'"
    assert isinstance(build_failure(end_with(INTERRUPTED), str), Transient)
    assert not isinstance(failed, Transient)


def is_part_of(fake: Any, real: Any) -> bool:
    """True if the fake says nothing that the real one does not say, in the same types."""
    if isinstance(fake, dict) and isinstance(real, dict):
        # Keys that are numbers of nodes or ids differ.
        one = next(iter(real.values()), None) if len(real) == 1 else None
        return all(is_part_of(value, real.get(key, one)) for key, value in fake.items())
    if isinstance(fake, list) and isinstance(real, list):
        return not fake or not real or is_part_of(fake[0], real[0])
    return type(fake) is type(real)


async def test_the_stand_in_answers_as_the_real_one() -> None:
    """Status and shape of each answer: nothing in it that the real server would not say."""
    fake = ComfyUI(looks_to_end=0)
    async with serving(fake), httpx.AsyncClient(base_url=fake.url) as http:
        body = {"prompt": WORKFLOW, "prompt_id": "aa"}
        taken = await http.post("/prompt", json=body)
        assert is_part_of(taken.json(), {"prompt_id": "aa", "number": 9, "node_errors": {}})
        assert is_part_of((await http.get("/queue")).json(), QUEUE)
        ended = (await http.get("/history/aa")).json()["aa"]
        assert is_part_of({"prompt": ended["prompt"][:2], "status": ended["status"]}, ENTRY)
        assert is_part_of(ended["outputs"]["9"], ENTRY["outputs"]["10"])
        assert (await http.get("/history/unknown")).json() == {}
        assert (await http.get("/object_info/Nope")).json() == {}
        missing = await http.get("/view", params={"filename": "nope.png", "subfolder": "imagen", "type": "output"})
        assert (missing.status_code, missing.content) == (404, b"")
        fake.break_("half_invalid", 1)
        half = await http.post("/prompt", json=body)
        assert (half.status_code, is_part_of(half.json()["node_errors"], NODE_ERRORS)) == (200, True)
        fake.break_("invalid", 1)
        refused = await http.post("/prompt", json=body)
        assert (refused.status_code, is_part_of(refused.json(), REFUSED)) == (400, True)
        del fake.nodes["KSampler"]
        unknown = (await http.post("/prompt", json=body)).json()
        assert unknown["error"]["details"] == "Node ID '#3'"
        for fault, message in (("failed", FAILED), ("interrupted", INTERRUPTED)):
            fake.nodes = dict(NODES)
            await http.post("/prompt", json=body)
            fake.break_(fault, 1)
            entry = (await http.get("/history/aa")).json()["aa"]
            assert is_part_of(entry, end_with(message) | {"prompt": ended["prompt"]})


async def test_an_output_that_the_server_leaves_out_is_told_and_nothing_is_made() -> None:
    """The server makes the others, with 200: a job would end with fewer images than its workflow saves."""
    fake = ComfyUI(looks_to_end=10**6)
    async with serving(fake):
        instance = comfyui.instance(fake.url)
        backend = open_backend(instance)
        fake.break_("half_invalid", 1)
        with pytest.raises(Rejected, match="node 9 saves nothing"):
            await backend.submit(make_instance_job(instance), attempt=1)
        assert not fake.queue
        saved = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["3", 0]}}
        other = open_backend({**instance, "workflow": {**WORKFLOW, "20": saved}, "outputs": ["20"]})
        fake.break_("half_invalid", 1)
        await other.submit(make_instance_job(instance), attempt=2)
        assert len(fake.queue) == 1, "the images of node 9 are not taken, so nothing is missing"
        await backend.close()
        await other.close()


async def test_half_a_file_of_a_killed_server_is_no_image() -> None:
    """A server that is killed while it saves leaves one under the name by which a lost prompt is looked for."""
    fake = ComfyUI(looks_to_end=0)
    async with serving(fake):
        instance = comfyui.instance(fake.url)
        backend = open_backend(instance)
        assert isinstance(backend, ComfyBackend)
        job = make_instance_job(instance)
        sent = await backend.submit(job, attempt=1)
        fake.end(sent.prediction_id)
        fake.restart()
        [(path, whole)] = fake.files.items()
        fake.files[path] = whole[: len(whole) // 2]
        with pytest.raises(Transient, match="taken out, or the server was restarted"):
            await backend.wait(job, sent)
        fake.files = {path.removesuffix("png") + "webp": whole}
        ended = await backend.wait(job, sent)
        assert await backend.fetch(job, ended) == whole
        fake.files.clear()
        with pytest.raises(OutputGone):
            await backend.fetch(job, ended)
        await backend.close()


async def test_names_of_models_are_no_moderation() -> None:
    """The words of a refused graph quote what the server has and what it was given."""
    said = "Value not in list (ckpt_name: 'a' not in ['nsfw.safetensors'])"

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"type": "x", "message": said, "details": ""}, "node_errors": {}})

    instance = comfyui.instance("http://127.0.0.1:1")
    backend = open_backend(instance)
    assert isinstance(backend, ComfyBackend)
    backend._pool.servers[0]._calls.http = httpx.AsyncClient(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(respond)
    )
    with pytest.raises(JobError, match="nsfw") as caught:
        await backend.submit(make_instance_job(instance), attempt=1)
    assert caught.value.kind == "invalid"
    await backend.close()
