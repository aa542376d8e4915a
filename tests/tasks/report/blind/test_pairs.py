"""Pairs and results: which images stand against each other, and what the answers say about their models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError
from tasks.ledger.comparing.answers import Comparison
from tasks.ledger.database.schema import AnswerName
from tasks.report.blind.pairs import Candidate, Pair, Unpaired, count_unpaired, find_pairs
from tasks.report.blind.rating import estimate_win_rate, rate_models
from tasks.report.blind.report import format_results
from tasks.report.blind.results import build_results
from tasks.store.output.folder import OutputFolder


def candidate(name: str, **changes: Any) -> Candidate:
    """An image of the row `name`, by model m in folder one."""
    values: dict[str, Any] = {
        "out": OutputFolder(Path("runs/one")),
        "job_id": name,
        "sha256": f"{name}-{len(changes)}-{changes.get('model')}-{changes.get('completed_at_us')}",
        "file_name": f"images/{name}.png",
        "model": "m",
        "id": name,
        "sample": 0,
        "prompt": f"prompt of {name}",
        "negative_prompt": "",
    }
    return Candidate(**values | changes)


def list_pairs(pairs: dict[str, Pair]) -> set[tuple[str, str]]:
    """The rows that stand against each other."""
    return {(pair.first.job_id, pair.second.job_id) for pair in pairs.values()}


def test_rows_match_by_id_and_sample_else_by_prompt() -> None:
    """An id goes before a prompt; without one, images of one prompt pair in their order; no image stands in two pairs."""
    first = [
        candidate("a"),
        candidate("b", sample=1),
        candidate("c", id=None, prompt="p"),
        candidate("d", id=None, prompt="p"),
    ]
    second = [
        candidate("a", model="n", prompt="edited"),
        candidate("b", model="n", prompt="another sample"),
        candidate("e", model="n", prompt="p"),
        candidate("x", model="n", prompt="prompt of a"),
    ]
    assert list_pairs(find_pairs(first, second, seed=0)) == {("a", "a"), ("c", "e")}


def test_the_newest_image_of_a_row_is_compared() -> None:
    """A row that was made once more has one pair, and equal files have none."""
    first = [candidate("a", completed_at_us=2), candidate("a", completed_at_us=1), candidate("b", sha256="same")]
    second = [candidate("a", model="n"), candidate("b", model="n", sha256="same")]
    [pair] = find_pairs(first, second, seed=0).values()
    assert pair.first.completed_at_us == 2


def test_models_of_one_batch_are_compared() -> None:
    """Each with each other, by their prompts; one model alone has nothing to be compared with."""
    batch = [candidate(f"row-{model}", model=model, prompt="p") for model in "klm"]
    pairs = find_pairs(batch, None, seed=0)
    assert {pair.labels for pair in pairs.values()} == {("k", "l"), ("k", "m"), ("l", "m")}
    with pytest.raises(InputError, match="are of the model k"):
        find_pairs(batch[:1], None, seed=0)


def test_what_is_in_no_pair_is_counted() -> None:
    """Rows of one side only, and equal files; an older image of a row that was made once more is neither."""
    first = [candidate(name) for name in ("a", "b", "c")] + [candidate("a", sha256="older", completed_at_us=-1)]
    second = [
        candidate("a", model="n"),
        candidate("b", sha256=first[1].sha256, model="n"),
        candidate("z", model="n", prompt="z"),
    ]
    assert len(find_pairs(first, second, seed=0)) == 1
    assert count_unpaired(first, second) == Unpaired(alone=2, equal=1)


def test_a_model_in_both_batches_is_told_apart() -> None:
    """By the batch's name, and by its place where both have one name."""
    other = [candidate("a", out=OutputFolder(Path("old/one")))]
    [pair] = find_pairs([candidate("a", sha256="x")], other, seed=0).values()
    assert pair.labels == ("runs/one: m", "old/one: m")


def test_sides_are_shuffled_by_the_seed() -> None:
    """The same seed gives the same sides and order; over many pairs, each batch stands on the left about as often."""
    first = [candidate(str(number)) for number in range(400)]
    second = [candidate(str(number), model="n") for number in range(400)]
    pairs, again, other = (find_pairs(first, second, seed=seed) for seed in (0, 0, 1))
    swapped = sum(pair.is_swapped for pair in pairs.values())
    assert list(pairs.values()) == list(again.values())
    assert 150 < swapped < 250
    assert pairs.keys().isdisjoint(other.keys())


def test_the_win_rate_is_that_of_wilson() -> None:
    """Figures of the literature: 1 of 10 is 0.018 to 0.404; nothing compared has no rate; all won stays at 1."""
    assert estimate_win_rate(1, 10) == pytest.approx((0.1, 0.0179, 0.4042), abs=1e-4)
    assert estimate_win_rate(0, 0) is None
    assert estimate_win_rate(5, 5) == pytest.approx((1, 0.5655, 1), abs=1e-4)


def test_ratings_find_the_strengths_and_stay_finite() -> None:
    """Odds of 10 to 1 are 400 points; who won everything has a finite rating; the mean is 1000; more answers are surer."""
    few, many = (rate_models({(0, 1): 10 * factor, (1, 0): factor}, 2) for factor in (1, 1_000))
    assert many[0][0] - many[1][0] == pytest.approx(400, abs=2)
    assert few[0][2] - few[0][1] > 5 * (many[0][2] - many[0][1])
    ratings = [rating for rating, _, _ in rate_models({(0, 1): 1e6, (1, 2): 1e6}, 3)]
    assert ratings == sorted(ratings, reverse=True)
    assert sum(ratings) == pytest.approx(3_000)
    assert max(ratings) < 5_000
    assert [rating for rating, _, _ in rate_models({}, 2)] == [1_000, 1_000]


def compared(pair: Pair, answer: AnswerName, reviewer: str = "ann") -> Comparison:
    """An answer about a pair."""
    return Comparison(
        first_job=pair.first.job_id,
        first_sha256=pair.first.sha256,
        second_job=pair.second.job_id,
        second_sha256=pair.second.sha256,
        reviewer=reviewer,
        answer=answer,
        at_us=0,
    )


def test_results_count_by_model_and_column() -> None:
    """A skip decides nothing, a tie is half a win, two reviewers are two answers, another file's answer is none of ours."""
    first = [candidate(str(number), columns={"kind": "cat" if number < 2 else "dog"}) for number in range(4)]
    second = [candidate(str(number), model="n") for number in range(4)]
    pairs = find_pairs(first, second, seed=3)
    by_row = {pair.first.job_id: pair for pair in pairs.values()}
    stranger = next(iter(find_pairs([candidate("z")], [candidate("z", model="n")], seed=3).values()))
    answers = [
        compared(by_row["0"], "first"),
        compared(by_row["0"], "tie", "bob"),
        compared(by_row["1"], "first"),
        compared(by_row["2"], "second"),
        compared(by_row["3"], "skip"),
        compared(stranger, "second"),
    ]
    record = build_results(pairs, answers, Unpaired(2, 1))
    assert (record["pairs"], record["compared"], record["answers"], record["skipped"]) == (4, 3, 4, 1)
    assert record["reviewers"] == ["ann", "bob"]
    assert [(row["model"], row["won"], row["tied"], row["lost"], row["win_rate"]) for row in record["models"]] == [
        ("m", 2, 1, 1, 0.625),
        ("n", 1, 1, 2, 0.375),
    ]
    split = {(row["value"], row["model"]): row["win_rate"] for row in record["columns"]}
    assert split == {("cat", "m"): 0.8333, ("cat", "n"): 0.1667, ("dog", "m"): 0, ("dog", "n"): 1}
    text = "\n".join(format_results(record))
    assert "not compared: 2 images without a counterpart" in text
    assert "not compared: 1 pair of equal files" in text
    assert "4 pairs: 3 compared in 4 answers of 2 reviewers, 1 skipped" in text
    assert "62%" in text
