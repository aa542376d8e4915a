"""A loaded text-to-image pipeline: from files on disk to images, on the device and in the precision that were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tasks.backends.diffusers_local.calls import IMAGE, MASK, TEXT, Call, Signature, merge_calls
from tasks.backends.diffusers_local.device import PipelineSpec, choose_device, choose_dtype, is_out_of_memory
from tasks.backends.diffusers_local.model import (
    INDEX_NAME,
    find_local_files,
    get_snapshot,
    quiet_diffusers,
    shorten_error,
)
from tasks.backends.diffusers_local.prompts import keep_encoded_prompts
from tasks.backends.diffusers_local.quantizing import UNQUANTIZED, quantize
from tasks.core.errors import BatchStopped, ConfigError


class Abandoned(Exception):
    """Raised inside a pipeline's call when nobody waits for any of its images any more."""


@dataclass(frozen=True, slots=True)
class MadeImage:
    """The image that a pipeline made for one call."""

    image: Any
    """A Pillow image."""
    flagged: bool
    """True if the pipeline's own safety checker blanked it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPipeline:
    """A pipeline in memory. Its calls block, and must not overlap."""

    pipe: Any
    signatures: Mapping[str, Signature]
    """By what a call starts from; kinds that it has no pipeline for are missing."""
    version: str | None
    """The hub's commit; None for a folder."""
    other: Callable[[str], Any] = field(default=lambda _: None)
    """The pipeline for calls that start from images; it has the same weights."""
    put_back: Callable[[], None] = field(default=lambda: None)
    """Makes good what a call that ended half-way has left behind."""

    def problems(self, call: Call) -> list[str]:
        """List the inputs that would be refused or ignored, each as `input: reason`."""
        return find_problems(self.signatures, call)

    def make(self, calls: Sequence[Call], *, abandoned: Callable[[], bool]) -> list[MadeImage]:
        """One pipeline call for calls of one group; `abandoned` is asked after each step.

        Each image has a generator of its own, on the CPU: its noise depends on its seed alone, not on its
        neighbours, the batch size or the device.

        Raises:
            Abandoned: Nobody waits any more.
            Exception: Whatever the pipeline raises.
        """
        import torch

        kind = calls[0].kind
        if len(calls) > 1 and self._edits(kind):
            return [image for call in calls for image in self.make([call], abandoned=abandoned)]
        takes = self.signatures[kind].defaults
        arguments = merge_calls(calls, takes)
        arguments["generator"] = [torch.Generator("cpu").manual_seed(call.seed) for call in calls]
        if "callback_on_step_end" in takes:
            arguments["callback_on_step_end"] = _build_step_check(abandoned)
        try:
            made = (self.pipe if kind == TEXT else self.other(kind))(**arguments)
        except BaseException:
            self.put_back()
            raise
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(calls)
        return [MadeImage(image, bool(flag)) for image, flag in zip(made.images, flagged, strict=True)]

    def _edits(self, kind: str) -> bool:
        """True if one class makes images of words and of images: such models (FLUX.2) take several as one subject."""
        return kind != TEXT and self.signatures[kind].pipeline == self.signatures[TEXT].pipeline


def find_problems(signatures: Mapping[str, Signature], call: Call) -> list[str]:
    """List the inputs of a call that the pipelines would refuse or ignore, each as `input: reason`."""
    signature = signatures.get(call.kind)
    if signature is None:
        return [f"{call.kind}: {signatures[TEXT].pipeline} has no pipeline that starts from one"]
    return signature.problems(call)


def read_signatures(folder: Path) -> Mapping[str, Signature]:
    """Read the inputs of the pipeline saved in a folder, and of those of the same model that start from images.

    Its weights are not read.

    Raises:
        ConfigError: It is no text-to-image pipeline, or one that this diffusers does not know.
    """
    diffusers = quiet_diffusers()
    from diffusers.pipelines.auto_pipeline import (
        AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        AUTO_INPAINT_PIPELINES_MAPPING,
        AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
    )

    try:
        name = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{folder / INDEX_NAME}: cannot be read ({shorten_error(exc)})") from None
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if kind is None or kind not in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values():
        raise ConfigError(
            f"{name} in {folder / INDEX_NAME} is no text-to-image pipeline of diffusers {diffusers.__version__}"
        )
    model = next(key for key, value in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if value is kind)
    classes = {
        TEXT: kind,
        IMAGE: AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(model),
        MASK: AUTO_INPAINT_PIPELINES_MAPPING.get(model),
    }
    return {what: Signature.of(each.__name__, each.__call__) for what, each in classes.items() if each is not None}


def load_pipeline(spec: PipelineSpec) -> LoadedPipeline:
    """Read the weights from disk and put them where they are used. Blocks for seconds to minutes; no network.

    Raises:
        BatchStopped: It cannot be loaded, so nobody's image can be made.
    """
    try:
        folder = find_local_files(spec.model)
        device = choose_device(spec)
        pipe = _load(folder, spec, device)
        return LoadedPipeline(
            pipe=pipe,
            signatures=read_signatures(folder),
            version=get_snapshot(spec.model, folder),
            other=cache(lambda kind: _build_other(pipe, kind)),
            put_back=_restore_after_failure(pipe),
        )
    except ConfigError as exc:
        raise BatchStopped("model", str(exc)) from None
    except Exception as exc:  # noqa: BLE001  a broken file may raise anything
        if is_out_of_memory(exc):
            reason = f"does not fit into the memory of {spec.device}: set quantize, or offload to model or sequential"
        else:
            reason = f"cannot be loaded ({type(exc).__name__}: {shorten_error(exc)})"
        raise BatchStopped("model", f"{spec.model.name} {reason}; then resume") from None


def _load(folder: Path, spec: PipelineSpec, device: str) -> Any:
    diffusers = quiet_diffusers()
    pipe = diffusers.AutoPipelineForText2Image.from_pretrained(
        str(folder), dtype=choose_dtype(spec.dtype, device), local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    if spec.quantize != UNQUANTIZED:
        quantize(pipe, spec.quantize)
    match spec.offload:
        case "model":
            pipe.enable_model_cpu_offload(device=device)
        case "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        case _:
            pipe.to(device)
    keep_encoded_prompts(pipe)
    return pipe


def _restore_after_failure(pipe: Any) -> Callable[[], None]:
    """Clean up as a pipeline does at the end of a call; diffusers 0.42 does so only after success.

    Without it an offloaded part stays on the device, beside the next call's first one, and a decoder that was given more
    bits for its work keeps them, and fits the rest no more.
    """
    decoder = getattr(pipe, "vae", None)
    dtype = getattr(decoder, "dtype", None)

    def put_back() -> None:
        pipe.maybe_free_model_hooks()
        if decoder is not None and decoder.dtype != dtype:
            decoder.to(dtype=dtype)

    return put_back


def _build_other(pipe: Any, kind: str) -> Any:
    """The pipeline that starts from images, around the components of the one that is loaded: no weight is twice there."""
    diffusers = quiet_diffusers()
    auto = diffusers.AutoPipelineForInpainting if kind == MASK else diffusers.AutoPipelineForImage2Image
    other = auto.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    keep_encoded_prompts(other)
    return other


def _build_step_check(abandoned: Callable[[], bool]) -> Callable[..., dict[str, Any]]:
    def after_step(_pipe: Any, _step: int, _timestep: Any, kept: dict[str, Any]) -> dict[str, Any]:
        if abandoned():
            raise Abandoned
        return kept

    return after_step
