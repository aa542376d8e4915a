"""Looks at prompts: which server has one, and how it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import httpx

from tasks.backends.comfyui.graph import FOLDER, build_file_prefix, list_taken_nodes
from tasks.backends.comfyui.history import (
    MOST_FILES,
    SavedFile,
    build_failure,
    find_files,
    has_succeeded,
    read_seconds,
)
from tasks.backends.comfyui.options import ComfyOptions
from tasks.backends.comfyui.pool import ServerPool
from tasks.backends.comfyui.server import ComfyServer
from tasks.core.errors import BadImage, Transient

QUEUE_LOOK_EVERY = 4
"""Looks at the history for each one at the queue, whose answer holds the graphs of all that wait."""

ENDINGS = ("png", "webp")
"""Of the files that ComfyUI's own nodes save."""
SAVES_IMAGES = "SaveImage"


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """A saved image and where it lies."""

    server: ComfyServer
    file: SavedFile


Ended = tuple[list[RemoteImage], float | None]
"""The images of a prompt and the seconds that it took; the last None where the server does not tell."""


@dataclass(frozen=True, slots=True)
class PromptWatch:
    """Looks at the prompts of one instance."""

    pool: ServerPool
    options: ComfyOptions
    _looks: Counter[str] = field(default_factory=Counter)

    def forget(self, prompt_id: str) -> None:
        """Note that nobody waits for the prompt any more."""
        self.pool.release(prompt_id)
        self._looks.pop(prompt_id, None)

    async def look(self, prompt_id: str) -> Ended | None:
        """The images of an ended prompt and its seconds; None while it waits or runs.

        Raises:
            JobError: No server has it any more, it failed, or its server is away for too long.
            httpx.HTTPError: Its server does not answer now; asking again is free.
        """
        server = self.pool.get_server(prompt_id) or await self.find_server(prompt_id)
        if server is None:
            raise _build_loss("none of the servers")
        try:
            ended = await self._read_end(server, prompt_id)
        except httpx.HTTPError:
            # Its jobs go to the other servers; what it makes of them later is seen by nobody, and costs nothing.
            if self.pool.record_silence(server) >= self.options.server_patience_s:
                seconds = self.options.server_patience_s
                raise Transient(f"{server.url} has not answered for {seconds:.0f} s", kind="server_away") from None
            raise
        self.pool.record_answer(server)
        return ended

    async def _read_end(self, server: ComfyServer, prompt_id: str) -> Ended | None:
        entry = await server.read_entry(prompt_id)
        looks, self._looks[prompt_id] = self._looks[prompt_id], self._looks[prompt_id] + 1
        if entry is None:
            if looks % QUEUE_LOOK_EVERY or await server.is_queued(prompt_id):
                return None
            # It may have ended between the two questions.
            entry = await server.read_entry(prompt_id)
        if entry is None:
            # A restart empties queue and history; the files of a prompt that had ended are still there.
            if files := await self._find_saved(server, prompt_id):
                return [RemoteImage(server, file) for file in files], None
            raise _build_loss(server.url)
        if not has_succeeded(entry):
            raise build_failure(entry, server.error_text)
        files = find_files(entry, list_taken_nodes(self.options), only=self.options.outputs is not None)
        return [RemoteImage(server, file) for file in files], read_seconds(entry)

    async def find_server(self, prompt_id: str) -> ComfyServer | None:
        """The server that has the prompt, or an image of it; None where none has.

        Raises:
            httpx.HTTPError: It was not found, and a server did not answer.
        """
        trouble: httpx.HTTPError | None = None
        for server in self.pool.servers:
            try:
                if (
                    await server.read_entry(prompt_id) is not None
                    or await server.is_queued(prompt_id)
                    or await self._find_saved(server, prompt_id)
                ):
                    self.pool.place(prompt_id, server)
                    return server
            except httpx.HTTPError as exc:
                if self.pool.record_silence(server) < self.options.server_patience_s:
                    trouble = exc
        if trouble is not None:
            raise trouble
        return None

    async def _find_saved(self, server: ComfyServer, prompt_id: str) -> list[SavedFile]:
        """The images of an ended prompt by their names; none where it had not ended."""
        found = []
        for node in list_taken_nodes(self.options):
            try:
                files = await _find_files(server, build_file_prefix(prompt_id, node))
            except BadImage:
                # A server that is killed while it saves leaves half a file under the last name.
                return []
            # Other nodes with a prefix may save what is no image.
            if not files and self.options.workflow[node]["class_type"] == SAVES_IMAGES:
                return []
            found += files
        return found


async def _find_files(server: ComfyServer, prefix: str) -> list[SavedFile]:
    """The files of a prefix, which the server numbers from one.

    Raises:
        BadImage: One of them is not whole.
        httpx.HTTPError: As `ComfyServer.has_image`.
    """
    found: list[SavedFile] = []
    while len(found) < MOST_FILES:
        names = [SavedFile(f"{prefix}_{len(found) + 1:05d}_.{ending}", FOLDER) for ending in ENDINGS]
        existing = [name for name in names if await server.has_image(name)]
        if not existing:
            break
        found.append(existing[0])
    return found


def _build_loss(where: str) -> Transient:
    return Transient(f"the prompt is gone from {where}: it was taken out, or the server was restarted", kind="lost")
