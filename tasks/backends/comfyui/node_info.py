"""The servers' own description of the workflow's nodes, held against it before anything is sent.

A node or a model that a server does not have would fail every job by itself, each with a page of words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from tasks.backends.client.options import build_authorization
from tasks.backends.client.pages import NO_PAGE, fetch_page
from tasks.backends.comfyui.graph import list_job_values
from tasks.backends.comfyui.options import ComfyOptions
from tasks.core.display import current_display
from tasks.core.errors import ConfigError
from tasks.core.records import Job

MOST_SHOWN = 8
TO_DO = "install the nodes that bring it, or correct the workflow"
LINKS = frozenset(
    {
        "MODEL",
        "CLIP",
        "VAE",
        "CONDITIONING",
        "LATENT",
        "IMAGE",
        "MASK",
        "CONTROL_NET",
        "CLIP_VISION",
        "SIGMAS",
        "SAMPLER",
        "GUIDER",
        "NOISE",
    }
)
"""Kinds of inputs that only another node can fill (ComfyUI's own nodes, 0.3.64)."""
Inputs = Mapping[str, list[Any]]
"""By name: the kind (or the list of choices) and its limits."""
Nodes = dict[str, Inputs]
"""Inputs of each kind of node."""


def fetch_nodes(options: ComfyOptions, *, key: str, place: str) -> Nodes:
    """Ask the servers about the workflow's nodes; the answer is that of the first one where they agree. Free.

    Raises:
        ConfigError: No server answers, or one lacks a node or a model of the workflow.
    """
    found: Nodes = {}
    headers = build_authorization(key)
    reached = 0
    for server in options.servers:
        try:
            asked = {kind: _fetch_inputs(server, kind, headers, place) for kind in _list_kinds(options)}
        except NO_PAGE as exc:
            current_display.get().warn(f"{place}: {server} does not answer ({type(exc).__name__}: {exc})")
            continue
        reached += 1
        nodes = {kind: inputs for kind, inputs in asked.items() if inputs is not None}
        if missing := [kind for kind in asked if kind not in nodes]:
            raise ConfigError(f"{place}.workflow: {server} has no node {_name_kinds(options, missing)}; {TO_DO}")
        _check_workflow(options, nodes, f"{place}.workflow", server)
        found = found or nodes
    if not reached:
        raise ConfigError(f"{place}.servers: none answers; start ComfyUI, or set check_nodes: false")
    return found


def find_limit_problems(job: Job, options: ComfyOptions, nodes: Nodes) -> list[str]:
    """List the job's values that the nodes do not take; each `input: reason`."""
    found = []
    for place, value in list_job_values(job, options, images={}).items():
        node = options.workflow[place.node]
        limits = nodes.get(node["class_type"], {}).get(place.name)
        if limits and limits[0] in LINKS:
            reason: str | None = f"takes a link to a node that gives {limits[0]}, no value"
        else:
            reason = _explain_value(limits, value)
        if reason:
            found.append(f"{place} ({node['class_type']}): {reason}")
    return found


def _list_kinds(options: ComfyOptions) -> list[str]:
    return sorted({node["class_type"] for node in options.workflow.values()})


def _name_kinds(options: ComfyOptions, kinds: Sequence[str]) -> str:
    """Kinds of nodes with their numbers: `Upscale (node 12)`."""
    numbers = {
        kind: ", ".join(number for number, node in options.workflow.items() if node["class_type"] == kind)
        for kind in kinds
    }
    return ", ".join(f"{kind} (node {listed})" for kind, listed in numbers.items())


def _fetch_inputs(server: str, kind: str, headers: Mapping[str, str], place: str) -> Inputs | None:
    """The inputs of a kind of node; None where the server does not have it."""
    status, page = fetch_page(f"{server}/object_info/{quote(kind, safe='')}", headers)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise ConfigError(f"{place}: {server} does not accept the key ({status})")
    facts = page.get(kind) if isinstance(page, Mapping) else None
    if not isinstance(facts, Mapping):
        return None
    inputs = facts.get("input")
    groups = [inputs.get(name) for name in ("required", "optional")] if isinstance(inputs, Mapping) else []
    return {
        name: limits
        for group in groups
        if isinstance(group, Mapping)
        for name, limits in group.items()
        if isinstance(limits, list) and limits
    }


def _check_workflow(options: ComfyOptions, nodes: Nodes, place: str, server: str) -> None:
    """Pass where the server has every choice that the workflow makes: its models above all."""
    mapped = {(where.node, where.name) for name in options.inputs for where in options.list_places(name)}
    for number, name, value in _list_values(options):
        kind = options.workflow[number]["class_type"]
        # What a row fills in is held against the limits with the row.
        if (number, name) not in mapped and (reason := _explain_value(nodes[kind].get(name), value)):
            raise ConfigError(f"{place}: node {number} ({kind}): {name}: {reason} (on {server})")


def _list_values(options: ComfyOptions) -> Iterator[tuple[str, str, Any]]:
    """Node, input and value of everything that is no link to another node."""
    for number, node in options.workflow.items():
        for name, value in node["inputs"].items():
            if not isinstance(value, list):
                yield number, name, value


def _explain_value(limits: list[Any] | None, value: Any) -> str | None:
    """Why an input does not take a value; None where it does, or nobody knows."""
    if limits is None:
        return None
    facts = limits[1] if len(limits) > 1 and isinstance(limits[1], Mapping) else {}
    # Newer nodes name their choices beside the kind, older ones in its place.
    choices = limits[0] if isinstance(limits[0], list) else facts.get("options")
    if isinstance(choices, list) and limits[0] in (choices, "COMBO"):
        # Nodes that load uploaded files list what was there when they were asked.
        if value in choices or facts.get("image_upload"):
            return None
        shown = ", ".join(map(str, choices[:MOST_SHOWN])) or "none"
        return f"{value!r} is not there; it has: {shown}" + (", ..." if len(choices) > MOST_SHOWN else "")
    low, high = facts.get("min"), facts.get("max")
    if limits[0] in ("INT", "FLOAT") and isinstance(value, int | float):
        if isinstance(low, int | float) and value < low:
            return f"{value} is less than {low}"
        if isinstance(high, int | float) and value > high:
            return f"{value} is more than {high}"
    return None
