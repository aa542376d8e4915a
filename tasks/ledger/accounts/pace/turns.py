"""Transactions of an account's pace: taking the turns of the next moment, and slowing everybody down after a 429."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, select, update

from tasks.core.database import build_insert
from tasks.ledger.accounts.caps.book import begin_exclusively
from tasks.ledger.accounts.pace.clock import read_clock_s
from tasks.ledger.accounts.pace.fairness import Member, catch_up_used, count_allowed
from tasks.ledger.accounts.pace.pauses import note_pause
from tasks.ledger.accounts.pace.schema import members, paces

AHEAD_S = 0.25
"""Seconds for which turns are taken ahead: long beside a query, short beside the time that a 429 takes to reach all."""
LOOK_AGAIN_S = 0.1
"""Seconds until a member asks again that has to let others go first."""
WANTING_S = 2.0
"""Seconds for which a member's wish counts beyond the time at which it was to ask again: one that is gone blocks nobody."""
GONE_S = 10.0
"""Seconds after which a member that was not seen is gone. Where all are, the account's own limit is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules by which a rate is kept, lowered and raised."""

    catch_up_s: float
    """Lateness that is made up for."""
    climb: float
    """Factor of a step up."""
    climb_after: int
    """Accepted calls before such a step."""
    plenty_per_min: float
    """Rate from which turns are no scarce good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A member that wants turns, or only says how it stands."""

    account: str
    me: Member
    accepted: int
    """Calls that were let through since the last question."""
    now_s: float
    """By the machine's clock, where no server has one."""
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The answer: instants of the shared clock, or how long to wait."""

    at_s: Sequence[float]
    wait_s: float
    now_s: float
    per_min: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A 429."""

    account: str
    sent_at_s: float
    """The turn of the call; calls that left before the last cut cut no further."""
    pause_s: float
    now_s: float
    factor: float
    highest_per_min: float
    """A rate above it is cut as if it were this one."""
    slowest_per_min: float
    stated_per_min: float | None
    """The rate that the service states; None where it states none."""
    climb_after_stated: int


def take_turns(db: Connection, question: Question) -> Turns:
    """Take turns from the first free instant on; short lateness is made up for, pauses are not."""
    begin_exclusively(db)
    now_s, me = read_clock_s(db, question.now_s), question.me
    others = _list_others(db, question.account, me.name, now_s)
    most_per_min = min(member.most_per_min for member in (me, *others))
    known = _read_known(db, question)
    row = _read_pace(db, question, now_s, most_per_min, is_first=known is None and not others)
    _climb(row, question, most_per_min)
    used, was_waiting = known or (0.0, 0)
    me = replace(me, used=used)
    if not was_waiting:
        me = replace(me, used=catch_up_used(me, others))
    at_once = max(1.0, row["per_min"] / 60 * AHEAD_S)
    number, wait_s = 0, row["next_at_s"] - now_s - AHEAD_S / 2
    # Only turns of the next moment, or a killed process would take many with it.
    if row["next_at_s"] <= now_s + AHEAD_S:
        number, wait_s = min(count_allowed(me, others, at_once=at_once), max(1, int(at_once))), LOOK_AGAIN_S
    step_s, used_now = 60 / row["per_min"], number
    # Nobody is kept from anything: taken together, so that most jobs find a turn in hand.
    if number and not others and row["per_min"] >= question.rules.plenty_per_min:
        number = int(at_once)
        # A newcomer must not find places free that are taken before this member tells of them.
        used_now = max(used_now, min(number, me.concurrency - me.in_flight))
    first_at_s = max(row["next_at_s"], now_s - row["catch_up_s"])
    if number:
        row["next_at_s"] = first_at_s + number * step_s
    row["seen_at_s"] = now_s
    waiting = max(0, me.waiting - used_now)
    me = replace(me, used=me.used + used_now / me.weight, in_flight=me.in_flight + used_now, waiting=waiting)
    _write(db, paces, row)
    wants_until_s = now_s + max(0.0, wait_s) + WANTING_S
    _write(db, members, {**_build_member_row(question.account, me, now_s), "wants_until_s": wants_until_s})
    return Turns(
        at_s=[first_at_s + step_s * place for place in range(number)],
        wait_s=max(0.0, wait_s),
        now_s=now_s,
        per_min=row["per_min"],
    )


def cut_pace(db: Connection, cut: Cut) -> None:
    """Slow everybody on the account down."""
    begin_exclusively(db)
    row = db.execute(select(paces).where(paces.c.account == cut.account)).mappings().one_or_none()
    if row is None:
        return
    now_s = read_clock_s(db, cut.now_s)
    values: dict[str, Any] = {"since_cut": 0, "next_at_s": max(row["next_at_s"], now_s + cut.pause_s)}
    # A burst of calls in flight is refused together; they tell of one overload.
    if cut.sent_at_s > row["cut_at_s"]:
        values["cut_at_s"] = now_s
        if cut.stated_per_min is None:
            values["per_min"] = max(cut.slowest_per_min, min(row["per_min"], cut.highest_per_min) * cut.factor)
        else:
            # A stated limit allows no burst: a call that comes a moment early is refused.
            values |= {"per_min": cut.stated_per_min, "catch_up_s": 0.0, "climb_after": cut.climb_after_stated}
    db.execute(update(paces).where(paces.c.account == cut.account).values(values))
    # Batches whose configuration has no limit for the account are not among its members.
    note_pause(db, cut.account, now_s + cut.pause_s)


def tell(db: Connection, account: str, member: str, *, in_flight: int, waiting: int, now_s: float) -> None:
    """Say that a member lives, what it has in flight, and whether it waits for a turn."""
    mine = (members.c.account == account) & (members.c.member == member)
    values = {"in_flight": in_flight, "waiting": waiting, "seen_at_s": read_clock_s(db, now_s)}
    db.execute(update(members).where(mine).values(values))


def leave(db: Connection, account: str, member: str) -> None:
    """Take a member away that wants no more turns."""
    db.execute(delete(members).where((members.c.account == account) & (members.c.member == member)))


def _read_pace(
    db: Connection, question: Question, now_s: float, most_per_min: float, *, is_first: bool
) -> dict[str, Any]:
    found = db.execute(select(paces).where(paces.c.account == question.account)).mappings().one_or_none()
    fresh = {
        "account": question.account,
        "per_min": most_per_min,
        "next_at_s": 0.0,
        "cut_at_s": 0.0,
        "catch_up_s": question.rules.catch_up_s,
        "climb_after": question.rules.climb_after,
        "since_cut": 0,
        "seen_at_s": now_s,
    }
    # The machine was started anew since, and its clock with it.
    if found is None or found["seen_at_s"] > now_s + 1:
        return fresh
    if is_first and found["seen_at_s"] < now_s - GONE_S:
        # A rate that was cut for a run of hours ago says nothing now; a pause that the service asked for still holds.
        return {**fresh, "next_at_s": found["next_at_s"]}
    return dict(found)


def _climb(row: dict[str, Any], question: Question, most_per_min: float) -> None:
    """Count accepted calls, and raise the rate by a step after enough of them."""
    row["since_cut"] += question.accepted
    if row["since_cut"] >= row["climb_after"] and row["per_min"] < most_per_min:
        row["since_cut"], row["per_min"] = 0, row["per_min"] * question.rules.climb
    row["per_min"] = min(row["per_min"], most_per_min)


def _list_others(db: Connection, account: str, name: str, now_s: float) -> list[Member]:
    """The other living members; a wish that was not renewed is none."""
    others = []
    for row in db.execute(select(members).where((members.c.account == account) & (members.c.member != name))):
        age_s = now_s - row.seen_at_s
        # Also one that was seen in the future: before the machine was started anew.
        if not -1 <= age_s < GONE_S:
            leave(db, account, row.member)
            continue
        others.append(
            Member(
                name=row.member,
                most_per_min=row.most_per_min,
                weight=row.weight,
                used=row.used,
                waiting=row.waiting if now_s < row.wants_until_s else 0,
                in_flight=row.in_flight,
                concurrency=row.concurrency,
            )
        )
    return others


def _read_known(db: Connection, question: Question) -> tuple[float, int] | None:
    """Count and wish of the member that asks, as it left them; None for a new one."""
    mine = (members.c.account == question.account) & (members.c.member == question.me.name)
    row = db.execute(select(members.c.used, members.c.waiting).where(mine)).one_or_none()
    return None if row is None else (float(row.used), int(row.waiting))


def _build_member_row(account: str, me: Member, now_s: float) -> dict[str, Any]:
    values = asdict(me)
    return {"account": account, "member": values.pop("name"), **values, "seen_at_s": now_s}


def _write(db: Connection, table: Any, row: dict[str, Any]) -> None:
    insert = build_insert(db.dialect.name, table).values(row)
    db.execute(insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=row))
