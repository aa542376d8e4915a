"""Tokens that end after a while: asked for by a call or from a program, kept, and asked for anew."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Sequence

from tasks.core.errors import BatchStopped
from tasks.core.safe_text import error_text

COMMAND_TIMEOUT_S = 60.0
LONGEST_TOKEN = 16_384
"""Characters: OAuth tokens of large providers have some thousands."""


class TokenSource:
    """One token at a time, shared by all calls of an instance; usable inside one event loop."""

    def __init__(self, ask: Callable[[], Awaitable[str]], *, lasts_s: float, now_s: Callable[[], float]) -> None:
        """Ask for a token with `ask` and keep it for so long; `now_s` are monotonic seconds."""
        self._ask = ask
        self._lasts_s = lasts_s
        self._now_s = now_s
        self._token = ""
        # The first call asks at once.
        self._until_s = 0.0
        self._one_question = asyncio.Lock()

    async def get(self) -> str:
        """The token.

        Raises:
            BatchStopped: None can be had.
        """
        # Many jobs start together; one of them asks, and the others use its token.
        async with self._one_question:
            if not self._token or self._now_s() >= self._until_s:
                self._token = check_token(await self._ask())
                self._until_s = self._now_s() + self._lasts_s
            return self._token

    def forget(self, token: str) -> None:
        """Ask anew next time: the service does not take this one any more."""
        # A call that was sent with an older token must not throw away the new one.
        if token == self._token:
            self._token = ""


def check_token(text: str) -> str:
    """A token without white space around it.

    Raises:
        BatchStopped: It is none: empty, too long, or with signs that no header holds.
    """
    token = text.strip()
    # A line end inside would add a header of its own to every call.
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise BatchStopped("token", "what was given as the token is none; look at `before` or `token_command`")
    return token


async def run_token_command(command: Sequence[str]) -> str:
    """Return the token that the program prints. It runs without a shell, and its output is never shown.

    Raises:
        BatchStopped: It cannot be run, fails, or takes too long.
    """
    name = command[0]
    try:
        # No shell: a model's name or a path inside the arguments must not be able to become a command.
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except (OSError, ValueError) as exc:
        raise BatchStopped("token", f"token_command: {name} cannot be run ({exc})") from exc
    try:
        output, errors = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
    except TimeoutError:
        # A program that waits for a password would otherwise hang until the user looks.
        process.kill()
        await process.wait()
        raise BatchStopped("token", f"token_command: {name} gave nothing within {COMMAND_TIMEOUT_S:.0f} s") from None
    if process.returncode:
        words = error_text(errors.decode(errors="replace"), most_chars=500)
        raise BatchStopped("token", f"token_command: {name} failed ({process.returncode}: {words})")
    return output.decode(errors="replace")
