"""When a fault strikes: by share, by number, by prompt, and the same way again."""

from __future__ import annotations

import pytest

from tasks.backends.replicate_simulator.faults import FAULTS, FaultPlan, Rule, build_rule, parse_rule


def struck(plan: FaultPlan, subjects: range, name: str = "file_404") -> list[int]:
    """Which of the subjects the fault strikes."""
    return [subject for subject in subjects if plan.strikes(name, str(subject))]


def planned(*rules: Rule, seed: int = 0) -> FaultPlan:
    """A plan with these rules."""
    plan = FaultPlan(seed)
    plan.replace(rules)
    return plan


def test_a_share_is_kept_and_repeats_itself_in_any_order() -> None:
    """About a tenth; the same subjects for the same seed, whoever comes first; others for another seed."""
    found = struck(planned(build_rule("file_404", 0.1)), range(5_000))
    assert len(found) == pytest.approx(500, rel=0.2)
    assert sorted(struck(planned(build_rule("file_404", 0.1)), range(4_999, -1, -1))) == found
    assert struck(planned(build_rule("file_404", 0.1), seed=1), range(5_000)) != found


def test_the_same_subject_is_drawn_anew_each_time() -> None:
    """So a second try may go well."""
    plan = planned(build_rule("file_404", 0.5))
    draws = [plan.strikes("file_404", "x") is not None for _ in range(100)]
    assert 20 < sum(draws) < 80


def test_numbers_limit_a_fault() -> None:
    """It passes the first occasions, then strikes so many times."""
    assert struck(planned(build_rule("file_404", first=2, after=3)), range(10)) == [3, 4]


def test_other_rules_take_the_place_of_all_rules_and_count_anew() -> None:
    """What has struck so far stays in the account."""
    plan = planned(build_rule("file_404", first=1))
    assert struck(plan, range(3)) == [0]
    plan.replace([build_rule("file_404", first=1)])
    assert struck(plan, range(3)) == [0]
    plan.replace([])
    assert struck(plan, range(3)) == []
    assert plan.struck == {"file_404": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file_404", Rule(name="file_404")),
        ("file_404:0.2", Rule(name="file_404", rate=0.2)),
        ("slow_file", Rule(name="slow_file", seconds=10)),
        ("slow_file:2.5", Rule(name="slow_file", seconds=2.5)),
        ("insufficient_credit:50", Rule(name="insufficient_credit", after=50)),
        ("retention:0", Rule(name="retention", seconds=0)),
    ],
)
def test_a_number_means_what_the_fault_is_measured_in(text: str, expected: Rule) -> None:
    """A share, seconds or creates."""
    assert parse_rule(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_405", "'file_405' is no fault"),
        ("file_404:often", "'often' is no number"),
        ("file_404:", "'' is no number"),
        ("file_404:1.5", "between 0 and 1"),
        ("slow_file:-1", "not negative"),
        ("insufficient_credit:inf", "no number that can be used"),
        ("file_404:nan", "no number that can be used"),
        ("clock_skew:1e308", "at most 100,000,000 seconds"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(text: str, said: str) -> None:
    """It names the fault or the number."""
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        parse_rule(text)


def test_every_fault_says_what_is_seen() -> None:
    """Each with the call or the thing that it befalls."""
    befalls = {fault.shows.partition(":")[0] for fault in FAULTS.values()}
    assert befalls == {"any call", "create", "list", "get and list", "prediction", "prediction and file", "file"}
