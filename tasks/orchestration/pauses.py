"""Keeping what operators have paused: deploying again resets it in Prefect, so it is read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prefect import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

MOST_DEPLOYMENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The switches of a deployment that are off."""

    deployment: bool
    schedule: bool
    """All schedules of the deployment are switched off, and there is one; or the one that is asked for is."""
    exists: bool = True
    """False where the server has no such deployment yet."""
    replaced: tuple[str, ...] = ()
    """Cron lines of other schedules, as somebody has put them in Prefect's pages; deploying replaces them."""
    by_slug: Mapping[str, bool] = field(default_factory=dict)
    """For each schedule with a slug: True where it is active."""

    @property
    def is_on(self) -> bool:
        """True where nothing starts by itself."""
        return self.deployment or self.schedule

    def is_slug_active(self, slug: str) -> bool:
        """Tell whether a schedule may be active; a new one is, unless its deployment starts nothing by itself."""
        return not self.is_on and self.by_slug.get(slug, True)


async def read_pause(name: str, *, cron: str | None = None) -> Pause:
    """Read what is paused of the deployment `flow/deployment`; nothing, where there is none yet.

    Args:
        name: The deployment.
        cron: The cron line that it will have; None: as many schedules as it likes.
    """
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            return Pause(deployment=False, schedule=False, exists=False)
    return _build_pause(found, cron)


async def find_same_output(flow: str, name: str, out: str) -> dict[str, Pause]:
    """Find other deployments of the flow that write into the same output, such as one that was renamed since.

    They stay on the server with their schedules: two runs would meet in one folder each night.
    """
    async with get_client() as client:
        found = await client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])), limit=MOST_DEPLOYMENTS
        )
    same = (each for each in found if each.name != name and each.parameters.get("out") == out)
    return {f"{flow}/{each.name}": _build_pause(each, None) for each in same}


def _build_pause(found: DeploymentResponse, cron: str | None) -> Pause:
    lines = {each.schedule.cron: each.active for each in found.schedules if isinstance(each.schedule, CronSchedule)}
    # Prefect knows no paused schedule, only ones that are not active.
    off = bool(found.schedules) and not any(each.active for each in found.schedules)
    return Pause(
        deployment=found.paused,
        schedule=off or (cron is not None and not lines.get(cron, True)),
        replaced=() if cron is None else tuple(line for line in lines if line != cron),
        by_slug={each.slug: each.active for each in found.schedules if each.slug},
    )


async def read_active_schedules(
    deployments: Sequence[str] | Mapping[str, Sequence[str]],
) -> dict[str, bool | dict[str, bool]]:
    """Read which deployments' schedules may be active after the next deploy: a build step of `prefect.yaml`.

    A deployment's `paused` takes no step's output, so a paused deployment comes back with its schedules switched off.

    Args:
        deployments: Names such as `generate-batch/nightly`; of deployments with several schedules, with their slugs.

    Returns:
        For each, by the part after the slash, False where an operator has paused it; by slug where they were given.
    """
    active: dict[str, bool | dict[str, bool]] = {}
    for name in deployments:
        pause, key = await read_pause(name), name.partition("/")[2]
        slugs = deployments[name] if isinstance(deployments, Mapping) else None
        active[key] = not pause.is_on if slugs is None else {slug: pause.is_slug_active(slug) for slug in slugs}
    return active
