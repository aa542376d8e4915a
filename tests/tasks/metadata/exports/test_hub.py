"""A batch in a data set of the Hugging Face Hub, pushed by its own client to a stand-in."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tasks.core.errors import InputError, OutputError
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.exported import Exported
from tasks.metadata.exports.hub import push_export
from tasks.metadata.exports.selection import Selection
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.support.fakes.hub import TOKEN, Hub, serve_hub
from tests.tasks.metadata.exports.conftest import make_batch

# The Hub's client hands httpx a body in a way that httpx wants to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")

ADDRESS = "hf://datasets/studio/foxes"
NAME = "studio/foxes"


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that this process' client is pointed at."""
    async with serve_hub() as hub:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        # The stand-in takes large files as Git LFS does; the newer way is a protocol of its own.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield hub


@pytest.fixture
async def batch(out: Path) -> OutputFolder:
    """A batch of three rows, one of them without an image."""
    await make_batch(out, [make_job(0, id="fox"), make_job(1, id="elk"), make_job(2, id="refused")])
    return OutputFolder(out)


async def push(batch: OutputFolder, form: str, *, overwrite: bool = False, address: str = ADDRESS) -> Exported:
    """Push the batch as `imagen export --to hf://...` does."""
    wanted = Selection()
    export = partial(export_batch, batch, ExportFormat(form), selection=wanted)
    return await push_export(batch, ExportFormat(form), address, export, selection=wanted, overwrite=overwrite)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("parquet", {"data/train-00000-of-00001.parquet"}),
        ("webdataset", {"shard-000000.tar"}),
        ("files", {"metadata.jsonl"}),
    ],
)
async def test_a_data_set_has_the_images_and_a_card(batch: OutputFolder, hub: Hub, form: str, names: set[str]) -> None:
    """A new data set is private; its card names the files that a loader takes."""
    done = await push(batch, form)
    files = hub.repositories[NAME]
    assert (done.to, done.rows, done.left_out) == (ADDRESS, 2, 1)
    assert hub.private[NAME]
    assert names <= set(files)
    card = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert card["task_categories"] == ["text-to-image"]


async def test_the_images_arrive_whole(batch: OutputFolder, hub: Hub) -> None:
    """What is on the Hub opens."""
    await push(batch, "parquet")
    rows = pq.read_table(io.BytesIO(hub.repositories[NAME]["data/train-00000-of-00001.parquet"])).to_pylist()
    assert [row["id"] for row in rows] == ["fox", "elk"]
    for row in rows:
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            image.load()


async def test_what_a_data_set_holds_is_replaced_only_when_asked(batch: OutputFolder, hub: Hub) -> None:
    """Somebody else's files are not mixed with ours, nor deleted unasked."""
    hub.repositories[NAME] = {".gitattributes": b"", "README.md": b"mine", "theirs.csv": b"x"}
    hub.private[NAME] = True
    with pytest.raises(InputError, match=r"theirs\.csv.*--overwrite"):
        await push(batch, "parquet")
    assert set(hub.repositories[NAME]) == {".gitattributes", "README.md", "theirs.csv"}
    await push(batch, "parquet", overwrite=True)
    assert "theirs.csv" not in hub.repositories[NAME]


async def test_a_wrong_token_is_told_first(batch: OutputFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exported, and the message says where a token comes from, not what it is."""
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(OutputError, match=r"hf auth login.*HF_TOKEN") as caught:
        await push(batch, "parquet")
    assert "hf_wrong" not in str(caught.value)
    assert not hub.repositories


async def test_a_refused_commit_is_one_line(batch: OutputFolder, hub: Hub) -> None:
    """The Hub's words are told, and nothing half is there."""
    hub.fails_commits = True
    with pytest.raises(OutputError, match="cannot be written") as caught:
        await push(batch, "files")
    assert "\n" not in str(caught.value)
    assert set(hub.repositories[NAME]) == {".gitattributes"}


async def test_a_hub_that_is_away_is_told(batch: OutputFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no traceback."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(OutputError, match="cannot be written"):
        await push(batch, "files")


@pytest.mark.parametrize(("address", "form"), [("hf://x", "files"), ("hf://models/a/b", "files"), (ADDRESS, "csv")])
async def test_what_cannot_be_meant_is_told(batch: OutputFolder, hub: Hub, address: str, form: str) -> None:
    """Before anything is asked for."""
    with pytest.raises(InputError, match="--to hf://"):
        await push(batch, form, address=address)
    assert not hub.repositories
