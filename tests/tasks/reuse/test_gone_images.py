"""Images that another batch's ledger has and its folder has not any more."""

from __future__ import annotations

import pytest

from tests.tasks.reuse.test_take_over import Workshop, shop  # noqa: F401  a fixture


def test_images_that_are_gone_are_told(shop: Workshop) -> None:  # noqa: F811
    """They are paid for again, so the run says how many, and where they should have been."""
    for path in shop.images("a").values():
        path.unlink()
    assert shop.reuse().counts.reused == 0
    [told] = [line for line in shop.remarks.lines if "gone" in line]
    assert told.startswith(f"reuse: 3 images of {shop.folder / 'a'} cannot be used")


def test_a_place_that_cannot_be_read_is_told_once(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """With its reason, and not as an empty place beside that."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    shop.run("b", "a wolf", reuse=["s3://nobodys/renders"])
    [told] = [line for line in shop.remarks.lines if "nobodys" in line]
    assert "no batch is there" not in told
