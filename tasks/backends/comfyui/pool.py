"""The servers of one instance: which one a job goes to, where it lies, and which of them do not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tasks.backends.comfyui.server import ComfyServer

AWAY_PAUSE_S = 15.0
"""Until a server that did not answer is tried again."""


@dataclass(slots=True)
class ServerPool:
    """The servers, and what is known of each in this process."""

    servers: Sequence[ComfyServer]
    now_s: Callable[[], float]
    _placed: dict[str, ComfyServer] = field(default_factory=dict)
    """The server of each prompt that this process has sent or found."""
    _load: Counter[str] = field(default_factory=Counter)
    _silent_since_s: dict[str, float] = field(default_factory=dict)

    def list_candidates(self) -> list[ComfyServer]:
        """The servers in the order in which a job tries them: those that answer first, then the least busy."""
        return sorted(self.servers, key=lambda server: (self._is_away(server), self._load[server.url]))

    def get_server(self, prompt_id: str) -> ComfyServer | None:
        """The server that has the prompt; None where this process does not know."""
        return self._placed.get(prompt_id)

    def place(self, prompt_id: str, server: ComfyServer) -> None:
        """Note that the prompt is on this server."""
        if prompt_id not in self._placed:
            self._load[server.url] += 1
        self._placed[prompt_id] = server

    def release(self, prompt_id: str) -> None:
        """Note that nobody waits for the prompt any more."""
        if server := self._placed.pop(prompt_id, None):
            self._load[server.url] -= 1

    def record_answer(self, server: ComfyServer) -> None:
        """Note that a server answers."""
        self._silent_since_s.pop(server.url, None)

    def record_silence(self, server: ComfyServer) -> float:
        """Note that a server did not answer; for how many seconds it has been silent."""
        return self.now_s() - self._silent_since_s.setdefault(server.url, self.now_s())

    def _is_away(self, server: ComfyServer) -> bool:
        since_s = self._silent_since_s.get(server.url)
        # Tried again now and then: one that was restarted is as good as before.
        return since_s is not None and (self.now_s() - since_s) % (2 * AWAY_PAUSE_S) < AWAY_PAUSE_S
