"""The calls to one ComfyUI server, and what each answer proves, decided here once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json, parse_json_object
from tasks.backends.client.calls import HttpCalls, build_refusal, require_free_answer
from tasks.backends.client.options import build_authorization
from tasks.backends.client.transport import MOST_BYTES, MOST_IMAGE_BYTES, TooLarge
from tasks.backends.comfyui.graph import FOLDER
from tasks.backends.comfyui.history import SavedFile, find_entry
from tasks.core.errors import Ambiguous, JobError, NotCreated, OutputGone, Rejected, Unfetched
from tasks.store.references import get_media_type

SERVICE = "ComfyUI"
# Seconds; a server that is busy in Python answers late, since it generates in the same process.
ANSWER_TIMEOUT_S = 60.0
MOST_ERRORS = 5


class ComfyServer:
    """One server; usable inside one event loop."""

    def __init__(self, url: str, *, key: str, key_env: str | None, connections: int) -> None:
        """Talk to `url`; `key` never shows up in a message."""
        self.url = url
        self._key_env = key_env
        self._calls = HttpCalls(
            base=url,
            headers=build_authorization(key),
            secrets=[key],
            connections=connections,
            answer_timeout_s=ANSWER_TIMEOUT_S,
        )

    async def submit(self, graph: Mapping[str, Any], prompt_id: str, *, taken: Collection[str]) -> None:
        """Put a graph into the queue under our own id. Call it once: the same id again is queued again.

        Args:
            graph: What is made.
            prompt_id: Its id.
            taken: Numbers of the nodes that must be able to save their images.

        Raises:
            NotCreated, Rejected: Nothing is in the queue.
            Ambiguous: It may be.
            BatchStopped: A proxy in front of the server does not accept the key.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": FOLDER}
        answer = await self._calls.pay("POST", "/prompt", json=body)
        body = parse_json_object(answer)
        errors = body.get("node_errors")
        if not answer.is_success:
            words = self.error_text(_read_refusal(body) or answer.reason_phrase or answer.status_code)
            # Its words quote inputs and names of models, which must not be read as moderation or credit.
            if answer.status_code == httpx.codes.BAD_REQUEST and isinstance(errors, Mapping):
                raise Rejected(words)
            raise build_refusal(answer, words, service=SERVICE, key_env=self._key_env)
        if body.get("prompt_id") != prompt_id:
            # A server that gives ids of its own could not be asked for this one again.
            raise Ambiguous("the answer to a submit does not name our prompt_id", cost_micros=None)
        if (refused := _list_refused_outputs(errors)) & set(taken):
            # The server goes on with the outputs that it accepts, and the job would end with fewer images than it has.
            with suppress(httpx.HTTPError):
                await self.cancel(prompt_id)
            raise Rejected(self.error_text(f"node {', '.join(sorted(refused))} saves nothing: {_read_refusal(body)}"))

    async def upload(self, name: str, data: bytes) -> str:
        """Put an image into the server's input folder; the name by which a node loads it. Free.

        Raises:
            NotCreated: The server did not take it, so nothing can be sent.
        """
        kind = get_media_type(data)
        fields = {"subfolder": FOLDER, "overwrite": "true", "type": "input"}
        try:
            answer = await self._calls.http.post(
                "/upload/image", data=fields, files={"image": (f"{name}.{kind.partition('/')[2]}", data, kind)}
            )
        except httpx.HTTPError as exc:
            raise NotCreated(f"an image could not be uploaded ({self._calls.describe_error(exc)})") from exc
        saved = parse_json_object(answer).get("name")
        if not answer.is_success or not isinstance(saved, str):
            raise NotCreated(f"an image could not be uploaded ({answer.status_code})")
        return f"{FOLDER}/{saved}"

    async def read_entry(self, prompt_id: str) -> Mapping[str, Any] | None:
        """The prompt's entry in the history; None while it runs, and after a restart of the server.

        Raises:
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """
        history = await self._get(f"/history/{prompt_id}")
        try:
            return find_entry(history, prompt_id)
        except ValueError as exc:
            raise httpx.DecodingError(str(exc)) from exc

    async def is_queued(self, prompt_id: str) -> bool:
        """True if the prompt waits or runs.

        Raises:
            BatchStopped, httpx.HTTPError: As `read_entry`.
        """
        return any(await self._find_in_queue(prompt_id))

    async def fetch(self, file: SavedFile) -> bytes:
        """The bytes of a saved image.

        Raises:
            Unfetched: They did not come; asking again may help.
            OutputGone: There is no such file any more.
            JobError: It is larger than any image.
        """
        try:
            answer = await self._calls.http.get("/view", params=file.query, extensions={MOST_BYTES: MOST_IMAGE_BYTES})
        except TooLarge as exc:
            raise JobError(f"the image is larger than {MOST_IMAGE_BYTES:,} bytes", kind="too_large") from exc
        except httpx.HTTPError as exc:
            raise Unfetched(f"the image could not be fetched ({self._calls.describe_error(exc)})") from exc
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone(f"{self.url} has no file {file.name} any more")
        if not answer.is_success:
            raise Unfetched(f"{self.url} answered {answer.status_code} for an image")
        return answer.content

    async def has_image(self, file: SavedFile) -> bool:
        """True if the output folder holds the image.

        Raises:
            BadImage: It holds a file of this name that is not a whole image.
            httpx.HTTPError: No answer, or one that says nothing.
        """
        answer = await self._calls.http.get("/view", params=file.query, extensions={MOST_BYTES: MOST_IMAGE_BYTES})
        # Only 404 says that there is none; any other refusal says nothing about the file.
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
        from tasks.store.images import measure  # noqa: PLC0415  commands that make no image load no Pillow

        await asyncio.to_thread(measure, answer.content)
        return True

    async def cancel(self, prompt_id: str) -> None:
        """Take the prompt out of the queue, or interrupt it while it runs; an ended one is left alone.

        Raises:
            httpx.HTTPError: No answer.
        """
        running, pending = await self._find_in_queue(prompt_id)
        if pending:
            await self._calls.http.post("/queue", json={"delete": [prompt_id]})
        # Only what is seen to run: older servers do not read the id, and would interrupt somebody else's prompt.
        if running:
            await self._calls.http.post("/interrupt", json={"prompt_id": prompt_id})

    def error_text(self, text: object) -> str:
        """The text, fit for a message."""
        return self._calls.error_text(text)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._calls.http.get(path)
        detail = self.error_text(answer.reason_phrase or answer.status_code)
        require_free_answer(answer, service=SERVICE, key_env=self._key_env, detail=detail)
        try:
            body = parse_json(answer)
        except ValueError:
            body = None
        # Taken for an empty answer, a page of a proxy would prove that the server has no such prompt.
        if not isinstance(body, dict):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return body

    async def _find_in_queue(self, prompt_id: str) -> tuple[bool, bool]:
        """Tell if it runs, and if it waits."""
        queue = await self._get("/queue")
        return _lists(queue.get("queue_running"), prompt_id), _lists(queue.get("queue_pending"), prompt_id)


def _lists(entries: Any, prompt_id: str) -> bool:
    """True if a part of the queue holds the prompt: each entry is `[number, id, graph, ...]`.

    Raises:
        httpx.DecodingError: An entry cannot be read, and it may be the prompt's.
    """
    ids = [
        entry[1] if isinstance(entry, list) and len(entry) > 1 else None
        for entry in (entries if isinstance(entries, list) else [None])
    ]
    if prompt_id not in ids and not all(isinstance(found, str) for found in ids):
        raise httpx.DecodingError("the server's queue cannot be read")
    return prompt_id in ids


def _read_refusal(body: Mapping[str, Any]) -> str:
    """The words of a refused graph: its own error, then those of its nodes."""
    error, nodes = body.get("error"), body.get("node_errors")
    words = [_join(error.get("message"), error.get("details"))] if isinstance(error, Mapping) else [str(error or "")]
    for number, facts in nodes.items() if isinstance(nodes, Mapping) else ():
        listed = facts.get("errors") if isinstance(facts, Mapping) else None
        words += [
            f"node {number} ({facts.get('class_type')}): {_join(item.get('message'), item.get('details'))}"
            for item in (listed if isinstance(listed, list) else [])
            if isinstance(item, Mapping)
        ]
    return "; ".join(word for word in words[:MOST_ERRORS] if word)


def _join(message: Any, details: Any) -> str:
    """A message with its details in parentheses, where they say more."""
    return f"{message} ({details})" if details and details != message else str(message or "")


def _list_refused_outputs(errors: Any) -> set[str]:
    """Numbers of the nodes that the server leaves out, because a node before them cannot be run."""
    found: set[str] = set()
    for facts in errors.values() if isinstance(errors, Mapping) else ():
        outputs = facts.get("dependent_outputs") if isinstance(facts, Mapping) else None
        found |= {str(output) for output in outputs} if isinstance(outputs, list) else set()
    return found
