"""Two batches on one page, which lies with the first and loads the second one's files from where they are."""

from __future__ import annotations

from functools import partial

from slugify import slugify

from tasks.core.clock import Clock
from tasks.core.errors import InputError
from tasks.core.identity import hash_text
from tasks.report.gallery.build import WHAT, Gallery
from tasks.report.gallery.page import encode_script_json, render_page
from tasks.store.disk import explain_write_errors
from tasks.store.output import NewFile, Output

# Of the other batch's place; two batches of one name get pages of their own.
DIGEST_CHARACTERS = 8


def find_address(second: Output, first: Output) -> str:
    """Relative URL of `second` for a page in `first`.

    Raises:
        InputError: Both are the same place, or no page there can load what lies in `second`.
    """
    address = second.address_from(first)
    if address is None:
        raise InputError(
            f"{first} and {second}: a page can compare two folders, or two batches of one bucket; copy one beside the other"
        )
    if not address:
        raise InputError(f"{first}: is compared with itself; name two batches")
    return address


def _choose_name(out: Output, other: str, address: str) -> str:
    """Name of the page: by the other batch's name, and by its place too where that name is another batch's page."""
    stem = f"compare-{slugify(other) or 'batch'}"
    page = out.read(f"{stem}.html")
    # The page of the same comparison is written anew; only another batch's page keeps its name.
    if page is None or encode_script_json({"place": address})[1:-1].encode() in page:
        return f"{stem}.html"
    return f"{stem}-{hash_text(address)[:DIGEST_CHARACTERS]}.html"


async def write_comparison(first: Gallery, second: Gallery) -> str:
    """Write the page that shows two batches side by side, into the first one's output.

    Args:
        first: A gallery just written.
        second: Another one; the page loads its images from where they are.

    Returns:
        Path or URL of the page.

    Raises:
        InputError: They cannot be compared (see `address_of`).
        OutputError: It could not be written.
    """
    address, now_us = find_address(second.out, first.out), Clock().now_us()
    here, there = first.page_data("", now_us), second.page_data(address, now_us)
    page = render_page(f"{here['name']} and {there['name']}", {"batches": [here, there]})
    with explain_write_errors(WHAT, first.out):
        name = _choose_name(first.out, there["name"], address)
        await first.out.write(partial(NewFile, name, page.encode()))
    return f"{first.out}/{name}"
