"""Manifests at an address: https, a bucket (s3, gs, az), or a data set of Hugging Face; fetched into a folder.

Credentials, endpoints and proxies come from the environment, as the libraries read them: httpx, obstore (the extra
`s3`) and huggingface-hub (the extra `hf`).
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tasks.core.addresses import HIDDEN, fill_in_variables, hide_secrets, is_cleartext, is_loopback
from tasks.core.http_environment import name_unusable_variables
from tasks.core.installation import install_command
from tasks.core.slow_answers import SlowAnswerGuard
from tasks.core.values import is_yes
from tasks.manifest.detect import EXTENSIONS, get_named_format
from tasks.manifest.plain_copy import get_unpacked_name

if TYPE_CHECKING:
    import httpx

WEB = ("https://", "http://")
BUCKETS = ("s3://", "gs://", "gcs://", "az://", "abfs://", "abfss://")
HUB = "hf://"
MOST_BYTES = 4 * 1024**3
MOST_FILES = 1_000
TIMEOUT_S = 60.0
CHUNK_BYTES = 1024 * 1024
_WEB_PAGE = "is a web page and not a file; give the address of the file itself (raw, or export?format=csv)"
_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/yaml": ".yaml",
    "text/plain": ".txt",
}


def is_remote(source: str) -> bool:
    """True if this is an address and no path."""
    return source.startswith((*WEB, *BUCKETS, HUB))


def fetch(source: str, folder: Path) -> list[tuple[Path, str]]:
    """The files at an address, as copies in `folder`, each with its own address as it may be shown.

    Raises:
        ValueError: There is nothing at the address, or a library for it is missing; the text says what to do.
        OSError: It cannot be reached, or the copy cannot be written.
    """
    if source.startswith(WEB):
        if f"={HIDDEN}" in source:
            raise ValueError(f"was kept without what opens it ({HIDDEN}); give the whole address")
        return [(_fetch_web(fill_in_variables(source), folder), hide_secrets(source))]
    return _fetch_hub(source, folder) if source.startswith(HUB) else _fetch_bucket(source, folder)


def _fetch_web(address: str, folder: Path) -> Path:
    import httpx  # noqa: PLC0415  takes a while to load, and most manifests are files

    name = PurePosixPath(unquote(urlsplit(address).path)).name or "manifest"

    try:
        # To the disk in chunks: a manifest of gigabytes never lies in memory.
        with (
            SlowAnswerGuard(TIMEOUT_S) as guard,
            _open_client(address) as client,
            client.stream("GET", address, extensions={"trace": guard.trace}) as answer,
        ):
            guard.count_bytes = lambda: answer.num_bytes_downloaded
            if not answer.is_success:
                raise ValueError(f"cannot be fetched (the server answered {answer.status_code})")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            # The usual mistake: the page that shows a file instead of the file.
            if kind == "text/html" and get_named_format(name) is None:
                raise ValueError(_WEB_PAGE)
            if get_named_format(name) is None:
                name += _TYPES.get(kind, "")
            # The end of the name, which has the format; file systems take 255 bytes.
            path = folder / f"fetched-{name[-100:]}"
            _write(path, answer.iter_bytes(CHUNK_BYTES))
            # A file without a length looks whole where its connection was closed, and would be paid for in part.
            if guard.has_ended:
                raise httpx.ReadError("")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        reason = "the server sends too slowly" if guard.has_ended else str(exc) or type(exc).__name__
        raise ValueError(f"cannot be fetched ({reason})") from None
    with path.open("rb") as file:
        head = file.read(64).lstrip().lower()
    # Some servers send a page for a login under the file's own type and name.
    if head.startswith((b"<!doctype html", b"<html")):
        raise ValueError(_WEB_PAGE)
    return path


def _open_client(address: str) -> httpx.Client:
    """The client for an address, by the environment's proxies and certificates.

    Raises:
        ValueError: The environment names some that cannot be used; the text names the variables.
    """
    import httpx  # noqa: PLC0415  see `_fetch_web`

    def check_hop(request: httpx.Request) -> None:
        require_no_downgrade(address, str(request.url))

    try:
        with name_unusable_variables():
            return httpx.Client(follow_redirects=True, timeout=TIMEOUT_S, event_hooks={"request": [check_hop]})
    except ValueError as exc:
        raise ValueError(f"cannot be fetched: {exc}") from None


def require_no_downgrade(address: str, hop: str) -> None:
    """Pass unless plain http of another machine is asked for an address that nobody on the way could answer for.

    Raises:
        ValueError: A redirect leads there; nothing was sent to it.
    """
    if is_cleartext(hop) and not is_cleartext(address):
        parts = urlsplit(hop)
        # Without its query, which may hold a key of the server that redirects.
        raise ValueError(f"leads to {parts.scheme}://{parts.hostname}, and is not fetched over plain http")


def _is_manifest(name: str) -> bool:
    return get_named_format(name) is not None


def _write(path: Path, chunks: Any) -> None:
    written = 0
    with path.open("wb") as file:
        for chunk in chunks:
            written += len(chunk)
            if written > MOST_BYTES:
                raise ValueError(f"is larger than {MOST_BYTES // 2**30} GiB; is it a manifest?")
            file.write(chunk)


def _fetch_bucket(address: str, folder: Path) -> list[tuple[Path, str]]:
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415  of an extra
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError:
        raise ValueError(f"needs obstore; install it: {install_command('s3')}") from None
    parts = urlsplit(address)
    root, key = f"{parts.scheme}://{parts.netloc}", unquote(parts.path.strip("/"))
    try:
        store = from_url(root, client_options={"timeout": timedelta(seconds=TIMEOUT_S), "allow_http": _allows_http()})
        keys = [key] if _is_manifest(key) and not re.search(r"[*?]", key) else _list_bucket(store, key)
        copies = []
        for number, found in enumerate(keys):
            path = folder / f"{number:04}-{PurePosixPath(found).name[-100:]}"
            _write(path, store.get(found).stream(min_chunk_size=CHUNK_BYTES))
            copies.append((path, f"{root}/{found}"))
    except (BaseError, OSError) as exc:
        reason = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise ValueError(f"cannot be fetched ({reason[:300]})") from None
    return copies


def _allows_http() -> bool:
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    host = urlsplit(endpoint).hostname or ""
    return is_loopback(host) or is_yes(os.environ.get("AWS_ALLOW_HTTP"))


def _list_bucket(store: Any, key: str) -> list[str]:
    """Keys of the part files under a prefix, or of those that match a pattern."""
    prefix = re.split(r"[*?]", key)[0].rpartition("/")[0] if re.search(r"[*?]", key) else key
    found = [item["path"] for page in store.list(prefix or None) for item in page]
    return _choose_parts(found, key, prefix)


def _choose_parts(found: list[str], wanted: str, prefix: str) -> list[str]:
    if re.search(r"[*?]", wanted):
        pattern = re.escape(wanted).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        parts = [path for path in found if re.fullmatch(pattern, path)]
    else:
        parts = [path for path in found if path == prefix or not prefix or path.startswith(prefix.rstrip("/") + "/")]
    parts = sorted(path for path in parts if _is_manifest(path) and not PurePosixPath(path).name.startswith((".", "_")))
    if not parts:
        raise ValueError(f"holds no manifest; its files would end in one of {' '.join(EXTENSIONS)}")
    # A README beside the parts is no part.
    endings = {Path(get_unpacked_name(path)).suffix.lower() for path in parts} - {".md", ".txt"}
    parts = [path for path in parts if not endings or Path(get_unpacked_name(path)).suffix.lower() in endings]
    if len(endings) > 1:
        raise ValueError(
            f"holds files of several kinds ({' '.join(sorted(endings))}); name those of one, as {wanted or ''}/*.parquet"
        )
    if len(parts) > MOST_FILES:
        raise ValueError(f"holds {len(parts):,} files; at most {MOST_FILES:,} are fetched as one manifest")
    return parts


def _fetch_hub(address: str, folder: Path) -> list[tuple[Path, str]]:
    match = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.*))?", address)
    if match is None:
        raise ValueError(
            "is not the address of a data set; write hf://datasets/owner/name or hf://datasets/owner/name/file"
        )
    # Its retries are told by the one error at the end.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415  of an extra
    except ImportError:
        raise ValueError(f"needs huggingface-hub; install it: {install_command('hf')}") from None
    repository, revision, inside = match[1], match[2], unquote(match[3] or "").strip("/")
    common: dict[str, Any] = {"repo_type": "dataset", "revision": revision}
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        if _is_manifest(inside) and not re.search(r"[*?]", inside):
            wanted = [inside]
        else:
            wanted = _choose_parts(HfApi(endpoint=endpoint).list_repo_files(repository, **common), inside, inside)
        copies = []
        for name in wanted:
            path = hf_hub_download(repository, name, local_dir=folder / "hub", endpoint=endpoint, **common)
            copies.append((Path(path), f"hf://datasets/{repository}/{name}"))
    except ValueError:
        raise
    except Exception as exc:  # noqa: BLE001  the errors of its transport are not a part of its interface
        reason = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise ValueError(f"cannot be fetched ({reason[:300]})") from None
    return copies
