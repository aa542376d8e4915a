"""Planning of a run: write the manifest's jobs, open failed ones again, check the estimate against the budget."""

from __future__ import annotations

from tasks.backends import require_ready
from tasks.core.display import current_display
from tasks.core.errors import BatchStopped, ConfigError
from tasks.core.gates import sum_judge_prices
from tasks.core.records import Job, JobState
from tasks.core.text import format_count
from tasks.generate.batch import Batch
from tasks.ledger.jobs import write_plan
from tasks.ledger.open_jobs import Selection, find_open_backends, find_open_jobs, list_shards
from tasks.ledger.runs import record_plan
from tasks.manifest import open_manifest
from tasks.manifest.row_gates import RowGates
from tasks.plan.digest import PlanDigest
from tasks.plan.fallback import move_to_backend
from tasks.plan.planner import plan_manifest
from tasks.plan.reroll import write_rerolls
from tasks.runs.checks import has_same_plan
from tasks.runs.reopen import reopen_jobs
from tasks.runs.rerolls import find_rerolls
from tasks.runs.reuse import reuse_images
from tasks.runs.run import OpenRun, handed_over

# Jobs whose cost is added up at a time; the sum needs no more than that in memory.
ESTIMATE_PAGE_JOBS = 2_000


async def plan_run(run: OpenRun) -> Selection:
    """Write the manifest's jobs into the ledger and open again the jobs that the user names.

    A run that was handed over is planned already.

    Returns:
        The open jobs to generate. The batch is stopped already where their estimate exceeds the budget.

    Raises:
        ConfigError: A backend that open jobs need is not set up.
    """
    # The command line plans before it starts the server, and hands the plan over instead of making it twice.
    if (ready := handed_over.get()) is not None and ready[0] is run:
        return ready[1]
    batch, request = run.batch, run.request
    if request.manifest is not None and not await has_same_plan(batch.engine, request):
        await _plan_manifest(run, request.manifest)
    # Each reroll is a job of its own, so the image that it replaces stays.
    wanted = await find_rerolls(batch.engine, batch.out, request)
    await write_rerolls(batch.engine, wanted.rerolls, run=run.number, now_us=batch.clock.now_us())
    await reopen_jobs(run)
    selection = _select_jobs(run)
    # A reroll asks for another image, and never for one that is there. Kept answers are read where they are.
    if not wanted.rerolls and not request.reread:
        selection = await reuse_images(batch, selection)
    # Before the first job is sent: a backend without a key must not be found out at job 500.
    for name in await find_open_backends(batch.engine, selection):
        require_ready(name, batch.backend(name))
    if batch.budget.capped:
        # The estimate is what the budget is compared with; a resume counts what it has reserved already.
        try:
            batch.budget.check_estimate(await _sum_estimates(batch, selection))
        except BatchStopped as stopped:
            batch.stop.stop(stopped)
    return selection


async def _plan_manifest(run: OpenRun, source: str) -> None:
    options = run.request.plan_options()
    digest = PlanDigest(options)
    with open_manifest(source, options=run.request.read_options(run.settings)) as manifest:
        dropped = await write_plan(
            run.batch.engine,
            digest.add_each(plan_manifest(manifest, run.settings, options)),
            run=run.number,
            salt=options.salt,
            whole=options.limit is None,
            now_us=run.batch.clock.now_us(),
        )
    if dropped:
        current_display.get().warn(
            f"{format_count(dropped, 'image')} leave the table, because {source} does not have their rows; the files stay"
        )
    # Written when the plan is done, so that a plan that is interrupted is not taken for one.
    await record_plan(run.batch.engine, run.number, options.salt, digest=digest.compute())


def _select_jobs(run: OpenRun) -> Selection:
    """Select the manifest's first jobs, done or not, up to the limit; on a resume the first open ones."""
    request = run.request
    rerolls = request.reroll is not None or request.rerolls_many
    chosen = request.only is not None or rerolls or request.missing or request.reread
    # A limit on a manifest selects its first rows, done or not; on a resume it selects open jobs.
    if chosen or (request.manifest is not None and request.limit is not None):
        return Selection(planned_run=run.number, limit=request.limit if request.manifest is None else None)
    return Selection(limit=request.limit)


async def _sum_estimates(batch: Batch, selection: Selection) -> int:
    """Sum the expected cost of the jobs that this run may send, in millionths of a dollar."""
    total_micros = 0
    rules = RowGates(batch.settings.gates)
    async for shard in list_shards(batch.engine, ESTIMATE_PAGE_JOBS, selection):
        for entry in await find_open_jobs(batch.engine, shard.first, shard.last, planned_run=shard.planned_run):
            routes = (entry.job, *(move_to_backend(entry.job, name, batch.settings) for name in entry.job.fallbacks))
            cost_micros, *_ = [_get_price_micros(batch, job) for job in routes]
            # The ledger counts the reservations of jobs in flight already.
            total_micros += cost_micros if entry.state is JobState.PLANNED or entry.asked_again else 0
            total_micros += sum_judge_prices(rules.find(entry.job.extra), batch.settings.scores)
    return total_micros


def _get_price_micros(batch: Batch, job: Job) -> int:
    cost_micros = batch.backend(job.backend).estimate(job).cost_micros
    if cost_micros is None:
        raise ConfigError(
            f"backend {job.backend!r} has no known price, so --budget cannot be kept: "
            f"set backends.{job.backend}.price_usd"
        )
    return cost_micros
