"""Places of a batch's output: a folder of this machine, or a bucket.

Everything that writes a batch's files, or reads them, does it through an `Output`. It is made from its text alone,
so the text is what travels: through the command line, through Prefect, to other processes.
"""

from __future__ import annotations

from pathlib import Path

from tasks.core.errors import ConfigError, InputError
from tasks.core.installation import install_command
from tasks.core.paths import expand_home
from tasks.store.output.base import NewFile, Output, is_contained
from tasks.store.output.bucket_url import BucketUrl, parse_bucket_url
from tasks.store.output.folder import OutputFolder

__all__ = ["NewFile", "Output", "is_contained", "parse_local_path", "parse_output"]


def parse_output(text: str) -> Output:
    """The output of this name: `s3://bucket/prefix` (also `gs://`, `az://`), anything else is a folder.

    Asks nobody: whether it exists and can be written is seen by `Output.check`.

    Raises:
        InputError: The URL cannot be used.
        ConfigError: It is a bucket and the package that reaches it is not installed.
    """
    url = parse_bucket_url(text)
    return OutputFolder(expand_home(text)) if url is None else _open_bucket(url)


def parse_local_path(text: str) -> Path:
    """The path of this name, for what goes to this machine only.

    Raises:
        InputError: It is a place in a bucket.
    """
    if parse_bucket_url(text) is not None:
        raise InputError(f"{text}: is not on this machine; name a path here, and copy what is written there yourself")
    return Path(expand_home(text))


def _open_bucket(url: BucketUrl) -> Output:
    try:
        # Only who writes to a bucket needs the extra, and waits for it to load.
        from tasks.store.output.bucket import OutputBucket  # noqa: PLC0415
    # Named as the extra: the missing module's own name tells a user nothing.
    except ModuleNotFoundError:
        raise ConfigError(
            f"{url}: object storage needs another package; install it with: {install_command('s3')}"
        ) from None
    return OutputBucket(url)
