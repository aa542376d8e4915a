"""Pictures that go into pictures: from a cell of the manifest to the job's identity and its bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.backends.base import supported_inputs
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ManifestError, Rejected
from tasks.core.records import Job, ReferenceImage
from tasks.manifest import open_manifest
from tasks.plan.check import check_manifest
from tasks.plan.planner import PlanOptions, plan_manifest
from tasks.store.references import build_data_address, find_reference, read_reference
from tests.support.scripted_backend import ScriptedBackend, picture

REPLICATE = Settings(
    default_backend="dev",
    backends={
        "dev": BackendSettings.model_validate(
            {"type": "replicate", "model": "stability-ai/sdxl", "check_inputs": False}
        ),
        "schnell": BackendSettings.model_validate({"type": "replicate", "model": "black-forest-labs/flux-schnell"}),
        "sketch": BackendSettings(type="sketch"),
    },
)


@dataclass
class Rows:
    """A manifest in a folder with two pictures."""

    folder: Path
    cells: list[dict[str, Any]] = field(default_factory=list)

    def jobs(self, *cells: dict[str, Any]) -> list[Job]:
        """What rows with these cells are planned as."""
        path = self.folder / "m.jsonl"
        path.write_text("".join(json.dumps({"prompt": "x", **row}) + "\n" for row in cells))
        with open_manifest(str(path)) as manifest:
            return [item.job for item in plan_manifest(manifest, REPLICATE, PlanOptions())]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """With `a.png`, the same again as `copy.png`, and another as `b.png`."""
    for name, side in {"a.png": 32, "copy.png": 32, "b.png": 48}.items():
        (tmp_path / name).write_bytes(picture(side, side))
    (tmp_path / "note.txt").write_text("no picture")
    for form in ("png", "jpeg", "webp", "gif", "avif"):
        whole = BytesIO()
        Image.effect_noise((64, 64), 40).convert("RGB").save(whole, form)
        (tmp_path / f"cut.{form}").write_bytes(whole.getvalue()[:-400])
    return Rows(tmp_path)


def test_what_a_picture_starts_from_is_identity_and_where_it_lies_is_not(rows: Rows) -> None:
    """The same bytes under another name are the same job; other bytes, or an address, are another."""
    none, a, b, address, masked = rows.jobs(
        {}, {"image": "a.png"}, {"image": "b.png"}, {"image": "HTTPS://x/a.png"}, {"image": "a.png", "mask": "b.png"}
    )
    assert len({job.job_id for job in (none, a, b, address, masked)}) == 5
    assert [job.job_id for job in rows.jobs({"image": str(rows.folder / "copy.png")})] == [a.job_id]
    assert a.image == ReferenceImage(str(rows.folder / "a.png"), find_reference("a.png", rows.folder).sha256)
    assert (address.image and address.image.is_file, masked.mask is not None) == (False, True)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"image": "nowhere.png"}, "image: 'nowhere.png' cannot be read (No such file or directory)"),
        ({"image": "note.txt"}, "image: note.txt is no image"),
        ({"image": "/dev/zero"}, "image: '/dev/zero' is no file"),
        ({"image": "~nobody-here/a.png"}, "image: '~nobody-here/a.png' begins with a user who has no home here"),
        ({"image": {"bytes": 1}}, "image: {'bytes': 1} is neither the path nor the address of an image"),
        *(
            ({"image": f"cut.{form}"}, f"image: cut.{form} is not a whole image")
            for form in ("png", "jpeg", "webp", "gif", "avif")
        ),
        ({"image": "https://me:key@x/a.png"}, "image: the address at x holds a login"),
        *(
            ({"image": address}, f"image: {address!r} is not an address")
            for address in ("http://", "https://[::1", "https://x:port/a.png", "https://x/my fox.png")
        ),
        *(
            ({"image": address}, f"image: {address!r} is an address of a kind that is not taken")
            for address in ("file:///etc/passwd", "ftp://x/a.png", "s3://bucket/a.png", "data:image/png;base64,AAAA")
        ),
        ({"mask": "a.png"}, "mask: stands without image"),
        ({"image": "a.png", "backend": "sketch"}, "image: backend 'sketch' takes no image"),
        ({"image": "a.png", "backend": "dev, schnell"}, "image: backend 'schnell' takes no image"),
    ],
)
def test_a_picture_that_cannot_be_used_is_said_with_its_line(rows: Rows, cells: dict[str, Any], words: str) -> None:
    """Before anything is written or sent; a fallback that takes none counts too."""
    with pytest.raises(ManifestError) as caught:
        rows.jobs({"prompt": "fine"}, cells)
    assert f"m.jsonl:2: {words}" in str(caught.value)


def test_a_file_that_has_changed_since_the_plan_is_not_sent(tmp_path: Path) -> None:
    """The job's identity is that of the old bytes."""
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    found = find_reference("a.png", tmp_path)
    assert read_reference(found) == picture()
    path.write_bytes(picture(48, 48))
    with pytest.raises(Rejected, match="has changed since the batch was planned") as caught:
        read_reference(found)
    assert (caught.value.error_kind, caught.value.cost_micros) == ("input_image", 0)
    path.unlink()
    with pytest.raises(Rejected, match="cannot be read") as gone:
        read_reference(found)
    # The message goes into tables and pages, which leave the machine.
    assert str(tmp_path) not in f"{caught.value} {gone.value}"


def test_a_backend_that_says_nothing_takes_no_picture() -> None:
    """Another package's older backend would drop it silently."""
    assert not supported_inputs(ScriptedBackend())


def test_a_picture_as_an_address_names_its_kind() -> None:
    """Services decode it by that."""
    assert build_data_address(picture()).startswith("data:image/png;base64,iVBOR")


def test_paths_are_relative_to_the_manifest_and_plans_ask_nobody(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """From whatever folder the command is called."""
    monkeypatch.chdir("/")
    path = rows.folder / "m.jsonl"
    path.write_text(json.dumps({"prompt": "x", "image": "a.png"}))
    with open_manifest(str(path)) as manifest:
        assert check_manifest(manifest, REPLICATE, PlanOptions()).jobs == 1
