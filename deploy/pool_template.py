"""Adds to the default job template of a work pool what a container of imagen needs; see docs/containers.md.

    prefect work-pool get-default-base-job-template --type kubernetes | python deploy/pool_template.py > pool.json
    prefect work-pool create imagen --type kubernetes --base-job-template pool.json

The default comes from the installed version of Prefect's own package, so nothing of it is copied here.
"""

from __future__ import annotations

import json
import sys
from typing import Any

USER = 10001
"""The image's user, by number: Kubernetes checks `runAsNonRoot` without asking the image for names."""
GRACE_S = 120
"""From SIGTERM, on which images in flight land, to SIGKILL; longer than the slowest image."""
WRITTEN = ("state", "tmp", "work")
"""Folders at the root that are written; none has to last where the ledger and the output are elsewhere."""


def adapt(template: dict[str, Any]) -> dict[str, Any]:
    """Give the template with a grace period, a user without rights, a root that cannot be written, and requests.

    Raises:
        ValueError: It is the template of another type of pool than Kubernetes or ECS; those need nothing.
    """
    configuration, variables = template["job_configuration"], template["variables"]["properties"]
    if "job_manifest" in configuration:
        _adapt_pod(configuration["job_manifest"]["spec"]["template"]["spec"])
        defaults: dict[str, Any] = {"cpu_request": "1", "memory_request": "1Gi", "finished_job_ttl": 3600}
    elif "task_definition" in configuration:
        [container] = configuration["task_definition"]["containerDefinitions"]
        # An init process passes signals on and collects what ended; ECS starts none by itself.
        container |= {"stopTimeout": GRACE_S, "linuxParameters": {"initProcessEnabled": True}}
        defaults = {"cpu": 1024, "memory": 2048}
    else:
        raise ValueError("not the template of a pool of type kubernetes or ecs")
    for name, value in defaults.items():
        variables[name]["default"] = value
    return template


def _adapt_pod(pod: dict[str, Any]) -> None:
    pod["terminationGracePeriodSeconds"] = GRACE_S
    pod["securityContext"] = {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER}
    pod["volumes"] = [{"name": name, "emptyDir": {}} for name in WRITTEN]
    [container] = pod["containers"]
    container["volumeMounts"] = [{"name": name, "mountPath": f"/{name}"} for name in WRITTEN]
    container["securityContext"] = {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


if __name__ == "__main__":
    json.dump(adapt(json.load(sys.stdin)), sys.stdout, indent=2)
