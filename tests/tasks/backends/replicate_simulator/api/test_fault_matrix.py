"""Every fault: what a client sees of it, and what the truth says."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tasks.backends.replicate_simulator.api.delivery import compute_crc32c
from tasks.backends.replicate_simulator.faults import FAULTS, build_rule, parse_rule
from tests.support.waiting import PATIENCE_S
from tests.tasks.backends.replicate_simulator.client import QUICK, TOKEN, inside, rehearsal, seeds

GOOD = "1 png of image/png with PNG 64x64"
PROBLEM = "application/problem+json"
DIRECTOR = "failed: Director: unexpected error handling prediction (E9828)"
SEES: dict[str, tuple[str, int, int]] = {
    "unauthorized": (f"create 401 {PROBLEM}", 0, 0),
    "insufficient_credit": (f"create 402 {PROBLEM}", 0, 0),
    "not_found": (f"create 404 {PROBLEM}", 0, 0),
    "invalid_input": (f"create 422 {PROBLEM}", 0, 0),
    "throttled": (f"create 429 {PROBLEM}", 0, 0),
    "low_credit": (GOOD, 1, 1),
    "server_error_500": (f"create 500 {PROBLEM}", 0, 0),
    "bad_gateway_html_502": ("create 502 text/html", 0, 0),
    "drop_before_create": ("create dropped", 0, 0),
    "timeout_504_after_create": ("create 504 text/html", 1, 1),
    "drop_after_create": ("create dropped", 1, 1),
    "hang_after_create": ("create unanswered", 1, 1),
    "unreadable_2xx_after_create": ("create unreadable", 1, 1),
    "list_lag": (GOOD, 1, 1),
    "list_without_data": (GOOD, 1, 1),
    "list_loops": (GOOD, 1, 1),
    "list_odd_entries": (GOOD, 1, 1),
    "renamed_owner": (GOOD, 1, 1),
    "clock_skew": (GOOD, 1, 1),
    "poll_odd_status": ("get an odd state", 1, 1),
    "poll_deep_json": ("get too deep", 1, 1),
    "poll_429": ("get 429", 1, 1),
    "poll_500": ("get 500", 1, 1),
    "failed_pa": ("failed: Prediction interrupted; please retry (code: PA)", 1, 0),
    "failed_director_e9828": (DIRECTOR, 1, 0),
    "failed_e005": (
        "failed: The input or output was flagged as sensitive. Please try again with different inputs. (E005) (uIJ6l3ruRD)",
        1,
        0,
    ),
    "failed_nsfw": (
        "failed: All generated images contained NSFW content. Try running it again with a different prompt.",
        1,
        0,
    ),
    "partial_nsfw": ("2 png of image/png with PNG 64x64", 1, 1),
    "newline_e9828": (DIRECTOR, 1, 0),
    "aborted": ("aborted: None", 1, 0),
    "stuck_starting": ("aborted: None", 1, 0),
    "output_null": ("output None", 1, 1),
    "several_images": ("4 png of image/png with PNG 64x64", 1, 1),
    "output_dict": ("output {'image': 'http://localh", 1, 1),
    "output_data_uri": ("output ['data:application/octet", 1, 1),
    "wrong_suffix": ("1 webp of image/png with PNG 64x64", 1, 1),
    "retention:0": ("output None", 1, 1),
    "wrong_content_type": ("1 png of image/webp with PNG 64x64", 1, 1),
    "truncated_file": ("1 png of image/png with no picture", 1, 1),
    "dropped_file": ("file dropped", 1, 1),
    "slow_file:1000": ("file unanswered", 1, 1),
    "file_404": ("file 404", 1, 1),
    "file_500": ("file 500", 1, 1),
    "redirect_file": ("file redirected to localhost", 1, 1),
    "redirect_foreign": ("file redirected to 127.0.0.1", 1, 1),
    "html_instead_of_image": ("1 png of text/html with no picture", 1, 1),
}
INPUTS: dict[str, dict[str, Any]] = {"partial_nsfw": {"num_outputs": 3}, "newline_e9828": {"prompt": "a fox\nin snow"}}


@pytest.mark.parametrize("fault", SEES)
async def test_each_fault_is_seen_and_accounted_for(fault: str) -> None:
    """The client sees what the table says; the truth has what was created and billed."""
    name = fault.partition(":")[0]
    sees, created, billed = SEES[fault]
    # A short patience only where no answer comes: a busy machine takes long over the others.
    timeout_s = 3.0 if "unanswered" in sees else PATIENCE_S
    async with rehearsal(QUICK, parse_rule(fault), timeout_s=timeout_s) as here:
        values = {"prompt": "a fox", "output_format": "png", **INPUTS.get(name, {})}
        assert await here.attempt(values) == sees
        if name.startswith("list_"):
            await here.get("/v1/predictions")
        here.simulator.set_faults([])
        for prediction in (await here.listed())["results"]:
            await here.ended(prediction)
        truth = here.simulator.truth()
    assert (truth.created, truth.billed) == (created, billed)
    assert truth.faults.get(name, 0) >= 1
    assert truth.token_leaks == 0


def test_the_table_has_every_fault() -> None:
    """A new fault needs its line here."""
    assert [fault.partition(":")[0] for fault in SEES] == list(FAULTS)


async def test_without_faults_a_picture_comes() -> None:
    """What the table's rows differ from."""
    async with rehearsal() as here:
        assert await here.attempt({"prompt": "a fox", "output_format": "png"}) == GOOD


async def test_credit_ends_after_so_many_creates() -> None:
    """402 stays, as on an account that nobody fills."""
    async with rehearsal(QUICK, build_rule("insufficient_credit", 2)) as here:
        assert [(await here.post(values)).status_code for values in seeds(4)] == [201, 201, 402, 402]
        assert here.simulator.truth().created == 2


async def test_low_credit_lets_one_through_and_says_when_the_next_may_come() -> None:
    """The captured words, the seconds in the body, no header; after the wait the next one passes."""
    async with rehearsal(replace(QUICK, speed=1), build_rule("low_credit")) as here:
        first, second = [await here.post(values) for values in seeds(2)]
    assert (first.status_code, second.status_code) == (201, 429)
    assert second.json() == {
        "detail": "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute "
        "with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~10s.",
        "status": 429,
        "retry_after": 10,
    }
    assert "retry-after" not in second.headers


async def test_a_lagging_list_hides_a_new_prediction_for_a_while() -> None:
    """It can be got by its id at once, and is in the list after the lag."""
    async with rehearsal(QUICK, build_rule("list_lag", 100)) as here:
        prediction = (await here.post()).json()
        assert (await here.listed())["results"] == []
        assert (await here.ended(prediction))["status"] == "succeeded"
        await here.simulator.provider.clock.sleep(100)
        assert [item["id"] for item in (await here.listed())["results"]] == [prediction["id"]]


async def test_after_the_retention_data_and_files_are_gone() -> None:
    """The prediction stays `succeeded`, without input and output; the file is not found."""
    async with rehearsal() as here:
        prediction = await here.ended((await here.post()).json())
        assert (await here.http.get(prediction["output"][0])).status_code == 200
        here.simulator.set_faults([build_rule("retention", 1)])
        await here.simulator.provider.clock.sleep(2)
        gone = await here.ended(prediction)
        assert [gone[key] for key in ("status", "output", "input", "data_removed")] == ["succeeded", None, {}, True]
        assert (await here.http.get(prediction["output"][0])).status_code == 404


async def test_a_list_may_have_lost_an_input_that_a_get_still_has() -> None:
    """It says so, and the prediction stays listed."""
    async with rehearsal(QUICK, build_rule("list_without_data")) as here:
        prediction = (await here.post()).json()
        [listed] = (await here.listed())["results"]
        assert [listed[key] for key in ("id", "input", "data_removed")] == [prediction["id"], {}, True]
        assert (await here.get(f"/v1/predictions/{prediction['id']}")).json()["input"] == {"prompt": "a fox"}


async def test_a_list_may_lead_to_itself() -> None:
    """`next` is the address of the page that it stands on."""
    async with rehearsal(QUICK, build_rule("list_loops")) as here:
        await here.post()
        page = await here.listed()
        assert (await here.http.get(page["next"], headers=TOKEN)).json()["next"] == page["next"]


async def test_odd_entries_stand_beside_the_predictions() -> None:
    """Null, a number, ids that are none; the prediction is there."""
    async with rehearsal(QUICK, build_rule("list_odd_entries")) as here:
        prediction = (await here.post()).json()
        results = (await here.listed())["results"]
    assert [results[0], results[1], results[-1]["id"]] == [None, 7, prediction["id"]]


async def test_a_model_may_have_a_name_of_the_services_own() -> None:
    """In the answer to the create, in the list and to a get alike."""
    async with rehearsal(QUICK, build_rule("renamed_owner")) as here:
        created = (await here.post()).json()
        [listed] = (await here.listed())["results"]
        got = await here.ended(created)
    assert {answer["model"] for answer in (created, listed, got)} == {"replicate-internal/flux-schnell"}


async def test_the_services_clock_may_be_behind() -> None:
    """Its `Date` and its instants tell the same time, which is not this machine's."""
    async with rehearsal(replace(QUICK, speed=1), build_rule("clock_skew", 3_600)) as here:
        answer = await here.post()
    date = parsedate_to_datetime(answer.headers["date"])
    assert timedelta(minutes=59) < datetime.now(UTC) - date < timedelta(minutes=61)
    assert abs(datetime.fromisoformat(answer.json()["created_at"]) - date) < timedelta(seconds=2)


async def test_files_come_with_the_storages_hashes() -> None:
    """MD5 in the ETag and in base64, and CRC-32C, of the whole file (recorded in 2024-08)."""
    async with rehearsal() as here:
        body = await here.ended((await here.post()).json())
        answer = await here.http.get(body["output"][0])
    md5 = hashlib.md5(answer.content, usedforsecurity=False)
    assert answer.headers["etag"] == f'"{md5.hexdigest()}"'
    crc = b64encode(compute_crc32c(answer.content).to_bytes(4)).decode()
    assert answer.headers.get_list("x-goog-hash") == [f"crc32c={crc}", f"md5={b64encode(md5.digest()).decode()}"]
    assert compute_crc32c(b"123456789") == 0xE3069283


async def test_a_hanging_start_hangs_until_its_deadline() -> None:
    """Without a deadline it is `starting` for ever; with one it ends as `aborted`, and nothing is billed."""
    async with rehearsal(QUICK, build_rule("stuck_starting")) as here:
        endless = (await here.post(next(iter(seeds(1))))).json()
        assert (await here.ended(endless))["status"] == "starting"
        timed = (await here.post(headers={"Cancel-After": "5s"})).json()
        assert (await here.ended(timed))["status"] == "aborted"
        assert here.simulator.truth().cost_usd == 0


async def test_partly_flagged_pictures_keep_their_numbers() -> None:
    """The files' names tell which one is missing, and so do the logs."""
    async with rehearsal(QUICK, build_rule("partial_nsfw")) as here:
        body = await here.ended((await here.post({"prompt": "a fox", "num_outputs": 3})).json())
    assert [url.rpartition("/")[2] for url in body["output"]] == ["out-0.webp", "out-2.webp"]
    assert "NSFW content detected in image 1\nTotal safe images: 2 out of 3\n" in body["logs"]
    assert body["metrics"]["image_output_count"] == 2


async def test_a_redirect_on_the_same_host_leads_to_the_picture() -> None:
    """It is made once, not for ever."""
    async with rehearsal(QUICK, build_rule("redirect_file")) as here:
        body = await here.ended((await here.post()).json())
        answer = await here.http.get(body["output"][0], follow_redirects=True)
    assert inside(answer.content) == "WEBP 64x64"


async def test_a_fault_can_be_kept_to_some_prompts() -> None:
    """Only predictions whose prompt has the text are struck."""
    async with rehearsal(QUICK, build_rule("failed_e005", prompt_contains="owl")) as here:
        ends = [await here.attempt({"prompt": f"a {animal}", "output_format": "png"}) for animal in ("fox", "owl")]
    assert [end.partition(":")[0] for end in ends] == [GOOD, "failed"]


async def test_faults_can_be_changed_from_another_process() -> None:
    """The address for it takes names and objects, and says what is wrong with others; it is not counted."""
    async with rehearsal() as here:
        control = f"{here.simulator.url}/_simulator/faults"
        answer = await here.http.post(control, json=["poll_500:0.5", {"name": "server_error_500", "first": 1}])
        assert set(answer.json()) == set(FAULTS)
        assert [(await here.post(values)).status_code for values in seeds(2)] == [500, 201]
        for wrong in (["nope"], [{"rate": 1}], {"a": 1}, [{"name": "file_404", "rate": 2}], "x"):
            assert (await here.http.post(control, json=wrong)).status_code == 400
        assert (await here.http.get(f"{here.simulator.url}/_simulator/truth")).json()["requests"] == {"create": 2}


async def test_a_token_at_the_files_host_is_seen() -> None:
    """At the delivery host and at the foreign one."""
    async with rehearsal(QUICK, build_rule("redirect_foreign")) as here:
        body = await here.ended((await here.post()).json())
        answer = await here.http.get(body["output"][0], headers=TOKEN)
        await here.http.get(answer.headers["location"], headers=TOKEN)
        truth = here.simulator.truth()
    assert (truth.token_leaks, truth.requests["foreign"]) == (2, 1)


async def test_a_prediction_whose_answer_was_lost_can_be_found() -> None:
    """It is in the list since just before the call, with its whole input."""
    since = datetime.now(UTC) - timedelta(seconds=1)
    async with rehearsal(QUICK, build_rule("drop_after_create", first=1)) as here:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await here.post({"prompt": "a fox", "seed": 7})
        page = await here.listed(created_after=since.isoformat())
    assert [item["input"] for item in page["results"]] == [{"prompt": "a fox", "seed": 7}]
