"""Step 6: `metadata.parquet`, the ledger's projection that other programs read.

Takes the ledger, gives one Parquet file with one row per job in manifest order, failed ones too.
`datasets.load_dataset("imagefolder", data_dir=...)` and DuckDB open the file as it is.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import OutputError
from tasks.core.memory import release_free_memory
from tasks.ledger.queries import read_job_pages
from tasks.ledger.runs import get_table_state, record_table
from tasks.metadata.state import describe_state
from tasks.store.output import Output

FILE_NAME = "metadata.parquet"


async def refresh_metadata(engine: AsyncEngine, out: Output, *, run: int) -> None:
    """Write the table, unless a run has written it from a ledger with the same content and the file is as it was.

    Raises:
        BatchStopped: As `write_metadata` has it.
    """
    # Before the table: what changes while it is written makes the next run write it again.
    state = await describe_state(engine)
    shown = _join(state, out)
    if shown is not None and shown == await get_table_state(engine):
        return
    await write_metadata(engine, out)
    if written := _join(state, out):
        await record_table(engine, run, written)


def _join(state: str, out: Output) -> str | None:
    """The state with the size of the file that shows it; None without a file, or where nobody can look."""
    with suppress(OutputError):
        if size := out.get_size(FILE_NAME):
            return f"{state} {size}"
    return None


async def write_metadata(engine: AsyncEngine, out: Output) -> int:
    """Write the table; the old one stays until the new one is whole.

    Returns:
        The number of rows.

    Raises:
        BatchStopped: The disk or the storage takes no more; the old table is still there.
    """
    # Before PyArrow is loaded, which takes 45 MB: the run's highest memory would be here.
    release_free_memory()
    from tasks.metadata.arrow_table import open_parquet_table  # noqa: PLC0415  loads PyArrow, which no first image waits for

    rows = 0
    # A reader never sees half of a table, and a killed run leaves the old one.
    async with out.replacing(FILE_NAME) as path:
        with open_parquet_table(path) as append:
            # Page by page: each becomes a row group, and memory does not grow with the batch.
            async for page in read_job_pages(engine):
                append(page)
                rows += len(page)
    return rows
