"""Our own backends, held against what every backend owes the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tasks.backends.base import BackendContext
from tasks.backends.client.batches import desk
from tasks.backends.comfyui.backend import ComfyBackend
from tasks.backends.conformance import BackendConformance, Ending, Subject
from tasks.backends.fal.backend import FalBackend
from tasks.backends.http_api.backend import HttpBackend
from tasks.backends.http_api.batches.backend import open_backend as open_http
from tasks.backends.openai.batch_backend import open_backend
from tasks.backends.replicate.backend import ReplicateBackend
from tasks.backends.replicate_simulator.faults import parse_rule
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.backends.replicate_simulator.settings import Settings as Simulated
from tasks.backends.sketch.backend import SketchBackend
from tasks.core.presets import list_presets, load_preset
from tasks.core.records import Job, Prediction
from tests.support.fakes import comfyui, fal_queue, gemini_batches, openai_batches
from tests.support.fakes.comfyui import ComfyUI
from tests.support.fakes.fal_queue import FalQueue
from tests.support.fakes.gemini_batches import GeminiBatches
from tests.support.fakes.json_api import JsonApi, at_once, lookup, polled
from tests.support.fakes.named_service import NamedService, build_instance, list_variables
from tests.support.fakes.openai_batches import OpenAIBatches
from tests.support.fakes.openai_images import OpenAIImages
from tests.support.fakes.serving import Provider, serving

NOBODY = "http://127.0.0.1:1"


def build_endings(provider: Provider, faults: Mapping[Ending, str]) -> dict[Ending, Callable[[], object]]:
    """Each end by the fault of that name, once."""
    return {ending: partial(provider.break_, fault, 1) for ending, fault in faults.items()}


class CountingSketch(SketchBackend):
    """The embedded backend, which counts what it is asked for: nobody else does."""

    made = 0

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        type(self).made += 1
        return await super().submit(job, attempt=attempt)


class TestSketch(BackendConformance):
    """The embedded backend."""

    @pytest.fixture
    async def subject(self) -> Subject:
        CountingSketch.made = 0
        return Subject(
            build=CountingSketch,
            instance={"type": "sketch", "price_usd": 0.01},
            created=lambda: CountingSketch.made,
        )


class TestReplicate(BackendConformance):
    """Replicate, against the simulator."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_conformance_secret")
        quick = Simulated(speed=20, latency_s=1, picture_kb=2, shrink=16, create_burst=100)
        async with run_simulator(quick) as simulator:

            def build(context: BackendContext) -> ReplicateBackend:
                backend = ReplicateBackend(context)
                backend._clock = simulator.provider.clock
                return backend

            faults = {
                Ending.THROTTLED: "throttled",
                Ending.BAD_KEY: "unauthorized",
                Ending.NO_CREDIT: "insufficient_credit:0",
                Ending.INVALID: "invalid_input",
                Ending.REFUSED: "failed_nsfw",
                Ending.LOST_BEFORE: "drop_before_create",
                Ending.LOST_AFTER: "drop_after_create",
                Ending.UNREADABLE: "unreadable_2xx_after_create",
                Ending.FAILED: "output_null",
            }
            yield Subject(
                build=build,
                instance={
                    "type": "replicate",
                    "model": "black-forest-labs/flux-dev",
                    "api_base": simulator.url,
                    "delivery_hosts": ["localhost"],
                    "lookup_patience_s": 6.0,
                },
                created=lambda: simulator.truth().created,
                endings={ending: partial(simulator.set_faults, [parse_rule(name)]) for ending, name in faults.items()},
                unreachable={"api_base": NOBODY},
                variable="REPLICATE_API_TOKEN",
                secrets=("r8_conformance_secret",),
            )


class TestOpenAI(BackendConformance):
    """OpenAI's images API, a picture a call."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = OpenAIImages()
        monkeypatch.setenv("OPENAI_API_KEY", provider.key)
        faults = {
            Ending.THROTTLED: "throttled",
            Ending.BAD_KEY: "unauthorized",
            Ending.NO_CREDIT: "insufficient_quota",
            Ending.INVALID: "invalid",
            Ending.ECHOED: "echo_key",
            Ending.REFUSED: "moderation_prompt",
            Ending.LOST_BEFORE: "drop_before",
            Ending.LOST_AFTER: "drop_after",
            Ending.UNREADABLE: "not_json",
            Ending.FAILED: "no_data",
        }
        async with serving(provider) as url:
            yield Subject(
                build=open_backend,
                instance={"type": "openai", "model": "gpt-image-1.5", "api_base": f"{url}/v1", "quality": "low"},
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                unreachable={"api_base": NOBODY},
                variable="OPENAI_API_KEY",
                secrets=(provider.key,),
            )


class TestOpenAIBatch(BackendConformance):
    """OpenAI's Batch API."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = OpenAIBatches()
        monkeypatch.setenv("OPENAI_API_KEY", provider.key)
        monkeypatch.setattr(desk, "LOOKUP_PATIENCE_S", 0.1)
        faults = {
            Ending.THROTTLED: "batch_throttled",
            Ending.BAD_KEY: "unauthorized",
            Ending.NO_CREDIT: "batch_no_quota",
            Ending.INVALID: "batch_invalid",
            Ending.ECHOED: "batch_echo_key",
            Ending.REFUSED: "line_moderation",
            Ending.LOST_BEFORE: "batch_drop_before",
            Ending.LOST_AFTER: "batch_drop_after",
            Ending.UNREADABLE: "batch_not_json",
            Ending.FAILED: "line_invalid",
        }
        async with serving(provider) as url:
            yield Subject(
                build=open_backend,
                instance=openai_batches.instance(url),
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                unreachable={"api_base": NOBODY},
                variable="OPENAI_API_KEY",
                secrets=(provider.key,),
            )


class TestGeminiBatch(BackendConformance):
    """Gemini's batches."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = GeminiBatches()
        monkeypatch.setenv("GEMINI_API_KEY", provider.key)
        monkeypatch.setattr(desk, "LOOKUP_PATIENCE_S", 0.1)
        faults = {
            Ending.THROTTLED: "batch_throttled",
            Ending.BAD_KEY: "unauthorized",
            Ending.NO_CREDIT: "batch_no_quota",
            Ending.INVALID: "batch_invalid",
            Ending.ECHOED: "batch_echo_key",
            Ending.REFUSED: "line_blocked",
            Ending.LOST_BEFORE: "batch_drop_before",
            Ending.LOST_AFTER: "batch_drop_after",
            Ending.UNREADABLE: "batch_not_json",
            Ending.FAILED: "line_error",
        }
        async with serving(provider) as url:
            terms = gemini_batches.instance(url)["batches"]
            yield Subject(
                build=open_http,
                instance=gemini_batches.instance(url),
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                unreachable=gemini_batches.instance(NOBODY, batches={**terms, "base": NOBODY}),
                variable="GEMINI_API_KEY",
                secrets=(provider.key,),
            )


class TestComfyUI(BackendConformance):
    """A workflow on a ComfyUI server."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = ComfyUI()
        monkeypatch.setenv("COMFY_KEY", provider.key)
        faults = {
            Ending.BAD_KEY: "unauthorized",
            Ending.INVALID: "invalid",
            Ending.ECHOED: "echo_key",
            Ending.LOST_BEFORE: "drop_before",
            Ending.LOST_AFTER: "drop_after",
            Ending.UNREADABLE: "not_json",
            Ending.FAILED: "failed",
        }
        async with serving(provider) as url:
            yield Subject(
                build=ComfyBackend,
                instance=comfyui.instance(url, api_key_env="COMFY_KEY"),
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                unreachable={"servers": [NOBODY]},
                variable="COMFY_KEY",
                secrets=(provider.key,),
            )


class TestFal(BackendConformance):
    """fal.ai's queue."""

    @pytest.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = FalQueue()
        monkeypatch.setenv("FAL_KEY", provider.key)
        faults = {
            Ending.THROTTLED: "throttled",
            Ending.BAD_KEY: "unauthorized",
            Ending.NO_CREDIT: "locked",
            Ending.INVALID: "not_found",
            Ending.ECHOED: "echo_key",
            Ending.REFUSED: "content_policy",
            Ending.LOST_BEFORE: "drop_before",
            Ending.LOST_AFTER: "drop_after",
            Ending.UNREADABLE: "not_json",
            Ending.FAILED: "bad_input",
        }
        async with serving(provider) as url:
            yield Subject(
                build=FalBackend,
                instance=fal_queue.instance(url, image_input="image_url"),
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                unreachable={"queue_base": NOBODY},
                variable="FAL_KEY",
                secrets=(provider.key,),
            )


HTTP_FAULTS = {
    Ending.THROTTLED: "throttled",
    Ending.BAD_KEY: "unauthorized",
    Ending.NO_CREDIT: "no_credit",
    Ending.INVALID: "invalid",
    Ending.ECHOED: "echo_key",
    Ending.REFUSED: "flagged",
    Ending.LOST_BEFORE: "drop_before",
    Ending.LOST_AFTER: "drop_after",
    Ending.UNREADABLE: "not_json",
    Ending.FAILED: "no_output",
}


class TestHttp(BackendConformance):
    """A described API: at once, polled, with a look-up, with an idempotency key."""

    @pytest.fixture(params=["base64", "polled", "look-up", "key"])
    async def subject(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider = JsonApi()
        monkeypatch.setenv("ANY_KEY", provider.key)
        async with serving(provider) as url:
            instances = {
                "base64": at_once(url, "base64"),
                "polled": polled(url),
                "look-up": polled(url, find=lookup(url)),
                "key": polled(url, idempotency_header="Idempotency-Key"),
            }
            instance = instances[request.param]
            yield Subject(
                build=HttpBackend,
                instance=instance,
                created=lambda: len(provider.created),
                endings=build_endings(provider, HTTP_FAULTS),
                unreachable={"create": {**instance["create"], "url": f"{NOBODY}/x"}},
                variable="ANY_KEY",
                secrets=(provider.key,),
            )


NAMED_FAULTS = {
    Ending.INVALID: "invalid",
    Ending.REFUSED: "refused",
    Ending.FAILED: "failed",
    Ending.THROTTLED: "throttled",
}
PAID_FAULTS = {
    Ending.BAD_KEY: "bad_key",
    Ending.NO_CREDIT: "no_credit",
    Ending.ECHOED: "echo_key",
    Ending.LOST_BEFORE: "drop_before",
    Ending.LOST_AFTER: "drop_after",
    Ending.UNREADABLE: "not_json",
}
"""Where nothing costs anything, nothing can be lost, and there is no key."""
NO_REFUSAL, NO_FAILURE = {"a1111", "swarmui"}, {"fireworks", "huggingface", "stability"}
"""Services that refuse nothing; those that answer with the image itself, so that nothing ends without one."""


@pytest.mark.soak  # two dozen services times twenty rules: a minute on a quiet machine
class TestNamedService(BackendConformance):
    """Each image service by name, against a stand-in of its shape."""

    @pytest.fixture(params=list_presets())
    async def subject(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        provider, preset = NamedService(name=request.param), load_preset(request.param)
        for variable in list_variables():
            monkeypatch.setenv(variable, provider.key)
        faults = NAMED_FAULTS | (PAID_FAULTS if preset.key else {})
        for ending, without in ((Ending.REFUSED, NO_REFUSAL), (Ending.FAILED, NO_FAILURE)):
            if provider.name in without:
                del faults[ending]
        async with serving(provider) as url:
            instance = build_instance(provider.name, url)
            away: dict[str, object] = {"api_base": NOBODY}
            if "create" in instance:
                away = {"create": {**instance["create"], "url": f"{NOBODY}/x"}}
            yield Subject(
                build=HttpBackend if instance["type"] == "http" else open_backend,
                instance=instance,
                created=lambda: len(provider.created),
                endings=build_endings(provider, faults),
                # A session or a token is asked for first, and that nobody gives one is another error.
                unreachable=None if "before" in instance else away,
                variable=preset.key,
                secrets=(provider.key,),
            )


@pytest.mark.soak  # loads torch in a process that has no other test of it
class TestDiffusers(BackendConformance):
    """A local pipeline, where the extra `local` is installed."""

    @pytest.fixture
    async def subject(self, tiny_flux: Path) -> Subject:
        from tasks.backends.diffusers_local.backend import DiffusersBackend  # noqa: PLC0415  needs the extra

        made: list[str] = []

        class Counting(DiffusersBackend):
            """Counts what it is asked for: nobody else does."""

            async def submit(self, job: Job, *, attempt: int) -> Prediction:
                prediction = await super().submit(job, attempt=attempt)
                made.append(job.job_id)
                return prediction

        instance = {
            "type": "diffusers",
            "model": str(tiny_flux),
            "device": "cpu",
            "default_width": 32,
            "default_height": 32,
            "default_steps": 1,
            "price_usd": 0.0,
        }
        return Subject(build=Counting, instance=instance, created=lambda: len(made))
