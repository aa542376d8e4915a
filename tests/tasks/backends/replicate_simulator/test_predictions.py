"""One prediction over time, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tasks.backends.replicate_simulator.faults import Rule, build_rule
from tasks.backends.replicate_simulator.models import FLUX_2_PRO, FLUX_SCHNELL, Model
from tasks.backends.replicate_simulator.predictions import (
    NEVER,
    Prediction,
    build_created,
    build_full,
    build_listed,
    build_synchronous,
)
from tasks.backends.replicate_simulator.provider import RETENTION_S, Provider
from tasks.backends.replicate_simulator.settings import Settings
from tasks.backends.replicate_simulator.simulated_time import format_rfc3339
from tasks.core.clock import Clock

URL = "http://api"


@dataclass(slots=True)
class Hour:
    """A provider whose clock stands until it is moved."""

    provider: Provider
    s: float = 1_800_000_000.0

    def create(
        self, values: Mapping[str, Any] | None = None, *, model: Model = FLUX_SCHNELL, deadline_after_s: float = NEVER
    ) -> Prediction:
        """A new prediction."""
        chosen = {"prompt": "a fox", "seed": 1} if values is None else values
        return self.provider.create(model, chosen, deadline_after_s=deadline_after_s, deployment=None)

    def status_after(self, prediction: Prediction, passed_s: float) -> str:
        """The state so many seconds after its creation."""
        return prediction.status(prediction.created_s + passed_s)


def hour(*faults: Rule, **settings: Any) -> Hour:
    """Predictions of exactly ten seconds, two of them in `starting`."""
    made = Hour.__new__(Hour)
    chosen = Settings(**{"latency_s": 10, "latency_spread": 0, **settings})
    made.provider, made.s = Provider(chosen, Clock(now_us=lambda: round(made.s * 1e6))), 1_800_000_000.0
    made.provider.plan.replace(faults)
    return made


def test_the_states_follow_each_other() -> None:
    """Starting, processing, the end; nothing changes after it."""
    here = hour()
    prediction = here.create()
    states = [here.status_after(prediction, passed_s) for passed_s in (0, 1.9, 2.1, 9.9, 10.1, 99_999)]
    assert states == ["starting", "starting", "processing", "processing", "succeeded", "succeeded"]


def test_the_first_prediction_waits_for_a_cold_boot_and_the_later_ones_do_not() -> None:
    """Who comes during the boot waits for its rest."""
    here = hour(cold_boot_s=30)
    first = here.create()
    here.s += 20
    during = here.create({"prompt": "an owl"})
    here.s += 60
    later = here.create({"prompt": "a hare"})
    took_s = [round(item.would_end_s - item.created_s) for item in (first, during, later)]
    assert took_s == [40, 20, 10]


def test_times_spread_by_the_seed() -> None:
    """Within the wished share, differently for each prediction, the same again for the same seed."""

    def times_s(seed: int) -> list[float]:
        here = hour(latency_spread=0.25, seed=seed)
        made = [here.create({"prompt": "a fox", "seed": number}) for number in range(50)]
        return [item.would_end_s - item.created_s for item in made]

    assert times_s(1) == times_s(1) != times_s(2)
    assert 7.5 <= min(times_s(1)) < 8.5
    assert 11.5 < max(times_s(1)) <= 12.5


@pytest.mark.parametrize(
    ("after_s", "status", "cost_micros"), [(1, "aborted", 0), (5, "canceled", 3_000), (11, "succeeded", 3_000)]
)
def test_a_deadline_aborts_before_the_start_and_cancels_after_it(after_s: float, status: str, cost_micros: int) -> None:
    """What never started is free; what ran is billed."""
    here = hour()
    prediction = here.create(deadline_after_s=after_s)
    end_s = prediction.created_s + 20
    assert (prediction.status(end_s), prediction.cost_micros(end_s)) == (status, cost_micros)


@pytest.mark.parametrize(("after_s", "cost_micros"), [(1, 0), (5, 3_000)])
def test_a_cancel_ends_it_and_what_ran_is_billed(after_s: float, cost_micros: int) -> None:
    """Also with a deadline that comes later."""
    here = hour()
    prediction = here.create(deadline_after_s=8)
    cancel_s = prediction.created_s + after_s
    prediction.cancel(cancel_s)
    assert (prediction.status(cancel_s), prediction.cost_micros(cancel_s)) == ("canceled", cost_micros)


def test_a_cancel_after_the_end_changes_nothing() -> None:
    """The picture is there, and paid for."""
    here = hour()
    prediction = here.create()
    prediction.cancel(prediction.created_s + 11)
    assert here.status_after(prediction, 12) == "succeeded"


def test_a_fresh_prediction_leaves_out_what_it_does_not_have() -> None:
    """Keys without a value are missing on a create, and null on a get."""
    here = hour()
    prediction = here.create()
    fresh = build_created(prediction, URL)
    assert not {"output", "started_at", "completed_at", "metrics"} & fresh.keys()
    assert (fresh["status"], fresh["logs"], fresh["version"]) == ("starting", "", "hidden")
    got = build_full(prediction, URL, here.s, is_gone=False)
    assert [got[key] for key in ("output", "started_at", "completed_at", "metrics")] == [None, None, None, {}]


def test_the_input_comes_back_whole_in_another_order() -> None:
    """Never in the order in which it was sent, which is nobody's business."""
    here = hour()
    values = {"prompt": "a fox", "seed": 1, "num_outputs": 1, "output_format": "png"}
    prediction = here.create(values)
    answers = [
        build_created(prediction, URL),
        build_full(prediction, URL, here.s, is_gone=False),
        build_listed(prediction, URL, here.s, is_gone=False),
    ]
    assert [answer["input"] for answer in answers] == [values] * 3
    assert len({tuple(values), *(tuple(answer["input"]) for answer in answers)}) == 4


def test_an_answer_that_was_waited_for_says_processing_and_has_the_output() -> None:
    """Without completion and metrics; a wait that ran out says `starting`; a failure is told."""
    here = hour()
    prediction = here.create()
    ended = build_synchronous(prediction, URL, prediction.created_s + 10.1)
    assert (ended["status"], len(ended["output"])) == ("processing", 1)
    assert not {"completed_at", "metrics"} & ended.keys()
    waited = build_synchronous(prediction, URL, prediction.created_s + 5)
    assert (waited["status"], "output" in waited) == ("starting", False)
    failing = hour(build_rule("failed_pa"))
    failed = failing.create()
    assert build_synchronous(failed, URL, failed.created_s + 11)["error"].endswith("(code: PA)")


def test_an_ended_prediction_has_its_times_and_counts() -> None:
    """Times that fit together; megapixels where the model bills by them."""
    here = hour()
    prediction = here.create({"prompt": "a fox", "resolution": "2 MP", "aspect_ratio": "16:9"}, model=FLUX_2_PRO)
    body = build_full(prediction, URL, prediction.created_s + 11, is_gone=False)
    assert body["metrics"] == {
        "predict_time": 8.0,
        "total_time": 10.0,
        "image_count": 1,
        "image_output_count": 1,
        "image_output_megapixel_count": 2,
        "image_input_megapixel_count": 0,
    }
    begun, ended = (datetime.fromisoformat(body[key]) for key in ("created_at", "completed_at"))
    assert (ended - begun).total_seconds() == pytest.approx(10, abs=0.02)
    assert isinstance(body["output"], str)
    # 0.015 for the run and 0.015 for each of two begun megapixels of 1024x1024 pixels.
    assert prediction.cost_micros(prediction.created_s + 11) == 45_000


def test_data_goes_an_hour_after_the_end() -> None:
    """Input, output and logs; the state stays."""
    here = hour()
    prediction = here.create()
    here.s = prediction.ended_s + RETENTION_S - 1
    assert not here.provider.is_gone(prediction)
    here.s += 2
    assert here.provider.is_gone(prediction)
    body = build_full(prediction, URL, here.s, is_gone=True)
    assert [body[key] for key in ("status", "input", "output", "logs")] == ["succeeded", {}, None, ""]


def test_ids_are_of_26_letters_and_differ_also_for_the_same_input() -> None:
    """A second prediction for the same input is another one; another simulator gives the same ids again."""
    ids = [hour().create().prediction_id for _ in range(2)]
    here = hour()
    ids += [here.create().prediction_id for _ in range(2)]
    assert all(len(item) == 26 and item.isalnum() and item.islower() for item in ids)
    assert len(set(ids)) == 2
    assert ids[0] == ids[1] == ids[2]


def test_a_simulator_that_is_started_again_gives_other_ids_and_the_same_times() -> None:
    """Batches remember ids, so an id of an earlier rehearsal would be another batch's."""
    first, again = (hour(start=start, latency_spread=0.5).create() for start in ("1", "2"))
    assert first.prediction_id != again.prediction_id
    assert first.would_end_s == again.would_end_s


def test_instants_have_two_to_nine_digits() -> None:
    """All lengths occur, and each is the instant."""
    written = [format_rfc3339(1_800_000_000 + microsecond / 1e6) for microsecond in range(123_456, 123_464)]
    assert {len(text.rpartition(".")[2]) - 1 for text in written} == set(range(2, 10))
    for text in written:
        assert datetime.fromisoformat(text).timestamp() == pytest.approx(1_800_000_000.12346, abs=0.01)


def test_the_highest_number_in_flight_is_counted_by_overlap() -> None:
    """Two that overlap and one that comes after them: two."""
    here = hour()
    for pause_s in (5, 30, 0):
        here.create({"prompt": f"after {pause_s}"})
        here.s += pause_s
    assert here.provider.truth().highest_in_flight == 2


def test_duplicates_are_told_apart_by_what_was_billed() -> None:
    """A new attempt after a failure was created twice and billed once; the same input billed twice is told."""
    here = hour(build_rule("failed_pa", first=1))
    here.create()
    here.create()
    here.s += 20
    truth = here.provider.truth()
    assert (truth.created, truth.billed, truth.duplicates, truth.duplicates_billed) == (2, 1, 1, 0)
    here.create()
    here.s += 20
    truth = here.provider.truth()
    assert (truth.billed, truth.duplicates_billed, truth.cost_usd) == (2, 1, 0.006)
    assert list(truth.repeated_inputs.values()) == [3]
    assert len(truth.created_at_s) == 3
