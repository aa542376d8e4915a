"""Files of a model: in a folder, or in the hub's cache on this machine.

The network is used in one place, `fetch_model`, before a batch starts; what is loaded afterwards is on disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.core.errors import ConfigError
from tasks.core.installation import install_command

PACKAGES = ("torch", "diffusers", "transformers", "accelerate")
"""Packages that loading a pipeline needs; the extra `local` brings them."""
QUANTIZER = "optimum.quanto"
"""The package that `quantize` needs beside them, from the same extra."""
INDEX_NAME = "model_index.json"
LONGEST_ERROR = 200
"""Characters of another library's error that a message of ours repeats."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model as the configuration names it."""

    name: str
    """A hub id (`owner/name`), or the folder's absolute path."""
    is_folder: bool


def parse_model(text: str) -> ModelReference:
    """Resolve a model reference: a folder that exists, else an id on the hub.

    Raises:
        ValueError: It can be neither.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r} is not a model: there is no such user") from None
    # A folder of that name wins, so that a local copy is used where there is one.
    if text and path.is_dir():
        return ModelReference(str(path.resolve()), is_folder=True)
    if _HUB_ID.fullmatch(text):
        return ModelReference(text, is_folder=False)
    # A path that does not exist yet is a path all the same; its message must not speak of the hub.
    if "/" in text or "\\" in text:
        return ModelReference(str(path.absolute()), is_folder=True)
    raise ValueError(f"{text!r} is not a model; write owner/name, or the path of a folder")


def find_missing(model: ModelReference, *, quantize: bool = False) -> str | None:
    """Name the missing part without which nothing can be made; None when all is here. Imports nothing, asks nobody."""
    if any(find_spec(package) is None for package in PACKAGES) or (quantize and not _has_quantizer()):
        return f"install what it needs with: {install_command('local')}"
    if not model.is_folder:
        return None
    if not Path(model.name).is_dir():
        return f"there is no folder {model.name}"
    if not (Path(model.name) / INDEX_NAME).is_file():
        return f"{model.name} holds no {INDEX_NAME}: it is not a saved pipeline"
    return None


def _has_quantizer() -> bool:
    try:
        return find_spec(QUANTIZER) is not None
    except ModuleNotFoundError:
        return False


def fetch_model(model: ModelReference) -> Path:
    """The folder with the model's files, which are downloaded from the hub where this machine does not have them all.

    Raises:
        ConfigError: The hub cannot be reached, has no such model, or does not give it to this user.
    """
    try:
        # Offline first: a batch that has its files must not wait for the hub.
        return find_local_files(model)
    except ConfigError:
        return _download(model.name)


def find_local_files(model: ModelReference) -> Path:
    """The folder with the model's files; the network is not used.

    Raises:
        ConfigError: They are not all on this machine.
    """
    if model.is_folder:
        if reason := find_missing(model):
            raise ConfigError(reason)
        return Path(model.name)
    diffusers = quiet_diffusers()
    try:
        return Path(diffusers.DiffusionPipeline.download(model.name, local_files_only=True))
    except (OSError, ValueError):
        raise ConfigError(
            f"model: {model.name} is not on this machine; download it with `hf download {model.name}`, "
            "or name a folder that holds it"
        ) from None


def get_snapshot(model: ModelReference, folder: Path) -> str | None:
    """The version of a hub's model in this folder, which the hub's cache names after the commit."""
    return None if model.is_folder else folder.name


def quiet_diffusers() -> Any:
    """The library, its bars and advice (and those of transformers) kept off the user's screen: errors still come."""
    # The library writes bars and advice of its own to the screen, which the run owns.
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    return diffusers


def _download(name: str) -> Path:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    diffusers = quiet_diffusers()
    try:
        return Path(diffusers.DiffusionPipeline.download(name))
    except (OSError, ValueError) as exc:
        # The cause is what happened; diffusers wraps it in an error of its own.
        match exc.__cause__ or exc:
            case GatedRepoError():
                reason = "is given to those only who accepted its terms: do that on its page, then `hf auth login`"
            case RepositoryNotFoundError():
                reason = "is not known to the hub, or private: `hf auth login` then"
            case cause:
                reason = (
                    f"is not on this machine, and the hub cannot be asked for it ({shorten_error(cause)}); download it with "
                    f"`hf download {name}` where there is a network, or name a folder that holds it"
                )
    raise ConfigError(f"model: {name} {reason}")


def shorten_error(error: BaseException) -> str:
    """An error of somebody else's library, short enough for one line of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 3] + "..."
