"""Prefect's own way: a task for each prompt, mapped over a pool of as many threads as pictures may be in flight."""

from __future__ import annotations

import time
from typing import Any

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from benchmarks.work import AUTHORIZATION, CREATE_HEADERS, POLL_S, Work

TIMEOUT_S = 60.0


def run(text: str) -> None:
    """Do the work.

    Raises:
        RuntimeError: A task failed.
    """
    work = Work.parse(text)
    with httpx.Client(timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=work.in_flight)) as http:
        threads: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=work.in_flight)

        @task(cache_policy=NO_CACHE)
        def picture(number: int) -> None:
            _make_picture(http, work, number)

        @flow(task_runner=threads)
        def pictures() -> None:
            states = [future.state for future in wait(picture.map(range(work.jobs))).done]
            if not all(state.is_completed() for state in states):
                raise RuntimeError("not every picture was made")

        pictures()


def _make_picture(http: httpx.Client, work: Work, number: int) -> None:
    answer = http.post(work.creates_url, json={"input": work.input(number)}, headers=CREATE_HEADERS)
    prediction = answer.raise_for_status().json()
    while not prediction.get("output"):
        time.sleep(POLL_S)
        answer = http.get(prediction["urls"]["get"], headers=AUTHORIZATION)
        prediction = answer.raise_for_status().json()
    answer = http.get(prediction["output"][0])
    work.keep(number, answer.raise_for_status().content, length=int(answer.headers["content-length"]))
