"""The dataset card: a README.md whose front matter tells the `datasets` library and the Hub how to open a folder.

Two folders have one: a batch's own (`metadata.parquet` beside `images/`) and a folder of tar shards.
Source: https://huggingface.co/docs/hub/datasets-cards and `datasets` 5.2, read 2026-11.
"""

from __future__ import annotations

from typing import Any

import yaml

from tasks.core.safe_text import escape_markdown
from tasks.metadata.columns import COLUMNS
from tasks.metadata.exports.features import build_sample_features
from tasks.metadata.exports.survey import Survey

BATCH_FILES = ["metadata.parquet", "images/**"]
SHARD_FILES = ["shard-*.tar"]
LICENSE_LINE = "# license: cc0-1.0  # yours to choose: https://huggingface.co/docs/hub/repositories-licenses\n"


def build_batch_card(name: str, batch: Survey) -> str:
    """The card of a batch's own folder."""
    return _build_card(name, batch, BATCH_FILES, {}, _COLUMNS_TEXT + _describe_rows_without_image(batch))


def build_shards_card(name: str, batch: Survey) -> str:
    """The card of a folder of tar shards.

    It spells the types out: without it a loader guesses them from the first five samples, and fails or loses what
    stands in later ones only.
    """
    features = {"dataset_info": {"features": build_sample_features(batch.extensions)}}
    return _build_card(name, batch, SHARD_FILES, features, _SAMPLES_TEXT + _COLUMNS_TEXT)


def build_folder_card(name: str, batch: Survey, files: list[str]) -> str:
    """The card of a folder whose images lie in these files, with the columns beside them."""
    return _build_card(name, batch, files, {}, _COLUMNS_TEXT)


def get_size_category(images: int) -> str:
    """The Hub's name of this order of magnitude."""
    # The Hub knows these names only, and warns about any other.
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    below = next((number for number in range(len(names)) if images < 10 ** (number + 3)), len(names))
    if below == len(names):
        return "n>1T" if images > 10**12 else "1B<n<10B"
    return f"{names[below - 1]}<n<{names[below]}" if below else f"n<{names[0]}"


def _build_card(name: str, batch: Survey, files: list[str], more: dict[str, Any], text: str) -> str:
    front = {
        "pretty_name": name,
        "task_categories": ["text-to-image"],
        "tags": ["synthetic", "image-generation"],
        "size_categories": [get_size_category(batch.images)],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}],
        **more,
    }
    # Through YAML: a batch's name may hold a colon or a quote.
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    name = escape_markdown(name)
    models = "".join(f"| {escape_markdown(model)} | {images} |\n" for model, images in batch.models.items())
    return (
        f"---\n{LICENSE_LINE}{head}---\n\n# {name}\n\n{batch.images} images that models made from prompts.\n\n"
        f"| model | images |\n| --- | ---: |\n{models}\n"
        f'```python\nimport datasets\n\nimages = datasets.load_dataset(".", split="train")  # or this data set\'s name\n```\n'
        f"{text}"
    )


def _describe_rows_without_image(batch: Survey) -> str:
    if not batch.without_image:
        return ""
    return (
        f"\n{batch.without_image} more rows have no image: `image` is null there, and `status` and "
        '`error_kind` say why. `images.filter(lambda status: status == "succeeded", input_columns="status")` leaves them out.\n'
    )


_SAMPLES_TEXT = (
    "\nEach sample is the image, `txt` (its prompt) and `json` (everything known about it; what is null is left out).\n"
)
_COLUMNS_TEXT = "\n| column | is |\n| --- | --- |\n" + "".join(f"| `{c.name}` | {c.description} |\n" for c in COLUMNS)
