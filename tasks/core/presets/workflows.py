"""Workflow files of ComfyUI: read where a configuration names one, so that the settings hold the graph itself.

A batch's ledger keeps its settings. With the graph in them, a resume on any machine sends what was planned, whatever
became of the file since; and a digest of it in the model's name makes an edited workflow another model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 4 * 1024 * 1024
DIGEST_DIGITS = 12


def embed_workflow(workflow: Any, model: str, *, folder: Path) -> dict[str, Any]:
    """The settings `workflow` and `model` of an instance, with the graph in place of its file.

    Where the file cannot be used, the reason stands there as a text, and is told when the instance is used: a batch of
    another backend does not need it.

    Args:
        workflow: A path relative to the configuration's folder, or the graph itself; anything else stays as it is.
        model: As the configuration has it; empty: the file's name.
        folder: The configuration's.
    """
    if not isinstance(workflow, str | Mapping):
        return {}
    shown = workflow if isinstance(workflow, str) else "the graph"
    try:
        path = folder / Path(workflow).expanduser() if isinstance(workflow, str) else Path("workflow")
        graph, name = unwrap_graph(_read_file(path) if isinstance(workflow, str) else workflow), path.stem
        text = json.dumps(graph, sort_keys=True)
    except (ValueError, TypeError, RecursionError, RuntimeError) as exc:
        return {"workflow": f"{shown}: {exc}"}
    except OSError as exc:
        return {"workflow": f"{shown}: {exc.strerror}; a path is relative to the configuration"}
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]
    # Like a version behind a model's name: a manifest's column `model` may leave it out.
    return {"workflow": graph, "model": f"{model or name}:{digest}"}


def _read_file(path: Path) -> Any:
    """The JSON of a file.

    Raises:
        ValueError: It is none; says what to do.
        OSError: It cannot be read.
    """
    # A device has no end.
    if path.exists() and not path.is_file():
        raise ValueError("is no file")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES // 2**20} MiB")
    try:
        return json.loads(data)
    except ValueError as exc:
        raise ValueError(f"is not JSON ({exc}); export it with Workflow > Export (API)") from exc


def unwrap_graph(graph: Any) -> dict[str, Any]:
    """The graph of a workflow, with texts as its nodes' numbers.

    Raises:
        ValueError: It is no workflow in the API's format; says what to do.
    """
    if isinstance(graph, Mapping) and isinstance(graph.get("nodes"), list):
        raise ValueError("is a workflow as the page saves it; export it with Workflow > Export (API)")  # noqa: TRY004  told as text
    if not isinstance(graph, Mapping):
        raise ValueError("is no workflow; export one with Workflow > Export (API)")  # noqa: TRY004  likewise
    # Some tools save the whole of what POST /prompt takes.
    inner = graph.get("prompt")
    nodes = inner if isinstance(inner, Mapping) and "class_type" not in inner else graph
    # In YAML a node's number is a number, in its key and in the links to it; the server knows texts alone.
    numbers = {number for number in nodes if type(number) is int}
    return {str(number): _name_links(node, numbers) for number, node in nodes.items()}


def _name_links(node: Any, numbers: set[int]) -> Any:
    if not numbers or not isinstance(node, Mapping) or not isinstance(node.get("inputs"), Mapping):
        return node
    inputs = {}
    for name, value in node["inputs"].items():
        match value:
            case [int(source), int(output)] if source in numbers:
                inputs[name] = [str(source), output]
            case _:
                inputs[name] = value
    return {**node, "inputs": inputs}
