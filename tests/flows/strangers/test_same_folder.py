"""Two manifests of one name, and manifests that share a folder: no paid image leaves a table unasked."""

from __future__ import annotations

import pytest

from tests.flows.conftest import Cli

pytestmark = pytest.mark.server


@pytest.fixture
def two(cli: Cli) -> Cli:
    """`a/prompts.txt` was run into its default folder; `b/prompts.txt` is another one."""
    for name in "ab":
        (cli.folder / name).mkdir()
        (cli.folder / name / "prompts.txt").write_text(f"{name} one\n{name} two\n")
    assert cli.json("run", "a/prompts.txt")["out"] == "runs/prompts"
    return cli


def test_a_second_manifest_of_one_name_gets_a_folder_of_its_own(two: Cli) -> None:
    """The first one's table stays as it is, and each manifest finds its own folder again."""
    second = two.json("run", "b/prompts.txt")
    assert second["out"].startswith("runs/prompts-")
    assert two.json("plan", "b/prompts.txt") | {"out": second["out"], "done": 2} == two.json("plan", "b/prompts.txt")
    assert two.json("plan", "a/prompts.txt")["done"] == 2
    assert two.json("status", "runs/prompts")["images"] == 2


def test_a_manifest_that_moved_keeps_its_folder(two: Cli) -> None:
    """Otherwise everything would be paid for again."""
    (two.folder / "c").mkdir()
    (two.folder / "a/prompts.txt").rename(two.folder / "c/prompts.txt")
    assert two.json("plan", "c/prompts.txt")["done"] == 2


def test_a_folder_without_a_common_row_is_replaced_only_when_asked_for(two: Cli) -> None:
    """The message names both manifests and the switch; with it, the rows leave and the files stay."""
    refused = two.run("run", "b/prompts.txt", "--out", "runs/prompts")
    assert refused.returncode == 2
    for words in ("2 images", "a/prompts.txt", "b/prompts.txt", "--replace"):
        assert words in refused.stderr
    assert two.json("status", "runs/prompts")["outcome"] == "completed"
    assert two.json("run", "b/prompts.txt", "--out", "runs/prompts", "--replace")["images"] == 2
    assert len(list((two.folder / "runs/prompts/images").rglob("*.png"))) == 4
