"""Events of a batch in Prefect, which automations act on (docs/nightly.md): finished, budget at 80 %, held, stopped.

Their resource is the flow run, and Prefect adds its flow, deployment, work pool and tags: an automation can match any of
them, and an action such as `pause-deployment` finds the deployment by itself. What a rule would match is a label of the
resource, because Prefect's triggers do not look into payloads. Prompts are in neither.
"""

from __future__ import annotations

import re
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run as this_run

from tasks.core.errors import BatchStopped
from tasks.metadata.write import FILE_NAME
from tasks.store.output import Output
from tasks.store.output.base import IMAGES
from tasks.store.output.bucket_url import parse_bucket_url

FINISHED, BUDGET_80 = "imagen.batch.finished", "imagen.batch.budget-80"
HELD, STOPPED = "imagen.batch.held", "imagen.batch.stopped"
MATERIALIZED = "prefect.asset.materialization.succeeded"
FACTS = ("total", "images", "generated", "failed", "held", "cost_usd", "cost_unknown", "wall_s", "errors", "outcome")
"""The part of a summary that an event tells: numbers and error kinds."""
NOT_IN_KEYS = re.compile(r"[\s\0#?&%\"'<>\[\]{}|\\^`]")
"""Characters that Prefect refuses in the key of an asset (3.9.1, 2026-11)."""


def emit_budget_reached(out: Output, share: float) -> None:
    """Tell that four fifths of the cap are spent or reserved."""
    _emit(BUDGET_80, out, {"share": round(share, 3)})


def emit_stopped(out: Output, cause: BatchStopped) -> None:
    """Tell that nothing new is sent; the label `imagen.reason` is `credit`, `token`, `budget`, `error_rate` and the like."""
    _emit(STOPPED, out, {"message": str(cause)}, **{"imagen.reason": cause.reason})


def emit_end(out: Output, record: dict[str, Any]) -> None:
    """Tell that a run has ended, how its batch stands, that jobs are held, and which data it has made."""
    facts = {name: record[name] for name in FACTS}
    outcome = str(record["outcome"]).partition(":")[0]  # the rest of a stop's outcome are words for people
    if record["held"]:
        _emit(HELD, out, facts)
    _emit(FINISHED, out, facts, **{"imagen.outcome": outcome})
    if record["images"]:
        _emit_assets(out, record)


def _emit_assets(out: Output, record: dict[str, Any]) -> None:
    """Tell which files are data for others, as `@materialize` would.

    That costs a task run each (6 ms of CPU and 20 to 36 ms in all, where an event takes 0.5 ms; 3.9.1, 2026-11), and it
    refuses folders with a space in their path.
    """
    address = out.address if parse_bucket_url(out.address) else f"file://{out.address}"
    for name in (FILE_NAME, IMAGES):
        key = NOT_IN_KEYS.sub("_", f"{address}/{name}")
        resource = {"prefect.resource.id": key, "prefect.resource.name": f"{out.name}/{name}"}
        emit_event(MATERIALIZED, resource=resource, payload={"images": record["images"]})


def _emit(event: str, out: Output, payload: dict[str, Any], **labels: str) -> None:
    """Send it by Prefect's own worker, which neither waits nor raises: an event never costs an image."""
    if this_run.id is None:  # Prefect would start a server for it
        return
    resource = {
        "prefect.resource.id": f"prefect.flow-run.{this_run.id}",
        "prefect.resource.name": str(this_run.name),
        "imagen.out": str(out),
        **labels,
    }
    # Prefect leaves out the tags of the resource itself; those of a deployment alone would be there.
    related = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in this_run.tags]
    emit_event(event, resource=resource, related=related, payload={"out": str(out), **payload})
