"""Pictures of a real gallery for the documentation: `python -m tests.support.screenshots runs/demo/index.html docs`."""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome

from tests.support.services.browser import missing_browser, open_page, prefer_theme, resize, start_browser, wait_for

QUALITY = 82
SHOTS = {
    "gallery": ((1440, 1010), "light", ""),
    "gallery-matrix": ((1440, 640), "dark", "view=matrix&rows=x.place&columns=x.light"),
}
"""Files by their stem: size in pixels, theme, and what is chosen."""
LOADED = "return [...document.images].every((picture) => picture.complete && picture.naturalWidth)"


def take(browser: Chrome, page: Path, folder: Path) -> None:
    """Write each picture into `folder`, as WebP."""
    for stem, (size, theme, address) in SHOTS.items():
        resize(browser, size)
        prefer_theme(browser, theme)
        open_page(browser, page, address)
        wait_for(browser, LOADED)
        with Image.open(BytesIO(browser.get_screenshot_as_png())) as picture:
            picture.convert("RGB").save(folder / f"{stem}.webp", quality=QUALITY, method=6)


def main(page: Path, folder: Path) -> None:
    """Take the pictures with a browser of our own."""
    if missing := missing_browser():
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as profile:
        browser = start_browser(Path(profile))
        try:
            take(browser, page, folder)
        finally:
            browser.quit()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
