"""An ended prompt as the server's history tells it: the files that it saved, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.backends.prices import parse_seconds
from tasks.core.errors import JobError, Transient
from tasks.core.values import parse_identifier

MOST_FILES = 64
"""Of one prompt that are looked at."""
# A node that only shows an image saves it here; it is gone with the next restart, and was not asked for.
TEMPORARY = "temp"
_INTERRUPTED, _ERROR, _START, _SUCCESS = (
    "execution_interrupted",
    "execution_error",
    "execution_start",
    "execution_success",
)


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file in the server's output folder."""

    name: str
    subfolder: str
    folder_type: str = "output"

    @property
    def query(self) -> dict[str, str]:
        """The query of the address that shows it."""
        return {"filename": self.name, "subfolder": self.subfolder, "type": self.folder_type}


def find_entry(history: Mapping[str, Any], prompt_id: str) -> Mapping[str, Any] | None:
    """The prompt's entry; None where there is none.

    Raises:
        ValueError: There is one, and it cannot be read.
    """
    entry = history.get(prompt_id)
    if prompt_id in history and not isinstance(entry, Mapping):
        raise ValueError("the prompt's entry in the history cannot be read")
    return entry


def find_files(entry: Mapping[str, Any], nodes: Sequence[str], *, only: bool) -> list[SavedFile]:
    """The saved images, in the order of the nodes.

    Args:
        entry: Of the history.
        nodes: Numbers of the nodes whose images come first, in this order.
        only: True: no other node's images are taken.
    """
    outputs = entry.get("outputs")
    if not isinstance(outputs, Mapping):
        return []
    # The server lists them as they ended, which its cache changes from prompt to prompt: the job's own image would be
    # that of another node in another row.
    chosen = [node for node in nodes if node in outputs]
    if not only:
        chosen += [node for node in outputs if node not in nodes]
    found = [file for node in chosen for file in _list_images(outputs[node])]
    return [file for file in found if file.folder_type != TEMPORARY][:MOST_FILES]


def has_succeeded(entry: Mapping[str, Any]) -> bool:
    """True unless the entry says that the prompt failed."""
    status = entry.get("status")
    return not isinstance(status, Mapping) or status.get("status_str") != "error"


def read_seconds(entry: Mapping[str, Any]) -> float | None:
    """Seconds from its start to its end, by the server's own times (milliseconds); None where it does not tell."""
    times = {name: facts.get("timestamp") for name, facts in _list_messages(entry)}
    began, ended = times.get(_START), times.get(_SUCCESS)
    if isinstance(began, int | float) and isinstance(ended, int | float):
        return parse_seconds((ended - began) / 1_000)
    return None


def build_failure(entry: Mapping[str, Any], error_text: Any) -> JobError:
    """Why the prompt ended without an image."""
    for name, facts in reversed(_list_messages(entry)):
        if name == _INTERRUPTED:
            # Somebody pressed the button, or the server ended; another attempt may be let through.
            return Transient("it was interrupted on the server", kind="canceled")
        if name == _ERROR:
            node = f"{facts.get('node_type')} (node {facts.get('node_id')})"
            words = error_text(f"{node}: {facts.get('exception_message') or facts.get('exception_type')}")
            # Memory comes back when other work on the device ends; a wrong tensor shape stays wrong.
            if "OutOfMemory" in str(facts.get("exception_type")):
                return Transient(words, kind="out_of_memory")
            return JobError(words)
    return JobError("the prompt ended with an error that the server does not name")


def _list_images(output: Any) -> list[SavedFile]:
    images = output.get("images") if isinstance(output, Mapping) else None
    found = [_parse_file(image) for image in images[:MOST_FILES]] if isinstance(images, list) else []
    return [file for file in found if file is not None]


def _parse_file(image: Any) -> SavedFile | None:
    if not isinstance(image, Mapping):
        return None
    name = parse_identifier(image.get("filename"))
    subfolder, folder_type = image.get("subfolder") or "", image.get("type") or "output"
    if name is None or not isinstance(subfolder, str) or not isinstance(folder_type, str):
        return None
    return SavedFile(name, subfolder, folder_type)


def _list_messages(entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    status = entry.get("status")
    messages = status.get("messages") if isinstance(status, Mapping) else None
    return [pair for message in (messages if isinstance(messages, list) else []) if (pair := _parse_message(message))]


def _parse_message(message: Any) -> tuple[str, Mapping[str, Any]] | None:
    """A name and its facts; None for what is no message."""
    match message:
        case [str(name), dict(facts)]:
            return name, facts
    return None
