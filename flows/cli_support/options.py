"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_support import completion
from tasks.core.money import MOST_USD
from tasks.core.records import RunnerKind

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file; else ./imagen.yaml, else the user's, else built in."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show logs and, on an error, the traceback.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show nothing but errors and the result.")]

Manifest = Annotated[
    str, typer.Argument(help="YAML, JSONL, CSV, TSV, Parquet or text file of prompts; - reads standard input.")
]
Folder = Annotated[
    str,
    typer.Argument(help="Output folder of a batch, or its URL in a bucket.", autocompletion=completion.batches),
]
Out = Annotated[
    str | None,
    typer.Option("--out", help="Output folder, or s3://bucket/prefix (gs://, az://); default runs/<manifest name>."),
]

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="Backend for rows that name none; a,b tries b where a cannot serve.",
        autocompletion=completion.backends,
    ),
]
OtherBackend = Annotated[
    str | None,
    typer.Option("--backend", help="Backend that takes over what failed.", autocompletion=completion.backends),
]
Only = Annotated[
    str | None,
    typer.Option("--only", help="Nothing but what ended as `failed`, `held` or an error kind; it is tried again."),
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", min=0, max=MOST_USD, help="Hard cap in US dollars over the batch's whole life."),
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, max=10_000, help="Jobs in flight at most, for each backend.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N jobs.")]
Salt = Annotated[str, typer.Option("--salt", help="Another salt gives new pictures for the same manifest.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try failed jobs again.")]
RetryHeld = Annotated[
    bool, typer.Option("--retry-held", help="Pay again for jobs that may have been paid for and cannot be found.")
]
Id = Annotated[
    str, typer.Option("--id", help="The row's id, the picture's job_id or its first digits, or its file name.")
]

Runner = Annotated[
    RunnerKind | None,
    typer.Option("--runner", help="local: this process; dask, ray: worker processes that share a PostgreSQL ledger."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=10_000, help="Of dask and ray: how many shards run at once.")
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Of dask and ray: address of a running cluster; else one on this machine."),
]
