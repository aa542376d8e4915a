"""An export pushed to the Hugging Face Hub, with a card, in one commit: a reader sees all of it or nothing.

It is written to a temporary folder first, so this machine needs room for it. The client is Hugging Face's own (the
extra `hf`), with the token of `hf auth login` or `HF_TOKEN`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import InputError, OutputError
from tasks.core.installation import install_command
from tasks.core.safe_text import error_text
from tasks.core.temporary_folder import TemporaryFolder
from tasks.ledger.database.connect import open_ledger
from tasks.metadata.exports.card import build_folder_card
from tasks.metadata.exports.exported import Exported
from tasks.metadata.exports.selection import Selection, select_jobs
from tasks.metadata.exports.survey import survey_batch
from tasks.metadata.exports.targets import CARD_NAME, ExportFormat
from tasks.store.output import Output

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB = "hf://"
PARQUET_NAME = "data/train-00000-of-00001.parquet"
_ADDRESS = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)/?")
_FORMS = {
    ExportFormat.WEBDATASET: ["shard-*.tar"],
    ExportFormat.PARQUET: ["data/*.parquet"],
    ExportFormat.FILES: ["metadata.jsonl", "**"],
}
"""The forms that the Hub shows, and their files."""
_ITS_OWN = frozenset({".gitattributes", CARD_NAME})
"""Files that a new repository has, or gets on the Hub's pages."""


async def push_export(
    out: Output,
    form: ExportFormat,
    address: str,
    export: Callable[[Path], Awaitable[Exported]],
    *,
    selection: Selection,
    overwrite: bool,
) -> Exported:
    """Export a batch into a data set of the Hub; a new one is private.

    Args:
        out: The batch's output.
        form: A form with images.
        address: `hf://datasets/owner/name`.
        export: Writes the form to a path on this machine.
        selection: The part of the batch that `export` writes.
        overwrite: Replace what the data set holds.

    Raises:
        InputError: The address or form cannot be meant, the data set holds files, or the extra is missing.
        OutputError: The Hub refuses or cannot be reached. Nothing was changed there.
    """
    repository = _parse_address(address, form)
    hub = _open_hub()
    # Before the work: a wrong token is told at once.
    await asyncio.to_thread(_prepare, hub, repository, overwrite=overwrite)
    with TemporaryFolder() as temporary:
        folder = Path(temporary, "data set")
        target = folder / PARQUET_NAME if form is ExportFormat.PARQUET else folder
        await asyncio.to_thread(partial(target.parent.mkdir, parents=True, exist_ok=True))
        done = await export(target)
        async with open_ledger(out.ledger_folder()) as engine:
            batch = await survey_batch(await select_jobs(engine, out, selection))
        if form is not ExportFormat.WEBDATASET:  # its card is there, with the types of its samples
            card = build_folder_card(repository, batch, _FORMS[form])
            await asyncio.to_thread((folder / CARD_NAME).write_text, card, encoding="utf-8")
        await asyncio.to_thread(_upload, hub, repository, folder, overwrite=overwrite)
    return replace(done, to=f"hf://datasets/{repository}")


def _parse_address(address: str, form: ExportFormat) -> str:
    if (found := _ADDRESS.fullmatch(address)) is None:
        raise InputError(error_text(f"--to {address}: write hf://datasets/owner/name"))
    if form not in _FORMS:
        raise InputError(f"--to {HUB} takes --format {', '.join(_FORMS)}; write {form} to a folder instead")
    return found[1]


def _open_hub() -> HfApi:
    # Its retries and bars are told by the one line at the end.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415  of an extra
        from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415  likewise
    except ImportError:
        raise InputError(f"--to {HUB} needs huggingface-hub; install it with: {install_command('hf')}") from None
    disable_progress_bars()
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _prepare(hub: HfApi, repository: str, *, overwrite: bool) -> None:
    """Make the data set, or see that it may be written."""
    with _Explained(repository):
        hub.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        held = [name for name in hub.list_repo_files(repository, repo_type="dataset") if name not in _ITS_OWN]
    if held and not overwrite:
        raise InputError(
            error_text(f"hf://datasets/{repository}: holds files already ({held[0]}); --overwrite replaces them")
        )


def _upload(hub: HfApi, repository: str, folder: Path, *, overwrite: bool) -> None:
    with _Explained(repository):
        hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Images of a batch of imagen",
            delete_patterns="*" if overwrite else None,
        )


class _Explained:
    """Errors of the Hub and of the way there as one line."""

    def __init__(self, repository: str) -> None:
        self._repository = repository

    def __enter__(self) -> None:
        """Nothing has failed yet."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # Its transport's errors are no part of its interface.
        if error is None or not isinstance(error, Exception):
            return
        status = getattr(getattr(error, "response", None), "status_code", None)
        # The first error is the one that helps: the client wraps it in "Error while uploading".
        first = error.__cause__ or error
        reason = next((line for line in str(first).splitlines() if line.strip()), type(first).__name__)
        advice = (
            "; log in with `hf auth login`, or set HF_TOKEN to a token that may write" if status in {401, 403} else ""
        )
        raise OutputError(
            error_text(f"hf://datasets/{self._repository}: cannot be written ({reason[:300]}){advice}")
        ) from None
