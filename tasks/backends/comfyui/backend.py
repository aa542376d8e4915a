"""The backend `comfyui`; see `tasks.backends.base.Backend` for what each method owes the engine.

A submit is not idempotent, and a restart empties queue and history. So every attempt has a prompt id and a file name of
its own, and a lost submit is looked for in the queue, in the history, and by its file's name, before it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import cached_property

import httpx

from tasks.backends.base import Allowance, BackendContext, Estimate, check_channel, find_taken, read_options
from tasks.backends.client.options import find_secret_problem, read_secret
from tasks.backends.client.polling import Polling
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.comfyui.graph import build_graph, build_prompt_id, find_problems, list_taken_nodes
from tasks.backends.comfyui.node_info import Nodes, fetch_nodes, find_limit_problems
from tasks.backends.comfyui.options import ComfyOptions
from tasks.backends.comfyui.pool import ServerPool
from tasks.backends.comfyui.server import ComfyServer
from tasks.backends.comfyui.watch import PromptWatch, RemoteImage
from tasks.backends.prices import MOST_IMAGES, Pricing, Used, find_price
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import Ambiguous, JobError, NotCreated, Transient
from tasks.core.identity import hash_text
from tasks.core.money import to_micros
from tasks.core.records import Job, Prediction
from tasks.store.references import get_references, read_reference


class ComfyBackend:
    """One workflow on one or many servers."""

    def __init__(self, context: BackendContext) -> None:
        """Read the settings; nothing is asked of the network.

        Raises:
            ConfigError: A setting or the workflow cannot be used.
        """
        self._context = context
        self._clock = Clock()
        self._options = read_options(context, ComfyOptions)
        for url in self._options.servers:
            check_channel(context, "servers", url, self._options.api_key_env)
        self.takes = frozenset({"image", "mask"} & self._options.inputs.keys())
        self._nodes: Nodes = {}
        self._attempts: dict[str, int] = {}
        price = find_price(context.settings.model.partition(":")[0], context.prices)
        # Your own machine bills nothing, unless the configuration says what its time is worth.
        price_usd = 0.0 if context.settings.price_usd is None and price is None else context.settings.price_usd
        self._pricing = Pricing(price=price, image_micros=to_micros(price_usd))

    def ready(self) -> str | None:
        """Why it is not, if the key that the configuration names is not set."""
        name = self._options.api_key_env
        return None if name is None else find_secret_problem(name)

    def learn(self) -> None:
        """Ask the servers for the workflow's nodes and models."""
        if self._options.check_nodes and not self._nodes:
            self._nodes = fetch_nodes(self._options, key=self._key, place=self._context.place)

    def check_freely(self) -> str:
        """Ask the servers for the workflow's nodes and models, whatever `check_nodes` says."""
        fetch_nodes(self._options, key=self._key, place=self._context.place)
        return f"{self._context.name} works: the servers have every node and model of the workflow. Nothing was made"

    def problems(self, job: Job) -> list[str]:
        """List the values that have no place in the workflow, or that its nodes do not take."""
        return find_problems(job, self._options) + find_limit_problems(job, self._options, self._nodes)

    def estimate(self, job: Job) -> Estimate:
        """Nothing, or the configured price."""
        return Estimate(
            cost_micros=self._pricing.cost_micros(Used(images=1, seconds=self._options.usual_latency_s)),
            most_micros=self._pricing.cost_micros(Used(images=1, seconds=self._options.timeout_s)),
            latency_s=self._options.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )

    def allowance(self) -> Allowance:
        """The servers take any number; `creates_per_min` limits it."""
        account = f"{' '.join(sorted(self._options.servers))} {hash_text(self._key)}"
        return Allowance(account=account, creates_per_min=self._context.settings.creates_per_min)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        """One graph into the queue of the least busy server that can be reached."""
        prompt_id = build_prompt_id(self._context.batch, job, attempt)
        self._attempts[job.job_id] = attempt
        references = get_references(job)
        files = {name: await asyncio.to_thread(read_reference, image) for name, image in references.items()}
        refusal = NotCreated("no server is configured")
        for server in self._pool.list_candidates():
            # Counted before the call: jobs that are sent at the same time must not all choose the same server.
            self._pool.place(prompt_id, server)
            try:
                images = {
                    # Named by its bytes: jobs that start from one image upload the same file.
                    name: await server.upload(references[name].sha256[:32], data)
                    for name, data in files.items()
                }
                graph = build_graph(job, self._options, prompt_id=prompt_id, images=images)
                await server.submit(graph, prompt_id, taken=list_taken_nodes(self._options))
            except NotCreated as error:
                # It never arrived there, so the next server may have it without making it twice.
                self._pool.record_silence(server)
                self._pool.release(prompt_id)
                refusal = error
            except BaseException:
                self._pool.release(prompt_id)
                raise
            else:
                self._pool.record_answer(server)
                return Prediction(prediction_id=prompt_id, created_at=to_instant(self._clock.now_us()))
        raise refusal

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        """Look for the attempt's own id on every server."""
        attempt: int = getattr(known, "number", None) or self._attempts.get(job.job_id, 1)
        prompt_id = build_prompt_id(self._context.batch, job, attempt)
        if await find_taken(known, [prompt_id]):
            return None
        try:
            found = await self._watch.find_server(prompt_id)
        except httpx.HTTPError as exc:
            # Without a bill it is only work done twice; with one, nobody knows.
            if self._pricing.free:
                return None
            raise Ambiguous(f"a server does not answer ({type(exc).__name__})", cost_micros=None) from exc
        return None if found is None else Prediction(prediction_id=prompt_id)

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        """Ask for the prompt until it has ended, or cancel it when it takes too long."""
        prompt_id = prediction.prediction_id
        try:
            images, seconds = await self._polling.until(
                lambda: self._watch.look(prompt_id),
                timeout_s=self._options.timeout_s,
                is_fresh=prediction.created_at is not None,
            )
        except TimeoutError:
            await self.cancel(prediction)
            raise Transient(f"no image within {self._options.timeout_s:.0f} s", kind="timeout") from None
        finally:
            self._watch.forget(prompt_id)
        cost_micros = self._pricing.cost_micros(Used(images=max(1, len(images)), seconds=seconds))
        if not images:
            raise JobError("the prompt ended without a saved image", kind="no_output", cost_micros=cost_micros)
        return Prediction(
            prediction_id=prompt_id,
            output=images[0],
            further=tuple(images[1:MOST_IMAGES]),
            images=len(images),
            predict_time_s=seconds,
            cost_micros=cost_micros,
            cost_source=None if cost_micros is None else "free" if self._pricing.free else "priced",
        )

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Fetch a saved image from the server that made it."""
        image: RemoteImage = prediction.output
        try:
            return await image.server.fetch(image.file)
        except JobError as error:
            error.cost_micros = prediction.cost_micros
            raise

    async def cancel(self, prediction: Prediction) -> None:
        """Take it out of the queue, or interrupt it, if its server can be reached."""
        with suppress(httpx.HTTPError):
            server = self._pool.get_server(prediction.prediction_id) or await self._watch.find_server(
                prediction.prediction_id
            )
            if server is not None:
                await server.cancel(prediction.prediction_id)
        self._pool.release(prediction.prediction_id)

    async def close(self) -> None:
        """Close what was opened."""
        if "_pool" in vars(self):
            for server in self._pool.servers:
                await server.close()

    @property
    def _key(self) -> str:
        return "" if self._options.api_key_env is None else read_secret(self._options.api_key_env)

    @cached_property
    def _pool(self) -> ServerPool:
        # More than are in flight: downloads and looks go beside them.
        connections = self._context.settings.concurrency + 8
        servers = [
            ComfyServer(url, key=self._key, key_env=self._options.api_key_env, connections=connections)
            for url in self._options.servers
        ]
        return ServerPool(servers, now_s=self._clock.monotonic_s)

    @cached_property
    def _watch(self) -> PromptWatch:
        return PromptWatch(self._pool, self._options)

    @cached_property
    def _polling(self) -> Polling:
        limiter = RateLimiter(self._options.requests_per_min, now=self._clock.monotonic_s, sleep=self._clock.sleep)
        return Polling(limiter=limiter, clock=self._clock, usual_s=self._options.usual_latency_s)
