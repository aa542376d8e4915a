"""A real headless Firefox, asked over WebDriver BiDi, which it speaks itself: no driver of its own is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.support.waiting import PATIENCE_S, eventually

PROGRAM = "firefox-esr"
LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
PREFERENCES = {"browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False}


def missing_firefox() -> str | None:
    """Name what a test in Firefox lacks on this machine; None if nothing."""
    return None if shutil.which(PROGRAM) else f"NOT RUN: {PROGRAM} missing (`make soak` installs it where it can)"


class Firefox:
    """One window."""

    def __init__(self, socket: Connection) -> None:
        """Begin a session, and open a window in it: only such a one has the focus, which keys need."""
        self._socket, self._number = socket, 0
        self._complaints: list[str] = []
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        self._window = self._ask("browsingContext.create", type="window")["context"]

    def open(self, address: str) -> None:
        """Load a page, also where only the part after `#` is another one."""
        for url in ("about:blank", address):
            self._ask("browsingContext.navigate", context=self._window, url=url, wait="complete")

    def resize(self, width: int, height: int) -> None:
        """Give the page this many CSS pixels."""
        self._ask("browsingContext.setViewport", context=self._window, viewport={"width": width, "height": height})

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is; those without a character as Selenium has them."""
        strokes = [{"type": kind, "value": key} for key in "".join(keys) for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": strokes}]
        self._ask("input.performActions", context=self._window, actions=actions)

    def run(self, script: str) -> Any:
        """What a script returns, by way of JSON."""
        expression = f"JSON.stringify((() => {{ {script} }})() ?? null)"
        target = {"context": self._window}
        answer = self._ask("script.evaluate", expression=expression, target=target, awaitPromise=False)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def wait_for(self, script: str) -> Any:
        """The first true value that this script gives."""
        return eventually(lambda: self.run(script))

    def read_complaints(self) -> list[str]:
        """Errors and warnings of the console since the last call."""
        found, self._complaints = self._complaints, []
        return found

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if answer.get("id") == self._number:
                assert answer["type"] == "success", answer
                return answer["result"]
            # What comes unasked between two answers is what was subscribed to.
            entry = answer.get("params", {})
            if entry.get("level") in {"error", "warn"}:
                self._complaints.append(entry["text"])


@contextmanager
def run_firefox(profile: Path) -> Iterator[Firefox]:
    """A browser with a profile of its own, which ends with the block."""
    profile.mkdir(exist_ok=True)
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [PROGRAM, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(profile)]
    # Its other lines would fill a pipe that nobody reads any more.
    log = profile / "stderr.log"
    with log.open("w") as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        try:
            address = eventually(lambda: process.poll() is not None or LISTENS.search(log.read_text()))
            assert process.poll() is None, log.read_text()
            # No keep-alive: a page of a million rows may keep it from answering a ping for longer than any limit.
            with connect(f"{address[1]}/session", max_size=None, open_timeout=PATIENCE_S, ping_interval=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
