"""Keeping what operators have paused: deploying again resets it in Prefect, so it is read first."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import get_client
from prefect.exceptions import ObjectNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The switches of a deployment that are off."""

    deployment: bool
    schedule: bool
    """All schedules of the deployment are switched off, and there is one."""

    @property
    def is_on(self) -> bool:
        """True where nothing starts by itself."""
        return self.deployment or self.schedule


async def read_pause(name: str) -> Pause:
    """Read what is paused of the deployment `flow/deployment`; nothing, where there is none yet."""
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            return Pause(deployment=False, schedule=False)
    # Prefect knows no paused schedule, only ones that are not active.
    off = bool(found.schedules) and not any(schedule.active for schedule in found.schedules)
    return Pause(deployment=found.paused, schedule=off)


async def read_active_schedules(deployments: list[str]) -> dict[str, bool]:
    """Read which deployments' schedules may be active after the next deploy: a build step of `prefect.yaml`.

    A deployment's `paused` takes no step's output, so a paused deployment comes back with its schedules switched off.

    Args:
        deployments: Names such as `generate-batch/nightly`.

    Returns:
        For each, by the part after the slash, False where an operator has paused it.
    """
    return {name.partition("/")[2]: not (await read_pause(name)).is_on for name in deployments}
