"""Flows of `imagen serve`, for Prefect to load by the path of this file.

Prefect puts the working folder first on the import path, also where `PYTHONSAFEPATH` is set. A `flows` or `tasks`
package there, as most repositories with Prefect flows have, would be taken for ours; so ours are imported first. This
folder holds nothing else, because Prefect puts it on the import path too.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])

sys.path.insert(0, ROOT)
for name in ("flows", "tasks"):
    importlib.import_module(name)
sys.path.remove(ROOT)

generate_batch = importlib.import_module("flows.generate_batch").generate_batch
resume_failed = importlib.import_module("flows.resume_failed").resume_failed
