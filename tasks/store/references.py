"""Images that go into images: found when a batch is planned, read when a job is sent.

Takes what stands in a manifest, gives a `ReferenceImage` whose digest belongs to the job's identity; later its bytes,
which are those of the plan or none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from tasks.core.errors import Rejected
from tasks.core.identity import hash_text
from tasks.core.records import Job, ReferenceImage
from tasks.store.chunks import detect_format

INPUTS = ("image", "mask")
"""The columns, and what a backend's `takes` names."""
MOST_BYTES = 50 * 1024 * 1024
"""Of one file; the services take less."""
HEAD_BYTES = 64


def find_reference(text: str, base: Path) -> ReferenceImage:
    """Find the image that a cell names; a path is relative to `base`, the manifest's folder.

    Raises:
        ValueError: There is no such file, or it is no image; the text says what to do.
    """
    if text.startswith(("http://", "https://")):
        # Nobody is asked while a batch is planned: the address stands for its content.
        return ReferenceImage(text, hash_text(text))
    try:
        path = (base / Path(text).expanduser()).absolute()
        state = path.stat()
        if not S_ISREG(state.st_mode):
            raise ValueError(f"{text!r} is no file")  # a device or a pipe has no end
        # Time and size are the cache's key: a file that changes is read again.
        return ReferenceImage(str(path), _hash_file(path, state.st_mtime_ns, state.st_size))
    except OSError as exc:
        raise ValueError(f"{text!r} cannot be read ({exc.strerror}); a path is relative to the manifest") from None
    except RuntimeError:
        raise ValueError(
            f"{text!r} begins with a user who has no home here; a file beside the manifest is ./~..."
        ) from None


@lru_cache(maxsize=4_096)
def _hash_file(path: Path, _mtime_ns: int, size: int) -> str:
    """Of an image's file; many rows may start from the same one."""
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} is larger than {MOST_BYTES // 2**20} MiB")
    data = path.read_bytes()
    if detect_format(data) is None:
        raise ValueError(f"{path.name} is no image (png, jpeg, webp, gif, avif)")
    return hashlib.sha256(data).hexdigest()


def get_references(job: Job) -> Mapping[str, ReferenceImage]:
    """The job's images by column."""
    given = {"image": job.image, "mask": job.mask}
    return {name: reference for name, reference in given.items() if reference is not None}


def read_reference(reference: ReferenceImage) -> bytes:
    """The bytes of a file. Blocks.

    Raises:
        Rejected: It is gone, or not what it was when the batch was planned. Nothing was sent.
    """
    path = Path(reference.address)
    try:
        data = path.read_bytes()
    except OSError as exc:
        # Its name alone: the message goes into tables and pages, which travel, and folders tell of people.
        raise Rejected(f"{path.name} cannot be read ({exc.strerror})", kind="input_image") from None
    # Another image would be paid for under the identity of the planned one.
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise Rejected(
            f"{path.name} has changed since the batch was planned; run the manifest again", kind="input_image"
        )
    return data


def get_media_type(data: bytes) -> str:
    """`image/png` and the like."""
    return f"image/{detect_format(data[:HEAD_BYTES]) or 'png'}"


def build_data_address(data: bytes) -> str:
    """The image as a `data:` address."""
    return f"data:{get_media_type(data)};base64,{base64.b64encode(data).decode()}"
