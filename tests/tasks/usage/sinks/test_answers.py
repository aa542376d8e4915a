"""What answers mean that no PostgREST on this machine gives: those of newer versions and of a gateway."""

from __future__ import annotations

import httpx
import pytest

from tasks.core.errors import UsageAway, UsageRefused
from tasks.usage.sinks.answers import build_refusal
from tasks.usage.sinks.refusals import Place
from tests.support.services.postgrest import key

PLACE = Place("the usage table at host", address="URL_VARIABLE", key="KEY_VARIABLE")


def test_a_wait_that_is_asked_for_is_kept() -> None:
    """429 and its Retry-After; one without, or with a date, leaves the wait to us."""
    for header, expected in (({"Retry-After": "7"}, 7.0), ({}, None), ({"Retry-After": "Tue, 24 Nov 2026"}, None)):
        error = build_refusal(httpx.Response(429, headers=header), PLACE, key="k")
        assert isinstance(error, UsageAway)
        assert error.retry_after_s == expected


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="<html>Bad Gateway"),
        httpx.Response(503, json={"code": "PGRST000"}),
        httpx.Response(504, json={"code": "PGRST003"}),
        *(httpx.Response(status) for status in (408, 500, 520, 521, 522, 523, 524, 525, 530, 540, 544)),
        httpx.Response(500, text="<html>Internal Server Error"),
        httpx.Response(500, json={"code": "57P01"}),
        httpx.Response(500, json={"code": "57014"}),
        httpx.Response(405, json={"code": "25006"}),
        httpx.Response(400, json={"code": "08006"}),
        httpx.Response(400, json={"code": "", "details": None, "hint": None, "message": ""}),
    ],
)
def test_a_server_that_is_away_is_asked_again(answer: httpx.Response) -> None:
    """By its status, whatever the page says; a database that stops or dies by its code, or by there being none."""
    assert isinstance(build_refusal(answer, PLACE, key="k"), UsageAway)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "", "key"),
        (401, "PGRST303", "key"),
        (403, "", "key"),
        (403, "42501", "permission"),
        (404, "PGRST205", "schema"),
        (404, "", "setting"),
        (406, "PGRST106", "schema"),
        (400, "PGRST204", "schema"),
        (409, "23514", "data"),
        (400, "22003", "data"),
        (400, "PGRST102", "other"),
        (500, "XX000", "other"),
        (301, "", "setting"),
        (200, "", "setting"),
    ],
)
def test_refusals_are_told_apart(status: int, code: str, reason: str) -> None:
    """Status first, then code; none of them is tried again."""
    body = {"code": code, "message": "words"} if code else {"message": "words"}
    error = build_refusal(httpx.Response(status, json=body), PLACE, key="k")
    assert isinstance(error, UsageRefused)
    assert error.reason == reason


def test_a_web_page_with_403_is_not_the_key_s_fault() -> None:
    """A firewall has answered: the message speaks of the network, not of the key."""
    error = build_refusal(httpx.Response(403, html="<html>Access denied"), PLACE, key="k")
    assert isinstance(error, UsageRefused)
    assert "web page" in str(error)
    assert "KEY_VARIABLE" not in str(error)


def test_a_paused_project_says_so() -> None:
    """It comes back when somebody restores it, so the rows stay pending."""
    assert "paused" in str(build_refusal(httpx.Response(540), PLACE, key="k"))


def test_a_key_past_its_time_is_expired_in_every_version() -> None:
    """Read from the key itself: the code is that of a wrong one before version 13."""
    for code in ("PGRST301", "PGRST303"):
        error = build_refusal(httpx.Response(401, json={"code": code}), PLACE, key=key(expires_in_s=-1))
        assert isinstance(error, UsageRefused)
        assert error.reason == "expired"


def test_a_server_that_repeats_the_key_does_not_get_it_onto_the_screen() -> None:
    """What a message quotes is cleared of the key."""
    answer = httpx.Response(401, json={"message": "no such key: sb_secret_123"})
    assert "sb_secret_123" not in str(build_refusal(answer, PLACE, key="sb_secret_123"))
