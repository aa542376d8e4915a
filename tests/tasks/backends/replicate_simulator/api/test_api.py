"""The API's own ways, where no fault is at work: creating, waiting, listing, refusing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tasks.backends.replicate_simulator.settings import Settings
from tests.tasks.backends.replicate_simulator.client import QUICK, SCHNELL, TOKEN, inside, rehearsal, seeds

SLOW = replace(QUICK, speed=20, latency_s=10)
"""A prediction takes half a second."""


async def test_a_create_answers_with_its_address_and_what_is_left() -> None:
    """201, `Location`, and the headers of the rate limit as captured."""
    async with rehearsal(Settings()) as here:
        answer = await here.post()
        got = await here.get(f"/v1/predictions/{answer.json()['id']}")
    assert answer.status_code == 201
    assert answer.headers["location"] == answer.json()["urls"]["get"] == str(got.url)
    assert (answer.headers["ratelimit-remaining"], answer.headers["ratelimit-reset"]) == ("599", "1")
    assert got.headers["ratelimit-remaining"] == "2999"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer r8_x", 200), ("Token r8_x", 200), ("Bearer bad-x", 401), ("Basic abc", 401), ("", 401)],
)
async def test_any_token_is_good_but_a_bad_one(authorization: str, status: int) -> None:
    """Both schemes; the refusal is a problem document."""
    async with rehearsal() as here:
        answer = await here.http.get(f"{here.simulator.url}/v1/account", headers={"Authorization": authorization})
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["detail"] == "You did not pass a valid authentication token"


async def test_waiting_in_the_call_brings_the_output() -> None:
    """201, the preference is acknowledged, and the state says `processing`."""
    async with rehearsal(SLOW) as here:
        answer = await here.post(headers={"Prefer": "wait"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait")
    assert (answer.json()["status"], len(answer.json()["output"])) == ("processing", 1)


async def test_a_wait_that_runs_out_brings_no_output() -> None:
    """202 and `starting`."""
    async with rehearsal(SLOW) as here:
        answer = await here.post(headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
    assert (answer.json()["status"], "output" in answer.json()) == ("starting", False)


async def test_a_cancel_ends_a_wait() -> None:
    """The waiting call learns of it."""
    async with rehearsal(SLOW) as here:
        waiting = asyncio.create_task(here.post(headers={"Prefer": "wait"}))
        while not (page := await here.listed())["results"]:
            await asyncio.sleep(0.01)
        await here.http.post(page["results"][0]["urls"]["cancel"], headers=TOKEN)
        assert (await waiting).json()["status"] == "canceled"


@pytest.mark.parametrize("after", ["30", "30s", "5m", "2h", "1h30m45s"])
async def test_a_deadline_is_understood_in_all_its_spellings(after: str) -> None:
    """The answer tells when it is."""
    async with rehearsal() as here:
        answer = await here.post(headers={"Cancel-After": after})
    assert answer.status_code == 201
    assert "deadline" in answer.json()


@pytest.mark.parametrize("after", ["4s", "25h", "soon", ""])
async def test_a_deadline_out_of_range_is_refused(after: str) -> None:
    """Nothing is created."""
    async with rehearsal() as here:
        assert (await here.post(headers={"Cancel-After": after})).status_code == 422
        assert here.simulator.truth().created == 0


async def test_the_list_is_cut_by_instants() -> None:
    """From `created_after` on, up to `created_before` without it; `next` keeps the cut. Lists that end now are counted."""
    async with rehearsal() as here:
        clock = here.simulator.provider.clock
        instants = []
        for values in [*seeds(3)]:
            instants.append(datetime.fromtimestamp(clock.now_us() / 1e6, tz=UTC).isoformat())
            await here.post(values)
            await clock.sleep(1)
        second = await here.listed(created_after=instants[1])
        between = await here.listed(created_after=instants[1], created_before=instants[2])
    assert [item["input"]["seed"] for item in second["results"]] == [2, 1]
    assert [item["input"]["seed"] for item in between["results"]] == [1]
    assert here.simulator.truth().open_lists == 1


async def test_pages_follow_each_other_without_gaps_while_predictions_come_in() -> None:
    """New ones come before the first page and move nothing; the cut goes on."""
    async with rehearsal() as here:
        await here.post({"prompt": "before"})
        since = datetime.fromtimestamp(here.simulator.provider.clock.now_us() / 1e6, tz=UTC).isoformat()
        await here.simulator.provider.clock.sleep(1)
        for values in seeds(150):
            await here.post(values)
        page = await here.listed(created_after=since)
        await here.post({"prompt": "after"})
        rest = (await here.http.get(page["next"], headers=TOKEN)).json()
    found = [item["input"]["seed"] for item in (*page["results"], *rest["results"])]
    assert found == list(range(149, -1, -1))
    assert rest["next"] is None


async def refused(body: Any, path: str = f"/v1/models/{SCHNELL}/predictions") -> httpx.Response:
    """The answer to a body that nobody takes."""
    async with rehearsal() as here:
        answer = await here.http.post(f"{here.simulator.url}{path}", json=body, headers=TOKEN)
        assert here.simulator.truth().created == 0
    return answer


async def test_inputs_out_of_range_are_all_named() -> None:
    """The detail and the fields as captured."""
    answer = await refused({"input": {"num_inference_steps": 50, "output_format": "gif", "seed": "x", "go_fast": 1}})
    assert answer.status_code == 422
    body = answer.json()
    assert body["title"] == "Input validation failed"
    assert body["detail"].startswith(
        "- input: prompt is required\n- input.num_inference_steps: Must be less than or equal to 4\n"
    )
    assert [(item["type"], item["field"]) for item in body["invalid_fields"]] == [
        ("required", "input"),
        ("number_lte", "input.num_inference_steps"),
        ("enum", "input.output_format"),
        ("invalid_type", "input.seed"),
        ("invalid_type", "input.go_fast"),
    ]
    assert body["invalid_fields"][2]["description"] == (
        'output_format must be one of the following: "webp", "jpg", "png"'
    )


@pytest.mark.parametrize(
    ("body", "path", "status", "said"),
    [
        (
            {"input": {"prompt": "a"}, "tag": 1},
            f"/v1/models/{SCHNELL}/predictions",
            422,
            "additional_property_not_allowed",
        ),
        ({}, f"/v1/models/{SCHNELL}/predictions", 422, "input is required"),
        ({"input": "a fox"}, f"/v1/models/{SCHNELL}/predictions", 422, "Expected: object, given: string"),
        ([], f"/v1/models/{SCHNELL}/predictions", 400, "not a JSON object"),
        ({"input": {"prompt": "a"}}, "/v1/models/someone/else/predictions", 404, "could not be found"),
        ({"input": {"prompt": "a"}}, "/v1/predictions", 422, "version is required"),
        ({"version": "0" * 64, "input": {"prompt": "a"}}, "/v1/predictions", 422, "Invalid version or not permitted"),
        ({"version": f"{SCHNELL}:12", "input": {"prompt": "a"}}, "/v1/predictions", 422, "Invalid version"),
        ({"input": {"prompt": "a"}}, "/v1/deployments/me/flux-schnell/predictions", 404, "could not be found"),
    ],
)
async def test_what_cannot_be_created_is_refused(body: Any, path: str, status: int, said: str) -> None:
    """With the API's words, and nothing created."""
    answer = await refused(body, path)
    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/predictions/nope", 404),
        ("/v1/models/someone/else", 404),
        (f"/v1/models/{SCHNELL}/versions/12", 404),
        ("/v1/collections", 404),
        ("/v1/predictions?cursor=nope", 400),
        ("/v1/predictions?created_after=yesterday", 400),
    ],
)
async def test_what_is_not_there_is_refused(path: str, status: int) -> None:
    """Never an error page of the simulator's own."""
    async with rehearsal() as here:
        answer = await here.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_inputs_that_the_model_does_not_know_change_nothing() -> None:
    """What the real API does is not established; here it echoes them."""
    values = {"prompt": "a fox", "colour": "red", "num_outputs": 3, "megapixels": "many"}
    async with rehearsal() as here:
        answer = await here.post(values, model="black-forest-labs/flux-1.1-pro")
        body = await here.ended(answer.json())
        assert inside((await here.http.get(body["output"])).content) == "WEBP 64x64"
        assert here.simulator.truth().cost_usd == 0.04
    assert body["input"] == values


async def test_files_that_are_not_there_are_not_found() -> None:
    """Of no prediction, of another name, and of one that has not ended."""
    async with rehearsal(SLOW) as here:
        made = (await here.post()).json()["id"]
        for path in ("nope/out-0.webp", f"{made}/out-0.webp", f"{made}/out-7.webp"):
            answer = await here.http.get(f"{here.simulator.delivery_url}/delivery/xezq/{path}")
            assert answer.status_code == 404
