"""Options that several commands share, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support import completion
from flows.cli_support.values import expand_path, expand_paths, in_range
from tasks.core.money import MOST_USD
from tasks.core.records import RunnerKind
from tasks.core.values import MOST_BEST, MOST_JOBS, MOST_REROLLS

# More sockets than a process may have; a larger number would be a typing error.
MOST_IN_FLIGHT = 10_000

Config = Annotated[
    # No `Path`, which would take the second slash of an address for one too many.
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file, or its address. Without it: ./imagen.yaml, then the user's, then the built-in settings.",
        callback=expand_path,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show logs and, on an error, the traceback.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show only errors, warnings about money and the result.")]

Manifest = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        help="Prompts: a YAML, JSON(L), CSV, Excel, Parquet or text file, a folder of them, an address, or - for standard input.",
        callback=expand_path,
    ),
]
Folder = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="Output folder of a batch, or its URL in a bucket.",
        autocompletion=completion.complete_batches,
        callback=expand_path,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Output folder, or s3://bucket/prefix (also gs://, az://). The default is runs/<manifest name>.",
        callback=expand_path,
    ),
]

Ask = Annotated[
    bool,
    typer.Option(
        "--ask",
        help="Ask services that state prices, such as Ideogram, fal.ai and OpenRouter. It is free, and nothing is made.",
    ),
]
IgnoreColumns = Annotated[
    str | None,
    typer.Option(
        "--ignore-columns",
        metavar="A,B",
        help="Columns of the manifest to leave out. All others are used or carried along.",
    ),
]
PromptColumn = Annotated[
    str | None, typer.Option("--prompt-column", metavar="NAME", help="Column of the manifest that holds the prompts.")
]
Literal = Annotated[
    bool,
    typer.Option("--literal", help="Take every line of a text manifest as a prompt: no comments, bullets, options."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of a text manifest, such as cp1252. Without it: found from the file.",
    ),
]

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Backend for rows that name none. With a,b backend b is asked where a cannot serve a row.",
        autocompletion=completion.complete_backends,
    ),
]
OtherBackend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Send what failed to this backend.",
        autocompletion=completion.complete_backends,
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="KIND",
        help="Try again only what ended as failed, held or this error kind. Separate several with commas.",
        autocompletion=completion.complete_error_kinds,
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        metavar="USD",
        help="Hard cap in US dollars over all runs of the batch.",
        callback=in_range(0, MOST_USD),
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="N",
        help="Maximum number of jobs in flight, for each backend.",
        callback=in_range(1, MOST_IN_FLIGHT),
    ),
]
Priority = Annotated[
    float | None,
    typer.Option(
        "--priority",
        metavar="SHARE",
        help="Share of the account's pace beside other batches: 2 gets twice as much as 1.",
        callback=in_range(0.01, 100),
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Take only the first N jobs.", callback=in_range(1, MOST_JOBS)),
]
Salt = Annotated[
    str, typer.Option("--salt", metavar="TEXT", help="Another salt gives new images for the same manifest.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try failed jobs again.")]
RetryHeld = Annotated[
    bool, typer.Option("--retry-held", help="Pay again for jobs that may have been paid for and cannot be found.")
]
Missing = Annotated[
    bool,
    typer.Option(
        "--missing", help="Make only the images whose files are gone, with their seeds. They are paid for again."
    ),
]
Reread = Annotated[
    bool, typer.Option("--reread", help="Only read kept answers again that could not be read. Nothing is paid.")
]
TrustLedger = Annotated[
    bool,
    typer.Option(
        "--trust-ledger", help="The ledger is yours: use the addresses, variables and database that it names."
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Use a manifest that has no row of the batch in DIR. The batch's rows leave the table, their files stay.",
    ),
]
Reuse = Annotated[
    list[str] | None,
    typer.Option(
        "--reuse",
        metavar="DIR",
        help="Take over what other batches have made instead of paying again: folders, patterns such as 'runs/*', buckets.",
        callback=expand_paths,
    ),
]
ReuseAnySalt = Annotated[
    bool, typer.Option("--reuse-any-salt", help="Take over images of another salt too. Their seeds differ.")
]
KeepBest = Annotated[
    int | None,
    typer.Option(
        "--keep-best",
        metavar="N",
        help="Keep the best N images of each row, by the score of --by. The others stay in the folder.",
        callback=in_range(1, MOST_BEST),
    ),
]
KeepBy = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Result of a score, such as sharpness; the highest is the best."),
]
Reject = Annotated[
    str | None,
    typer.Option(
        "--reject", metavar="EXPR", help='Images that do not count, such as "blank or sharpness < 20"; as --where.'
    ),
]
Rerolls = Annotated[
    int | None,
    typer.Option(
        "--reroll",
        metavar="N",
        help="Make each rejected image again, up to N times and within the budget.",
        callback=in_range(0, MOST_REROLLS),
    ),
]
ID_OPTION = typer.Option(
    "--id",
    metavar="ID",
    help="Row id, job_id (or its first digits), or file name of the image.",
    autocompletion=completion.complete_ids,
)
Id = Annotated[str, ID_OPTION]

Runner = Annotated[
    RunnerKind | None,
    typer.Option(
        "--runner", help="Where shards run: this process, or worker processes that share a PostgreSQL ledger."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of shards that run at once, with dask or ray.",
        callback=in_range(1, MOST_IN_FLIGHT),
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Address of a running cluster of dask or ray. Without it, workers start on this machine.",
    ),
]
