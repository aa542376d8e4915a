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
from urllib.parse import urlsplit

from tasks.core.errors import BadImage, Rejected
from tasks.core.identity import hash_text
from tasks.core.records import Job, ReferenceImage
from tasks.core.safe_text import os_error_text
from tasks.store.chunks import detect_format
from tasks.store.structure import is_proven_whole

INPUTS = ("image", "mask")
"""The columns, and what a backend's `takes` names."""
MOST_BYTES = 50 * 1024 * 1024
"""Of one file; the services take less."""
HEAD_BYTES = 64


def find_reference(text: str, base: Path) -> ReferenceImage:
    """Find the image that a cell names; a path is relative to `base`, the manifest's folder.

    Raises:
        ValueError: There is no such file, it is no image or not all of one, or the address is none; the text says what to do.
    """
    scheme, sign, rest = text.partition("://")
    if sign or text.startswith("data:"):
        # Nobody is asked while a batch is planned: the address stands for its content.
        address = _check_address(f"{scheme.lower()}{sign}{rest}" if sign else text)
        return ReferenceImage(address, hash_text(address))
    try:
        path = (base / Path(text).expanduser()).absolute()
        state = path.stat()
        if not S_ISREG(state.st_mode):
            raise ValueError(f"{text!r} is no file")  # a device or a pipe has no end
        # Time and size are the cache's key: a file that changes is read again.
        return ReferenceImage(str(path), _hash_file(path, state.st_mtime_ns, state.st_size))
    except OSError as exc:
        raise ValueError(
            f"{text!r} cannot be read ({os_error_text(exc)}); a path is relative to the manifest"
        ) from None
    except RuntimeError:
        raise ValueError(
            f"{text!r} begins with a user who has no home here; a file beside the manifest is ./~..."
        ) from None


def _check_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(
            f"{text[:40]!r} is an address of a kind that is not taken; give a file, or an http or https address"
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a port that is none is found when it is asked for
    except ValueError:
        host = None
    if not host or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} is not an address; write it as https://host/path.png")
    # Services take no login in an address, and every table and page of the batch would show it.
    if parts.username is not None:
        raise ValueError(
            f"the address at {host} holds a login, which tables would show; give a signed address or a file"
        )
    return text


@lru_cache(maxsize=4_096)
def _hash_file(path: Path, _mtime_ns: int, size: int) -> str:
    """Of an image's file; many rows may start from the same one."""
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} is larger than {MOST_BYTES // 2**20} MiB")
    data = path.read_bytes()
    if (found := detect_format(data)) is None:
        raise ValueError(f"{path.name} is no image (png, jpeg, webp, gif, avif); convert it to one of these")
    try:
        # Half a file would be refused by the service, or worse: paid for.
        is_proven_whole(data, found)
    except BadImage as exc:
        raise ValueError(f"{path.name} is not a whole image ({exc}); save or download it again") from None
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
        raise Rejected(f"{path.name} cannot be read ({os_error_text(exc)})", kind="input_image") from None
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
