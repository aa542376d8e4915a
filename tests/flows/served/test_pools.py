"""Job templates of work pools, held against the classes that Prefect's own workers start jobs with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pkgutil import resolve_name
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseWorker

from tests.support.services.prefect_service import ROOT

DOCS = (ROOT / "docs/containers.md").read_text()
WORKERS = {
    "process": "prefect.workers.process:ProcessWorker",
    "docker": "prefect_docker.worker:DockerWorker",
    "Kubernetes": "prefect_kubernetes.worker:KubernetesWorker",
    "ECS": "prefect_aws.workers:ECSWorker",
}
"""By name: every process of a test run collects this file, and a second of imports is for the one that runs it."""
SCRATCH = {"/tmp"}  # noqa: S108  a volume's place in the pod
VALUES = {"image": "registry.example.org/imagen:1", "env": {"REPLICATE_API_TOKEN": "r8_x"}, "name": "night"}


def find_worker(pool: str) -> type[BaseWorker[Any, Any, Any]]:
    """The class of Prefect that starts jobs in such a pool."""
    found: type[BaseWorker[Any, Any, Any]] = resolve_name(WORKERS[pool])
    return found


def adapt(pool: str) -> dict[str, Any]:
    """Pipe the default template through the script, as docs/containers.md does."""
    default = json.dumps(find_worker(pool).get_default_base_job_template())
    script = [sys.executable, str(ROOT / "deploy/pool_template.py")]
    done = subprocess.run(script, input=default, capture_output=True, text=True, check=True)
    adapted: dict[str, Any] = json.loads(done.stdout)
    return adapted


async def configure(pool: str, template: dict[str, Any]) -> BaseJobConfiguration:
    """Build a job as the pool's worker does when a run is due."""
    worker, nobody = find_worker(pool), PrefectClient("http://127.0.0.1:1/api")  # only blocks would be asked for
    configuration: BaseJobConfiguration = await worker.job_configuration.from_template_and_values(
        template, dict(VALUES), client=nobody
    )
    configuration.prepare_for_flow_run(FlowRun.model_validate({"flow_id": "5eabad06-2edb-4bbd-a7ed-920d23dc484b"}))
    return configuration


@pytest.mark.parametrize("pool", WORKERS)
def test_the_job_variables_of_the_page_exist(pool: str) -> None:
    """A variable that a pool does not have would be left out by Prefect without a word."""
    [row] = [line for line in DOCS.splitlines() if line.startswith(f"| {pool} |")]
    listed = re.search(r"job_variables: \{([^}]*)\}", row)
    names = [] if listed is None else [each.partition(":")[0].strip() for each in listed[1].split(",")]
    assert set(names) <= set(find_worker(pool).get_default_base_job_template()["variables"]["properties"])
    assert names or pool == "process"


async def test_a_pod_has_time_to_end_and_may_write_little() -> None:
    """Prefect's worker keeps what the script adds: grace period, user, read-only root, volumes where files are written."""
    configuration: Any = await configure("Kubernetes", adapt("Kubernetes"))
    pod = configuration.job_manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {f"/{volume['name']}" for volume in pod["volumes"]} == {"/state", "/work", *SCRATCH}
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    # `args`, so the image's entry point gets it, which starts Prefect's own program as it is.
    assert container["args"][0] in {"prefect", "python"}


async def test_an_ecs_task_has_time_to_end() -> None:
    """The definition has the longer time to end and an init process, its overrides the size and Prefect's command."""
    configuration: Any = await configure("ECS", adapt("ECS"))
    [container] = configuration.task_definition["containerDefinitions"]
    assert (container["stopTimeout"], container["linuxParameters"]) == (120, {"initProcessEnabled": True})
    assert configuration.task_run_request["overrides"]["memory"] == 2048
    # ECS takes it as the arguments of the image's entry point, which starts Prefect's own program as it is.
    assert configuration.command.split()[0] in {"prefect", "python"}


async def test_docker_starts_prefects_command() -> None:
    """The default template does; what the page sets by job variables is enough."""
    configuration: Any = await configure("docker", find_worker("docker").get_default_base_job_template())
    assert configuration.image == VALUES["image"]
    assert configuration.command.split()[0] in {"prefect", "python"}
    assert configuration.env["REPLICATE_API_TOKEN"] == "r8_x"
