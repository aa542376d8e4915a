"""`imagen gallery` and `imagen export` of a batch in a bucket, as their users call them."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tasks.ledger.database.connect import open_ledger
from tasks.metadata.write import write_metadata
from tasks.store.output import NewFile, Output, parse_output
from tests.flows.conftest import Cli
from tests.support.factories import make_job
from tests.support.services.browser import read_errors, wait_for
from tests.support.services.object_storage import BUCKET, ObjectStorage
from tests.tasks.report.gallery.batches import failed, write_batch
from tests.tasks.report.gallery.looking import images_loaded


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def _put_batch(out: Output, first: int) -> None:
    jobs = [(make_job(first), None), (make_job(first + 1), None), (make_job(first + 2), failed("timeout", "late"))]
    await write_batch(out.home, jobs)
    out.claim(first=True)
    for path in (out.home / "images").rglob("*.png"):
        name = path.relative_to(out.home).as_posix()
        await out.write(partial(NewFile, name, path.read_bytes()))
        path.unlink()
    async with open_ledger(out.home) as engine:
        await write_metadata(engine, out)


@pytest.fixture
def urls(request: pytest.FixtureRequest, prefix: str) -> tuple[str, str]:
    """Two batches in one bucket, of two pictures and a failure each."""
    request.getfixturevalue("rclone")
    foxes, owls = (f"s3://{BUCKET}/{prefix}/{name}" for name in ("foxes", "owls"))
    for number, url in enumerate((foxes, owls)):
        asyncio.run(_put_batch(parse_output(url), 10 * number))
    return foxes, owls


def test_a_gallery_is_written_and_kept_up_to_date(
    offline: Cli, rclone: ObjectStorage, prefix: str, urls: tuple[str, str]
) -> None:
    """Again, no thumbnail is made twice; what nothing names any more goes; a picture that is gone is told."""
    url = urls[0]
    done = offline.run("gallery", url)
    assert done.stdout.splitlines() == [
        f"{url}: 2 images of 3 jobs; 2 thumbnails made",
        f"open it: {url}/index.html",
    ]
    before = set(rclone.files(f"{prefix}/foxes"))
    assert sum(name.startswith("gallery/thumbnails/") for name in before) == 2
    assert offline.json("gallery", url)["galleries"][0]["thumbnails_made"] == 0
    assert set(rclone.files(f"{prefix}/foxes")) == before
    asyncio.run(parse_output(url).remove([next(name for name in before if name.startswith("images/"))]))
    [gallery] = offline.json("gallery", url)["galleries"]
    assert (gallery["pictures"], gallery["missing"]) == (1, 1)
    after = rclone.files(f"{prefix}/foxes")
    assert sum(name.startswith("gallery/thumbnails/") for name in after) == 1
    assert sum(name.startswith("gallery/rows/") for name in after) == 1


def test_a_browser_shows_it(
    offline: Cli, rclone: ObjectStorage, prefix: str, urls: tuple[str, str], browser: Chrome
) -> None:
    """Served by plain http, pictures of both batches load in a comparison, and nothing is complained of."""
    record = offline.json("gallery", *urls)
    assert record["page"] == f"{urls[0]}/compare-owls.html"
    handler = partial(_Quiet, directory=str(rclone.folder / "data" / BUCKET))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in ("foxes/index.html", "foxes/compare-owls.html"):
            browser.get(f"http://127.0.0.1:{server.server_port}/{prefix}/{page}")
            wait_for(browser, "return 'ready' in document.body.dataset")
            assert images_loaded(browser, "#content img")
            assert [text for text in read_errors(browser) if "favicon" not in text] == []
        server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gallery", "{url}", "--open"), "--open shows pages of this machine"),
        (("gallery", "{url}", "{url}"), "is compared with itself"),
        (("gallery", "{url}", "folder"), "two folders, or two batches of one bucket"),
        (("gallery", "{url}-not"), "is not the output of a batch"),
        (("export", "{url}", "--format", "csv", "--to", "s3://bucket/x.csv"), "is not on this machine"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    offline: Cli, urls: tuple[str, str], arguments: tuple[str, ...], said: str
) -> None:
    """Exit status 2, and nothing was written before."""
    done = offline.run(*(argument.format(url=urls[0]) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not parse_output(urls[0]).has("index.html")


def test_exports_come_from_the_bucket(offline: Cli, urls: tuple[str, str], tmp_path: Path) -> None:
    """Shards and Parquet go to this machine, the card goes into the bucket, and is not replaced unasked."""
    for form, target in (("webdataset", "shards"), ("parquet", "p.parquet")):
        assert offline.json("export", urls[0], "--format", form, "--to", target)["rows"] == 2
        assert (tmp_path / target).exists()
    card = offline.json("export", urls[0], "--format", "card")
    assert card["to"] == f"{urls[0]}/README.md"
    assert b"# foxes" in (parse_output(urls[0]).read("README.md") or b"")
    assert "--overwrite" in offline.run("export", urls[0], "--format", "card").stderr
