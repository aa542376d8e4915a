"""The rules of single rows that a ledger has: found when a run begins, each built once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import ConfigError
from tasks.core.gates import Gates
from tasks.core.records import JobState
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.job_rows import build_damage
from tasks.ledger.jobs import is_wanted
from tasks.ledger.queries import read_job_pages
from tasks.manifest.row_gates import RULE, RowGates
from tasks.metadata.exports.extra_columns import read_extra
from tasks.scores.gates.pools import GATE_SALT, Pool
from tasks.scores.gates.rule import Rule, build_rule, needs_own_columns

_BEGIN = f'"{RULE}": {{'


async def find_row_layers(engine: AsyncEngine) -> list[Mapping[str, Any]]:
    """The different rules of the rows that the last plan wants.

    Raises:
        InputError: The ledger is damaged.
    """
    # The rule comes last in its row's columns, so that the database itself can tell the few different ones apart.
    find = func.instr if engine.dialect.name == "sqlite" else func.strpos
    begin = find(jobs.c.extra, _BEGIN)
    of_rows = is_wanted() & ~jobs.c.salt.startswith(GATE_SALT)
    query = select(func.substr(jobs.c.extra, begin)).where((begin > 0) & of_rows).distinct()
    try:
        return [json.loads(f"{{{text}")[RULE] for (text,) in await fetch_rows(engine, query)]
    except (ValueError, RecursionError) as exc:
        raise build_damage("the rule of a row", exc) from None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a run, ready to be asked."""

    gates: RowGates
    known: Mapping[Gates, Rule]

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of all scores and judges that they need."""
        return tuple(dict.fromkeys(name for rule in self.known.values() for name in rule.scores))

    def find(self, row: RowMapping) -> Rule:
        """The rule of a row.

        Raises:
            ConfigError: Another process has planned it since this run began.
        """
        return self.get(self.gates.find_in_text(row["extra"]))

    def get(self, gates: Gates) -> Rule:
        """The rule that was built of these gates; see `find`."""
        if (rule := self.known.get(gates)) is None:
            raise ConfigError("the manifest was planned again with other rules while this run went on")
        return rule

    def find_rejected(self, pools: Sequence[Pool]) -> set[str]:
        """The job ids of the pools' images that are rejected.

        Raises:
            InputError: A condition cannot be evaluated.
        """
        by_rule: dict[Gates, list[RowMapping]] = {}
        for pool in pools:
            images = (row for row in (*pool.originals, *pool.rerolls) if row["state"] == JobState.SUCCEEDED)
            by_rule.setdefault(pool.gates, []).extend(images)
        return {job_id for gates, found in by_rule.items() for job_id in self.get(gates).find_rejected(found)}


@asynccontextmanager
async def open_rules(
    engine: AsyncEngine, run: Gates, layers: Iterable[Mapping[str, Any]], judges: Collection[str]
) -> AsyncIterator[Rules]:
    """The rules of a run and of its rows for the duration of the block.

    Args:
        engine: The ledger.
        run: The rule of the run.
        layers: The different rules of rows, as `find_row_layers` gives them.
        judges: Names of the judges that are configured.

    Raises:
        ConfigError: `by` is the result of no score.
        InputError: A condition cannot be understood.
    """
    by_row = RowGates(run)
    every = dict.fromkeys((run, *(by_row.find({RULE: layer}) for layer in layers)))
    own = await _read_own_columns(engine) if any(needs_own_columns(each, judges) for each in every) else ()
    known: dict[Gates, Rule] = {}
    try:
        for gates in every:
            known[gates] = build_rule(gates, own, judges)
        yield Rules(by_row, known)
    finally:
        for rule in known.values():
            if rule.condition is not None:
                rule.condition.close()


async def _read_own_columns(engine: AsyncEngine) -> list[str]:
    names: dict[str, None] = {}
    async for page in read_job_pages(engine):
        for row in page:
            names |= dict.fromkeys(read_extra(row))
    return list(names)
