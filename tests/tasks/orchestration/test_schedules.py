"""What `imagen serve` is asked for: defaults of a schedule, and every problem with its line or option."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tasks.core.errors import ConfigError
from tasks.orchestration.schedules import Schedule, build_schedule, check_cron, check_schedules, read_schedules
from tasks.runs.request import RunRequest


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_night_has_a_folder_and_pictures_of_its_own(tmp_path: Path) -> None:
    """By default; paths are absolute, since the deployment outlives this folder's being the current one."""
    (tmp_path / "imagen.yaml").write_text("")
    schedule = Schedule.model_validate({"manifest": "foxes.yaml", "cron": "0 2 * * *"})
    request = schedule.request()
    assert (schedule.name, schedule.timezone, request.salt) == ("foxes", "UTC", "{date}")
    assert (request.out, request.manifest) == (str(tmp_path / "runs/foxes/{date}"), str(tmp_path / "foxes.yaml"))
    assert request.config == str(tmp_path / "imagen.yaml")


@pytest.mark.parametrize("address", ["https://example.org/a/foxes.yaml", "gcs://b/foxes.yaml", "hf://datasets/a/foxes"])
def test_an_address_is_no_path_of_this_machine(address: str) -> None:
    """Manifest and configuration at an address stay as they are, so a deployment needs no file of its author's."""
    schedule = Schedule.model_validate({"manifest": address, "config": address, "cron": "0 2 * * *", "out": "s3://b/n"})
    request = schedule.request()
    assert (request.manifest, request.config, request.out, schedule.name) == (address, address, "s3://b/n", "foxes")


@pytest.mark.parametrize(
    ("out", "folder"),
    [("/a/{date}", "/a"), ("/a/n-{date}/x", "/a"), ("/a/b", "/a/b"), ("/{date}", "/"), ("s3://b/n/{date}", "s3://b/n")],
)
def test_the_folder_above_all_nights_is_known(out: str, folder: str) -> None:
    """It is where unfinished nights are looked for."""
    schedule = Schedule.model_validate({"manifest": "m.txt", "cron": "0 2 * * *", "out": out})
    assert schedule.folder == folder


def test_every_problem_of_a_file_has_its_line_and_key(tmp_path: Path) -> None:
    """All of them at once."""
    (tmp_path / "s.yaml").write_text(
        "schedules:\n"
        '  - {manifest: a.yaml, cron: "0 2 * *"}\n'
        "  - manifest: b.yaml\n"
        '    cron: "0 2 * * *"\n'
        "    timezone: Berlin\n"
        "    budget: 3\n"
        '  - cron: "0 2 * * *"\n'
    )
    with pytest.raises(ConfigError) as caught:
        read_schedules(Path("s.yaml"))
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["s.yaml:2:", "s.yaml:5:", "s.yaml:6:", "s.yaml:7:"]
    assert [key in line for key, line in zip(("0.cron", "1.timezone", "1.budget", "2:"), lines, strict=True)] == [
        True
    ] * 4


def test_a_name_that_is_no_text_is_a_problem_like_any_other(tmp_path: Path) -> None:
    """YAML reads a year as a number."""
    (tmp_path / "nights.yaml").write_text("schedules: [{manifest: a.txt, cron: 0 2 * * *, name: 2026}]")
    with pytest.raises(ConfigError, match="name: must be a text, not the number 2026"):
        read_schedules(tmp_path / "nights.yaml")


def test_two_schedules_never_share_a_name_or_a_folder(tmp_path: Path) -> None:
    """One would replace the other on the server, or find its folder taken."""
    (tmp_path / "s.yaml").write_text('schedules: [{manifest: a, cron: "0 2 * * *"}, {manifest: a, cron: "0 3 * * *"}]')
    with pytest.raises(ConfigError, match="two schedules have the same name: a"):
        read_schedules(Path("s.yaml"))


def test_options_are_named_as_they_are_typed() -> None:
    """A bad value on the command line is told by its option."""
    options = {"manifest": ("MANIFEST", "m.txt"), "cron": ("--cron", "61 2 * * *"), "timezone": ("--timezone", "X/Y")}
    with pytest.raises(ConfigError) as caught:
        build_schedule(options)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["--timezone", "--cron"]


def test_a_schedule_holds_no_secret() -> None:
    """Prefect keeps and shows a deployment's parameters; a variable may stand in them, and the message says so."""
    times = {"manifest": ("MANIFEST", "https://me:hunter2@host.example/m.csv"), "cron": ("--cron", "0 2 * * *")}
    with pytest.raises(ConfigError, match=r"^MANIFEST: the address holds a login, .* write \$\{NAME\}") as caught:
        build_schedule({**times, "config": ("--config", "https://host.example/c.yaml?sig=hunter3")})
    assert "--config: the address holds the value of 'sig'" in str(caught.value)
    assert "hunter" not in str(caught.value)
    named = "https://me:${PASSWORD}@host.example/m.csv"
    assert build_schedule({**times, "manifest": ("MANIFEST", named)}).manifest == named


def test_a_schedule_reads_a_manifest_as_a_run_does(tmp_path: Path) -> None:
    """What makes a manifest readable for a run is said to a schedule as well, and travels with each of its runs."""
    (tmp_path / "m.csv").write_bytes("Titel;Szene;quality\n1;F\u00fcchse;hd\n".encode("cp1252"))
    times = {"manifest": str(tmp_path / "m.csv"), "cron": "0 2 * * *"}
    reading = {"ignore_columns": "quality", "prompt_column": "Szene", "encoding": "cp1252"}
    with pytest.raises(ConfigError, match="no column holds the prompts"):
        check_schedules([Schedule.model_validate(times)])
    schedule = Schedule.model_validate({**times, **reading})
    check_schedules([schedule])
    assert reading.items() <= schedule.request().parameters().items()


def test_every_manifest_is_read_before_anything_starts(tmp_path: Path) -> None:
    """The problems of all of them in one error."""
    (tmp_path / "a.jsonl").write_text('{"prompt": ""}\n')
    times = {"cron": "0 2 * * *"}
    with pytest.raises(ConfigError, match=r"a\.jsonl:1(.|\n)*missing\.txt"):
        check_schedules([Schedule.model_validate({"manifest": name, **times}) for name in ("a.jsonl", "missing.txt")])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0 2 * * *", "five fields"),
        ("0 2 * *", "five fields"),
        ("0 2 * * * 2027", "five fields"),
        ("0 2 30 2 *", "never comes"),
        ("0 2 31 4,6,9 *", "never comes"),
        ("0 2 30-31 2 ?", "never comes|five fields"),
    ],
)
def test_a_line_of_another_form_or_without_a_day_is_refused(line: str, reason: str) -> None:
    """A nightly job as Quartz writes it would become a monthly one, and the 30th of February a wait for ever."""
    with pytest.raises(ValueError, match=reason):
        check_cron(line)


@pytest.mark.parametrize(
    "line", ["0 2 * * *", "@daily", "*/5 0 1-7 jan mon", "0 2 29 2 *", "0 2 31 */2 *", "0 2 30 2 mon", "0 2 L * *"]
)
def test_a_line_that_comes_is_taken(line: str) -> None:
    """Also on leap days, on a weekday beside an impossible day, and in forms that only Prefect reads."""
    assert check_cron(line) == line


def test_paths_of_a_schedule_begin_at_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No shell expands `~` in a file of schedules."""
    monkeypatch.setenv("HOME", str(tmp_path))
    schedule = Schedule.model_validate({"manifest": "~/m.txt", "cron": "0 2 * * *", "out": "~/nights/{date}"})
    assert (schedule.manifest, schedule.out) == (f"{tmp_path}/m.txt", f"{tmp_path}/nights/{{date}}")
    assert RunRequest(out="~/x", config="~/c.yaml").parameters()["out"] == f"{tmp_path}/x"


@pytest.mark.soak  # Prefect's scheduler takes seconds to import
@pytest.mark.parametrize(("changes", "starts"), [("2027-03-28", "03:30+0200"), ("2027-10-31", "02:30+0200")])
def test_a_night_on_which_the_clocks_change_has_one_run(changes: str, starts: str) -> None:
    """Both at 02:30 that does not exist and at the one that comes twice, and its folder is that of its day."""
    from prefect.server.schemas.schedules import CronSchedule  # noqa: PLC0415

    given = {"manifest": "m.txt", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "out": "night/{date}"}
    schedule = Schedule.model_validate(given)
    begin = datetime.fromisoformat(changes).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    cron = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    [start] = asyncio.run(cron.get_dates(n=9, start=begin, end=begin + timedelta(hours=23)))
    assert start.astimezone(begin.tzinfo).strftime("%H:%M%z") == starts
    assert schedule.request().on(start).out.endswith(f"night/{changes}")
