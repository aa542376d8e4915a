"""From prompts to jobs: identity, seeds, checks over the whole manifest, and what it comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError, ManifestError
from tasks.core.records import Job
from tasks.manifest import open_manifest
from tasks.manifest.row_gates import MOST_ROW_RULES
from tasks.plan.check import PlanReport, check_manifest
from tasks.plan.planner import PlanOptions, plan_manifest


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    """A JSONL manifest of these rows."""
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def jobs(path: Path, settings: Settings | None = None, **options: Any) -> list[Job]:
    """The planned jobs of a manifest."""
    with open_manifest(str(path)) as manifest:
        return [item.job for item in plan_manifest(manifest, settings or Settings(), PlanOptions(**options))]


def check(path: Path, settings: Settings | None = None, **options: Any) -> PlanReport:
    """What a manifest comes to."""
    with open_manifest(str(path)) as manifest:
        return check_manifest(manifest, settings or Settings(), PlanOptions(**options))


def test_identity_is_not_the_place_or_the_id(tmp_path: Path) -> None:
    """The same pictures in another order, under other ids, with other extra columns, are the same jobs."""
    before = jobs(written(tmp_path, {"id": "a", "prompt": "fox"}, {"id": "b", "prompt": "owl"}))
    after = jobs(
        written(
            tmp_path,
            {"id": "x", "prompt": " owl\n", "note": "n"},
            {"prompt": "fox", "format": "webp", "reject": "blank"},
        )
    )
    assert [job.job_id for job in after] == [job.job_id for job in reversed(before)]
    assert [job.seed for job in after] == [job.seed for job in reversed(before)]


def test_rules_of_rows_are_added_up_row_by_row(tmp_path: Path) -> None:
    """Each row's rerolls and judges count, and the different rules have the line where they stand first."""
    judge = {"question": "A fox?", "model": "eye", "key_env": None, "price_usd": 0.01}
    settings = Settings.model_validate({"scores": {"eye": judge}})
    rule = {"reject": "not eye", "reroll": 2}
    rows = (
        {"prompt": "a"},
        {"prompt": "b", "samples": 3, **rule},
        {"prompt": "c", **rule},
        {"prompt": "d", "reroll": 0, "reject": "blank"},
    )
    report = check(written(tmp_path, *rows), settings)
    assert (report.rerolls, report.judges_micros) == (8, 40_000)
    assert report.rerolls_micros == 8 * 10_000
    assert [place.rpartition(":")[2] for place in report.row_gates.values()] == ["2", "4"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"reroll": 1}], "needs reject"),
        ([{"keep": {"best": 2}}], "--by"),
        ([{"reject": f"sharpness < {number}"} for number in range(MOST_ROW_RULES + 1)], "too many"),
    ],
)
def test_a_rule_of_a_row_that_is_none_has_its_line(rows: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    """With what the run's rule leaves open; told before anything is sent."""
    with pytest.raises(ManifestError, match=said) as refused:
        check(written(tmp_path, *({"prompt": "a", **row} for row in rows)))
    assert [problem.line for problem in refused.value.problems] == [len(rows)]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "foxes"},
        {"negative_prompt": "x"},
        {"width": 64},
        {"height": 64},
        {"aspect_ratio": "2:1"},
        {"steps": 2},
        {"seed": 1},
        {"backend_opts": {"a": 1}},
    ],
)
def test_whatever_decides_the_picture_is_identity(change: dict[str, Any], tmp_path: Path) -> None:
    """A row with another value is another job."""
    base, changed = jobs(written(tmp_path, {"prompt": "fox"}, {"prompt": "fox", **change}))
    assert base.job_id != changed.job_id


def test_model_options_and_salt_are_identity_and_the_instances_name_is_not(tmp_path: Path) -> None:
    """Renaming a backend pays for nothing; another model, option or salt does."""
    path = written(tmp_path, {"prompt": "fox"})

    def identity(name: str = "sketch", salt: str = "", **backend: Any) -> str:
        instance = BackendSettings.model_validate({"type": "sketch", **backend})
        return jobs(path, Settings(default_backend=name, backends={name: instance}), salt=salt)[0].job_id

    assert identity() == identity(name="other")
    assert len({identity(), identity(model="m"), identity(backend_opts={"a": 1}), identity(salt="monday")}) == 4


def test_identical_rows_are_jobs_of_their_own(tmp_path: Path) -> None:
    """Each repetition gets another seed, and is counted."""
    path = written(tmp_path, *[{"prompt": "fox"}] * 3)
    assert len({job.job_id for job in jobs(path)}) == len({job.seed for job in jobs(path)}) == 3
    assert check(path).duplicates == 2


def test_samples_of_a_given_seed_count_up_from_it(tmp_path: Path) -> None:
    """The first sample has the very seed of the row; the largest one wraps instead of overflowing."""
    last = 2**63 - 1
    rows = ({"prompt": "fox", "seed": 7, "samples": 3}, {"prompt": "owl", "seed": last, "samples": 2})
    assert [job.seed for job in jobs(written(tmp_path, *rows))] == [7, 8, 9, last, 0]


def test_rows_that_name_no_backend_take_the_chosen_one(tmp_path: Path) -> None:
    """A row's own backend wins over --backend, --backend over the default."""
    sketch = BackendSettings(type="sketch")
    settings = Settings(default_backend="a", backends={"a": sketch, "b": sketch, "c": sketch})
    path = written(tmp_path, {"prompt": "x"}, {"prompt": "y", "backend": "c"})
    assert [job.backend for job in jobs(path, settings)] == ["a", "c"]
    assert [job.backend for job in jobs(path, settings, backends=("b",))] == ["b", "c"]
    with pytest.raises(ConfigError, match="'nope' is not configured"):
        jobs(path, settings, backends=("nope",))


def test_a_row_falls_back_in_the_order_that_it_names(tmp_path: Path) -> None:
    """The first backend decides the identity, so a row with a fallback is the same picture as without."""
    sketch = BackendSettings(type="sketch")
    settings = Settings(default_backend=["a", "b"], backends={"a": sketch, "b": sketch, "c": sketch})
    path = written(tmp_path, {"prompt": "x"}, {"prompt": "y", "backend": ["c", "a"]})
    planned = jobs(path, settings)
    assert [(job.backend, job.fallbacks) for job in planned] == [("a", ("b",)), ("c", ("a",))]
    alone = written(tmp_path, {"prompt": "x", "backend": "a"}, {"prompt": "y", "backend": "c"})
    assert [(job.job_id, job.fallbacks) for job in jobs(alone, settings)] == [(job.job_id, ()) for job in planned]
    with pytest.raises(ManifestError, match="'nope' is not configured"):
        check(written(tmp_path, {"prompt": "x", "backend": "a, nope"}), settings)


def test_the_report_adds_up_money_and_time(tmp_path: Path) -> None:
    """Rows, jobs, dollars and the time at the allowed rate."""
    settings = Settings(
        backends={
            "sketch": BackendSettings.model_validate(
                {"type": "sketch", "price_usd": 0.003, "creates_per_min": 60, "concurrency": 2, "latency_s": 0.93}
            )
        }
    )
    report = check(written(tmp_path, {"prompt": "fox", "samples": 4}, {"prompt": "owl"}), settings)
    assert (report.rows, report.jobs, report.estimate_micros, report.unpriced) == (2, 5, 15_000, 0)
    assert report.duration_s == pytest.approx(5.0)
    assert check(written(tmp_path, {"prompt": "fox", "samples": 4}), settings, limit=3).jobs == 3


def test_every_problem_of_the_manifest_is_in_the_error(tmp_path: Path) -> None:
    """Cells, unknown backends and repeated ids alike."""
    path = written(
        tmp_path,
        {"id": "x", "prompt": ""},
        {"id": "y", "prompt": "a", "backend": "b"},
        {"id": "z", "prompt": "c"},
        {"id": "z", "prompt": "d"},
    )
    with pytest.raises(ManifestError) as caught:
        check(path)
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [
        (1, "prompt"),
        (2, "backend"),
        (4, "id"),
    ]


def test_an_empty_manifest_is_a_mistake(tmp_path: Path) -> None:
    """Nothing to do is not a success that a nightly job should report."""
    with pytest.raises(ManifestError, match="holds no rows"):
        check(written(tmp_path))


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    """Planning ten times as many rows takes about the same memory, ids and contents included."""
    code = (
        "import sys; from tests.tasks.plan.test_planner import check; from pathlib import Path; check(Path(sys.argv[1]));"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks_kib = []
    for count in (10_000, 100_000):
        path = written(tmp_path, *({"id": f"row-{n}", "prompt": f"picture {n}"} for n in range(count)))
        answer = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        )
        peaks_kib.append(int(answer.stdout))
    assert peaks_kib[1] - peaks_kib[0] < 40 * 1024


MODELS = Settings(
    default_backend="fast",
    backends={
        "fast": BackendSettings(type="sketch", model="owner/flux-schnell"),
        "good": BackendSettings(type="sketch", model="gpt-image-1.5"),
    },
)


def test_a_rows_model_chooses_its_backend(tmp_path: Path) -> None:
    """The model that a row names makes its image, or nothing is made at all."""
    rows = [
        {"prompt": "a", "model": "flux-schnell"},
        {"prompt": "b", "Model": "openai/gpt-image-1.5:1"},
        {"prompt": "c"},
    ]
    assert [job.backend for job in jobs(written(tmp_path, *rows), MODELS)] == ["fast", "good", "fast"]


@pytest.mark.parametrize("row", [{"model": "dall-e-3"}, {"model": "gpt-image-1.5", "backend": "fast"}])
def test_a_model_that_no_backend_of_the_row_has_is_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    """No other model is paid for than the one that was named."""
    with pytest.raises(ManifestError, match="--ignore-columns model") as caught:
        check(written(tmp_path, {"prompt": "a"}, {"prompt": "b", **row}), MODELS)
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(2, "model")]


def test_seeds_that_overlap_are_told(tmp_path: Path) -> None:
    """Two samples from seed 1 and two from seed 2 share an image, which would be paid for twice."""
    rows = [{"prompt": "a", "seed": seed, "samples": 2} for seed in (1, 2)]
    [note] = check(written(tmp_path, *rows)).notes
    assert "1 image " in note
    assert "line 2: seed 2, as line 1" in note
    assert check(written(tmp_path, {**rows[0]}, {**rows[1], "seed": 3})).notes == ()


def test_the_report_lists_the_columns(tmp_path: Path) -> None:
    """Used, carried along and left out: what a person checks before paying."""
    report = check(written(tmp_path, {"Prompt": "a", "Num Images": 2, "mood": "calm"}))
    assert report.columns == {"used": {"Prompt": "prompt", "Num Images": "samples"}, "carried": ["mood"], "ignored": {}}
