"""Images that come inside something else: a zip file, or one part of several."""

from __future__ import annotations

import io
import zipfile
import zlib
from email.message import Message

from tasks.backends.client.payloads import is_text
from tasks.backends.client.transport import MOST_IMAGE_BYTES

_ZIP = b"PK\x03\x04"
MOST_PARTS = 1_000
"""Of one answer that are looked at."""


def unwrap_images(body: bytes, media_type: str) -> list[bytes]:
    """The images of an answer that is one itself, a zip file of them (NovelAI, 2026), or has them among its parts.

    Raises:
        ValueError: It is damaged, too large, or holds none.
    """
    if body.startswith(_ZIP):
        found = _read_zip(body)
    elif media_type.lower().startswith("multipart/"):
        found = _read_parts(body, media_type)
    else:
        return [body]
    if not found:
        raise ValueError("there is no image among its parts")
    return found


def _read_zip(body: bytes) -> list[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = [member for member in archive.infolist()[:MOST_PARTS] if not member.is_dir()]
            # Checked by what it says before it is unpacked, and by what comes out: a small file can unpack to terabytes.
            if sum(member.file_size for member in members) > MOST_IMAGE_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_IMAGE_BYTES:,} bytes")
            found = [archive.open(member).read(MOST_IMAGE_BYTES + 1) for member in members]
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as exc:
        raise ValueError(f"its zip file is damaged ({exc})") from exc
    return [data for data in found if data and not is_text(data)]


def _read_parts(body: bytes, media_type: str) -> list[bytes]:
    message = Message()
    message["content-type"] = media_type
    boundary = message.get_boundary()
    if not boundary:
        raise ValueError("its parts have no boundary")
    # By hand: the parsers of mail change the ends of lines, which an image does not survive.
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("utf-8", "replace"), MOST_PARTS)
    found = []
    for part in parts[1:]:
        head, blank, data = part.partition(b"\r\n\r\n")
        if blank and b"content-type: image/" in head.lower():
            found.append(data)
    return found
