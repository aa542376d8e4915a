"""Pure functions from a job to a pipeline's call: the same call for the same job, always."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.backends.diffusers_local.options import SIDE_GRID_PX, DiffusersOptions
from tasks.backends.sizes import resolve_requested_size
from tasks.core.identity import normalize_prompt, to_canonical_json
from tasks.core.records import Job, ReferenceImage
from tasks.store.references import get_references

FROM_THE_ROW = frozenset(
    {"prompt", "negative_prompt", "width", "height", "generator", "num_images_per_prompt", "image", "mask_image"}
)
TEXT, IMAGE, MASK = "text", "image", "mask"
"""The starting points of a call; each has a pipeline of its own, all with the same weights."""
SIDES = ("width", "height")
OURS = frozenset({"output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs"})
STEPS, GUIDANCE, TRUE_GUIDANCE = "num_inference_steps", "guidance_scale", "true_cfg_scale"
_MORE_PROMPTS = ("prompt_", "negative_prompt_")
"""`prompt_2` and the like: the same text for every image has to be said once for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One image as a pipeline is asked for it."""

    prompt: str
    negative_prompt: str | None
    seed: int
    width: int
    height: int
    arguments: Mapping[str, Any]
    """Everything else, as the pipeline calls it."""
    references: Mapping[str, ReferenceImage] = field(default_factory=dict)
    """The files of the images that it starts from, by column."""
    images: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The same as Pillow images of the call's size, when they have been read."""

    @property
    def kind(self) -> str:
        """The starting point of the call."""
        return MASK if MASK in self.references else IMAGE if IMAGE in self.references else TEXT

    @property
    def group(self) -> str:
        """Calls of equal groups can be made together."""
        return to_canonical_json([self.kind, self.width, self.height, self.negative_prompt is None, self.arguments])


def build_call(job: Job, options: DiffusersOptions) -> Call:
    """The job's call; a row's own values win over the instance's, an option of null takes a default away."""
    given = dict(job.backend_opts)
    if "guidance" in given:  # the manifest's column
        given.setdefault(GUIDANCE, given.pop("guidance"))
    arguments = {STEPS: job.steps or options.default_steps, GUIDANCE: options.default_guidance, **given}
    width, height = resolve_requested_size(job, default=options.default_size, grid_px=SIDE_GRID_PX)
    return Call(
        prompt=normalize_prompt(job.prompt),
        negative_prompt=job.negative_prompt,
        seed=job.seed,
        width=width,
        height=height,
        arguments={name: value for name, value in arguments.items() if value is not None},
        references=get_references(job),
    )


def merge_calls(calls: Sequence[Call], takes: Collection[str] = SIDES) -> dict[str, Any]:
    """The arguments of one pipeline call for calls of one group, generators aside.

    Args:
        calls: The calls.
        takes: Arguments that the pipeline has; some take the size from the image that they start from.
    """
    first = calls[0]
    arguments = {
        # Pipelines that have `prompt_2` want it for each image, and one text is meant for all of them.
        name: [value] * len(calls) if isinstance(value, str) and name.startswith(_MORE_PROMPTS) else value
        for name, value in first.arguments.items()
    }
    arguments |= {"prompt": [call.prompt for call in calls]}
    arguments |= {name: getattr(first, name) for name in SIDES if name in takes}
    for column, argument in ((IMAGE, "image"), (MASK, "mask_image")):
        if column in first.references:
            arguments[argument] = [call.images[column] for call in calls]
    if first.negative_prompt is not None:
        arguments["negative_prompt"] = [call.negative_prompt for call in calls]
    return arguments


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a pipeline's call."""

    pipeline: str
    """Name of its class."""
    defaults: Mapping[str, Any]
    """Each argument that it names, with its default."""

    @classmethod
    def of(cls, name: str, call: Callable[..., Any]) -> Signature:
        """Read it off the call; what an open `**kwargs` would swallow does not count."""
        named = inspect.signature(call).parameters.values()
        return cls(name, {each.name: each.default for each in named if each.kind is not each.VAR_KEYWORD})

    def problems(self, call: Call) -> list[str]:
        """List the inputs that the pipeline would refuse or silently ignore, each as `input: reason`."""
        return [*self._size(call), *self._references(call), *self._negative_prompt(call), *self._arguments(call)]

    def _references(self, call: Call) -> list[str]:
        return [
            f"{column}: is an address; a local model fetches nothing, so give the path of a file"
            for column, reference in call.references.items()
            if not reference.is_file
        ]

    def _size(self, call: Call) -> list[str]:
        sides = {"width": call.width, "height": call.height}
        return [
            f"{name}: {side_px} is not a multiple of {SIDE_GRID_PX}"
            for name, side_px in sides.items()
            if side_px % SIDE_GRID_PX
        ]

    def _negative_prompt(self, call: Call) -> list[str]:
        if call.negative_prompt is None:
            return []
        if "negative_prompt" not in self.defaults:
            return [f"negative_prompt: {self.pipeline} takes none"]
        if TRUE_GUIDANCE in self.defaults:
            guidance = call.arguments.get(TRUE_GUIDANCE, self.defaults[TRUE_GUIDANCE])
            # At a guidance of 1 the negative prompt is not looked at, and the row would not do what it says.
            if isinstance(guidance, int | float) and guidance <= 1:
                return [f"negative_prompt: has no effect unless backend_opts has a {TRUE_GUIDANCE} above 1"]
        return []

    def _arguments(self, call: Call) -> list[str]:
        problems = []
        for name in call.arguments:
            if name in FROM_THE_ROW:
                problems.append(f"{name}: is no option; a row's own columns say it")
            elif name in OURS:
                problems.append(f"{name}: is set by imagen")
            elif name not in self.defaults:
                problems.append(f"{name}: {self.pipeline} has no such argument")
        return problems
