"""`clip` and `pickscore`: agreement of an image with its prompt, by CLIP models of the `transformers` library.

`clip` is the cosine similarity. PickScore (2023) is a CLIP model that was trained on people's choices between images of one
prompt; its score is the similarity times the model's own scale.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

from tasks.core.errors import ConfigError
from tasks.core.installation import install_command
from tasks.core.safe_text import error_text
from tasks.ledger.scores import Value
from tasks.scores.base import Sample, ScoreContext

DECIMALS = 4


class Clip:
    """The score `clip`."""

    batch = 16
    name: ClassVar[str] = "clip"
    model: ClassVar[str] = "openai/clip-vit-base-patch32"
    processor: ClassVar[str] = model
    model_variable: ClassVar[str] = "IMAGEN_CLIP_MODEL"
    is_scaled: ClassVar[bool] = False

    def __init__(self, context: ScoreContext) -> None:
        """Load the weights: from the library's cache, else over the network, or from a folder that the variable names.

        Raises:
            ConfigError: The library is not installed, or the weights cannot be had.
        """
        if missing := [package for package in ("torch", "transformers") if find_spec(package) is None]:
            raise ConfigError(
                f"score {self.name!r} needs {missing[0]}, which is not installed; install it with: {install_command('local')}"
            )
        import torch  # noqa: PLC0415  gigabytes, for this score alone
        from transformers import CLIPModel, CLIPProcessor  # noqa: PLC0415  likewise
        from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415  likewise

        # A bar for each file of weights would go through the progress of the images.
        disable_progress_bar()
        own = os.environ.get(self.model_variable)
        self._torch = torch
        self._device = context.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            # Weights that are data: a pickled file would run whatever it holds.
            model = CLIPModel.from_pretrained(own or self.model, use_safetensors=True)
            self._processor: Any = CLIPProcessor.from_pretrained(own or self.processor)
            self._model: Any = model.to(self._device).eval()
        # Missing files, no network, a damaged file, a device that there is not: each library raises its own.
        except Exception as exc:
            raise ConfigError(
                f"score {self.name!r}: the weights of {own or self.model} cannot be loaded ({error_text(exc, most_chars=200)}). "
                f"They are fetched once, with a network; or set {self.model_variable} to a folder that holds them"
            ) from exc

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        """One number for each image: `clip` from -1 to 1; `pickscore` usually from 15 to 25."""
        prompts = [str(sample.row["prompt"]) for sample in samples]
        inputs = self._processor(
            text=prompts,
            images=[sample.image for sample in samples],
            return_tensors="pt",
            padding=True,
            truncation=True,
            # 77 tokens; a folder of one's own may not say so to its tokenizer.
            max_length=self._model.config.text_config.max_position_embeddings,
        ).to(self._device)
        with self._torch.inference_mode():
            found = self._model(**inputs)
            texts, images = (_normalize(part) for part in (found.text_embeds, found.image_embeds))
            scale = self._model.logit_scale.exp() if self.is_scaled else 1.0
            # Each image with its own prompt, not with those of the others.
            values = ((texts * images).sum(dim=-1) * scale).float().cpu().tolist()
        return [{self.name: round(value, DECIMALS)} for value in values]


class PickScore(Clip):
    """The score `pickscore`."""

    name = "pickscore"
    model = "yuvalkirstain/PickScore_v1"
    # The model's page loads its processor from there.
    processor = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    model_variable = "IMAGEN_PICKSCORE_MODEL"
    is_scaled = True


def _normalize(embeddings: Any) -> Any:
    return embeddings / embeddings.norm(dim=-1, keepdim=True)
