"""A stand-in for a ComfyUI server: queue, history, files and errors with the shapes of version 0.3.64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tasks.backends.replicate_simulator.api.answers import drop_connection
from tasks.backends.replicate_simulator.images import make_image
from tests.support.fakes.serving import Provider

FAULTS = frozenset(
    {
        "unauthorized",  # 401 of a proxy in front of it
        "invalid",  # 400 prompt_outputs_failed_validation
        "half_invalid",  # 200 whose node_errors name an output that is left out
        "echo_key",  # 400 whose words hold the key
        "drop_before",  # the connection closes, nothing queued
        "drop_after",  # it closes though it was queued
        "not_json",  # 200 with something else
        "own_id",  # 200 with an id of the server's
        "failed",  # history: execution_error
        "out_of_memory",  # history: torch.OutOfMemoryError
        "interrupted",  # history: execution_interrupted
        "no_images",  # history: success without outputs
        "history_error",  # 502 to a look
        "stuck",  # it runs for ever
    }
)
WORKFLOW: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": 20, "cfg": 7.0, "positive": ["6", 0], "latent": ["5", 0]},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["3", 0]}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
}
NODES: dict[str, Any] = {
    "KSampler": {
        "input": {
            "required": {
                "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
                "steps": ["INT", {"default": 20, "min": 1, "max": 10_000}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
            }
        }
    },
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["flux.safetensors", "sdxl.safetensors"], {}]}}},
    "EmptyLatentImage": {
        "input": {
            "required": {
                "width": ["INT", {"min": 16, "max": 16_384}],
                "height": ["INT", {"min": 16, "max": 16_384}],
                "batch_size": ["INT", {"min": 1, "max": 4096}],
            }
        }
    },
    "CLIPTextEncode": {"input": {"required": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]}}},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}}},
    "LoadImage": {"input": {"required": {"image": [["example.png"], {"image_upload": True}]}}},
}
"""What `/object_info` says of the kinds of nodes in it."""


@dataclass
class ComfyUI(Provider):
    """The server."""

    known_faults: frozenset[str] = FAULTS
    nodes: dict[str, Any] = field(default_factory=lambda: dict(NODES))
    queue: dict[str, list[Any]] = field(default_factory=dict)
    """What waits or runs, by id, as the queue lists it."""
    looks: dict[str, int] = field(default_factory=dict)
    """Looks at the history until each one has ended."""
    looks_to_end: int = 1
    history: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)
    images_a_node: int = 1

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/prompt", self.submit)
        app.router.add_get("/history/{id}", self.look)
        app.router.add_get("/queue", self.show_queue)
        app.router.add_post("/queue", self.delete)
        app.router.add_post("/interrupt", self.interrupt)
        app.router.add_get("/view", self.view)
        app.router.add_post("/upload/image", self.upload)
        app.router.add_get("/object_info/{kind}", self.object_info)
        return app

    def restart(self) -> None:
        """Queue and history are gone; the files stay."""
        self.queue.clear()
        self.history.clear()

    async def submit(self, request: web.Request) -> web.Response:
        """`POST /prompt`: not idempotent; our own id is kept."""
        self.requests["submit"] += 1
        if self.strikes("drop_before"):
            return drop_connection(request)
        body = await request.json()
        if (refusal := self.refuse(request, body)) is not None:
            return refusal
        prompt_id = "own-id" if self.strikes("own_id") else body["prompt_id"]
        self.created.append(body["prompt"])
        self.queue[prompt_id] = [len(self.created), prompt_id, body["prompt"], {}, ["9"]]
        self.looks[prompt_id] = self.looks_to_end
        if self.strikes("drop_after"):
            return drop_connection(request)
        if self.strikes("not_json"):
            return web.Response(text="<html>")
        errors = _NODE_ERRORS if self.strikes("half_invalid") else {}
        return web.json_response({"prompt_id": prompt_id, "number": len(self.created), "node_errors": errors})

    def refuse(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """The answer to a graph that is not taken."""
        if self.strikes("unauthorized"):
            return web.json_response({"error": "Unauthorized"}, status=401)
        if self.strikes("invalid"):
            return _refuse("prompt_outputs_failed_validation", "Prompt outputs failed validation", _NODE_ERRORS)
        if self.strikes("echo_key"):
            return _refuse("invalid_prompt", f"who are you, {request.headers.get('Authorization')}?", {})
        for number, node in body["prompt"].items():
            if node["class_type"] not in self.nodes:
                words = f"Cannot execute because node {node['class_type']} does not exist."
                return _refuse("invalid_prompt", words, {}, details=f"Node ID '#{number}'")
        return None

    async def look(self, request: web.Request) -> web.Response:
        """`GET /history/{id}`: an empty object while it runs, and for an unknown one."""
        self.requests["history"] += 1
        if self.strikes("history_error"):
            return web.Response(status=502, text="<html>nginx</html>", content_type="text/html")
        prompt_id = request.match_info["id"]
        if prompt_id in self.queue and not self.strikes("stuck"):
            self.looks[prompt_id] -= 1
            if self.looks[prompt_id] < 0:
                self.end(prompt_id)
        entry = self.history.get(prompt_id)
        return web.json_response({} if entry is None else {prompt_id: entry})

    def end(self, prompt_id: str) -> None:
        """The prompt runs to its end."""
        entry = self.queue.pop(prompt_id)
        for fault, message in _ENDS.items():
            if self.strikes(fault):
                status = {"status_str": "error", "completed": False, "messages": [message]}
                self.history[prompt_id] = {"prompt": entry, "outputs": {}, "status": status}
                return
        outputs = {}
        for number, node in entry[2].items():
            if node["class_type"] == "SaveImage" and not self.strikes("no_images"):
                outputs[number] = {"images": self.save(entry[2], node["inputs"]["filename_prefix"])}
        messages = [["execution_start", {"timestamp": 1_000}], ["execution_success", {"timestamp": 3_500}]]
        status = {"status_str": "success", "completed": True, "messages": messages}
        self.history[prompt_id] = {"prompt": entry, "outputs": outputs, "status": status}

    def save(self, graph: dict[str, Any], prefix: str) -> list[dict[str, str]]:
        """Files of a prefix are numbered from one."""
        subfolder, _, name = prefix.rpartition("/")
        saved = []
        for _ in range(self.images_a_node):
            number = 1 + sum(path.startswith(f"{prefix}_") for path in self.files)
            file = f"{name}_{number:05d}_.png"
            size = (graph["5"]["inputs"]["width"], graph["5"]["inputs"]["height"])
            seed = graph["3"]["inputs"]["seed"]
            self.files[f"{subfolder}/{file}"] = make_image(f"{file} {seed}", "png", size, kb=2)
            saved.append({"filename": file, "subfolder": subfolder, "type": "output"})
        return saved

    async def show_queue(self, request: web.Request) -> web.Response:
        """`GET /queue`: the first one runs."""
        self.requests["queue"] += 1
        waiting = list(self.queue.values())
        return web.json_response({"queue_running": waiting[:1], "queue_pending": waiting[1:]})

    async def delete(self, request: web.Request) -> web.Response:
        """`POST /queue` with `delete`."""
        for prompt_id in (await request.json())["delete"]:
            self.queue.pop(prompt_id, None)
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        """`POST /interrupt` with the id."""
        prompt_id = (await request.json())["prompt_id"]
        self.interrupted.append(prompt_id)
        self.queue.pop(prompt_id, None)
        return web.Response()

    async def view(self, request: web.Request) -> web.Response:
        """`GET /view`: a file of the output folder."""
        data = self.files.get(f"{request.query['subfolder']}/{request.query['filename']}")
        return web.Response(status=404) if data is None else web.Response(body=data, content_type="image/png")

    async def upload(self, request: web.Request) -> web.Response:
        """`POST /upload/image`."""
        form = await request.post()
        image = form["image"]
        assert isinstance(image, web.FileField)
        self.uploads["/".join((str(form["subfolder"]), image.filename))] = image.file.read()
        return web.json_response({"name": image.filename, "subfolder": form["subfolder"], "type": "input"})

    async def object_info(self, request: web.Request) -> web.Response:
        """`GET /object_info/{kind}`: an empty object for an unknown one."""
        kind = request.match_info["kind"]
        return web.json_response({kind: self.nodes[kind]} if kind in self.nodes else {})


_NODE_ERRORS = {
    "3": {
        "class_type": "KSampler",
        "dependent_outputs": ["9"],
        "errors": [
            {
                "type": "value_smaller_than_min",
                "message": "Value 0 smaller than min of 1",
                "details": "steps",
                "extra_info": {"input_name": "steps", "received_value": 0},
            }
        ],
    }
}
_ENDS: dict[str, list[Any]] = {
    "failed": [
        "execution_error",
        {
            "node_id": "3",
            "node_type": "KSampler",
            "exception_message": "mat1 and mat2",
            "exception_type": "RuntimeError",
        },
    ],
    "out_of_memory": [
        "execution_error",
        {
            "node_id": "3",
            "node_type": "KSampler",
            "exception_message": "CUDA out of memory",
            "exception_type": "torch.OutOfMemoryError",
        },
    ],
    "interrupted": ["execution_interrupted", {"node_id": "3", "node_type": "KSampler", "executed": []}],
}


def _refuse(kind: str, words: str, nodes: dict[str, Any], *, details: str = "") -> web.Response:
    error = {"type": kind, "message": words, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": nodes}, status=400)


def instance(*urls: str, **changes: Any) -> dict[str, Any]:
    """An instance that talks to the stand-ins."""
    return {
        "type": "comfyui",
        "model": "flux",
        "workflow": WORKFLOW,
        "inputs": {
            "prompt": "6.text",
            "seed": "3.seed",
            "steps": "3.steps",
            "width": "5.width",
            "height": "5.height",
            "image": "10.image",
            "guidance": "3.cfg",
        },
        "servers": list(urls),
        "usual_latency_s": 0.05,
        "requests_per_min": 60_000.0,
        **changes,
    }
