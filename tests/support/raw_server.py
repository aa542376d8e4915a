"""A real server on loopback that answers each request with the bytes that a test gives, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """The answers, in turn (the last one again and again), and the requests."""

    url: str
    answers: list[bytes | None]
    """A whole HTTP answer; None closes the connection without a word."""
    requests: list[str] = field(default_factory=list)
    """Head and body of each request."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                body = await reader.readexactly(length)
                self.requests.append((head + body).decode(errors="replace"))
                data = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if data is None:
                    break
                writer.write(data)
                await writer.drain()
                if b"connection: close" in data.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(status: str, body: str = "", content_type: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP answer; underscores in header names become dashes."""
    lines = {"Content-Type": content_type, "Content-Length": str(len(body.encode())), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n{body}".encode()


@asynccontextmanager
async def raw_server(*answers: bytes | None) -> AsyncIterator[RawServer]:
    """A server with these answers, for the duration of the block."""
    state = RawServer("", list(answers))
    server = await asyncio.start_server(state.answer, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
