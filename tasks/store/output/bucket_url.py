"""URLs of buckets: told from folders, checked, and given a folder of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.core.errors import InputError
from tasks.core.paths import get_state_folder

SCHEMES = {"s3": "s3://bucket/prefix", "gs": "gs://bucket/prefix", "az": "az://container/prefix"}
OUTPUTS_FOLDER = "outputs"

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What an URL would read as its query, its fragment or an escape, and what no file name of this machine may hold.
_NOT_IN_PREFIX = re.compile(r"[?#%\\\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """A place in a bucket."""

    scheme: str
    """A key of `SCHEMES`."""
    bucket: str
    prefix: str
    """Without slashes at its ends; empty: the bucket's root."""

    def __str__(self) -> str:
        """The URL as a user gives it."""
        return f"{self.root}/{self.prefix}".rstrip("/")

    @property
    def root(self) -> str:
        """The URL of the bucket itself."""
        return f"{self.scheme}://{self.bucket}"

    @property
    def home(self) -> Path:
        """The folder of this machine that belongs to it, the same for every process of this user."""
        return get_state_folder() / OUTPUTS_FOLDER / self.scheme / self.bucket / self.prefix

    def of(self, home: Path) -> BucketUrl:
        """The place to which a folder of this machine belongs: `home` of this one, or below it."""
        below = home.relative_to(self.home).as_posix()
        return replace(self, prefix=self.key("" if below == "." else below).rstrip("/"))

    def key(self, name: str) -> str:
        """The key of a file in the bucket."""
        return f"{self.prefix}/{name}".lstrip("/")

    def name(self, key: str) -> str:
        """The file of this place that has this key in the bucket."""
        return key.removeprefix(f"{self.prefix}/") if self.prefix else key


def parse_bucket_url(text: str) -> BucketUrl | None:
    """The place that `text` names; None where it is the path of a folder.

    Raises:
        InputError: It is an URL of another kind, or one that no bucket has.
    """
    found = _URL.fullmatch(text)
    if found is None:
        return None
    # RFC 3986: schemes have no case.
    scheme = found["scheme"].lower()
    if scheme not in SCHEMES:
        # Not repeated whole: a URL of a kind that is not known here may hold a password.
        raise InputError(f"{scheme}://...: images go to a folder, or to {', '.join(SCHEMES.values())}")
    bucket, _, prefix = found["rest"].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{scheme}://...: has no name of a bucket before its first slash; write {SCHEMES[scheme]}")
    prefix = prefix.rstrip("/")
    if prefix and (_NOT_IN_PREFIX.search(prefix) or not all(map(_is_plain, prefix.split("/")))):
        raise InputError(
            f"{scheme}://{bucket}/...: use a prefix without empty parts, '.' and '..' and without any of ? # % \\"
        )
    return BucketUrl(scheme, bucket, prefix)


def _is_plain(part: str) -> bool:
    return part not in {"", ".", ".."}
