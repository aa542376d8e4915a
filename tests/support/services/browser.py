"""A real headless Chromium, driven through chromedriver; both are this machine's own, nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.ui import WebDriverWait

WAIT_S = 300
DESKTOP_PX = (1440, 900)
PHONE_PX = (390, 844)
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to start as root with one
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


def missing_browser() -> str | None:
    """Name what a browser test lacks on this machine; None if nothing."""
    programs = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"NOT RUN: {' and '.join(programs)} missing (`make browser` installs them where it can)" if programs else None
    )


def start_browser(profile: Path) -> Chrome:
    """A browser with a profile of its own; `quit` ends it."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(executable_path=shutil.which("chromedriver")))
    driver.set_script_timeout(WAIT_S)
    driver.set_window_size(*DESKTOP_PX)
    return driver


def resize(driver: Chrome, size: tuple[int, int], *, scale: float = 1) -> None:
    """Give the page this many CSS pixels, narrower than a window can be too."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def prefer_theme(driver: Chrome, theme: str) -> None:
    """Prefer a `light` or `dark` screen, as the system's setting does."""
    features = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)


def open_page(driver: Chrome, page: Path, address: str = "") -> None:
    """Open a gallery's page from the file system and wait until it is ready.

    Args:
        driver: The browser.
        page: The file.
        address: What follows its `#`.
    """
    driver.get("about:blank")  # else another address of the same page would not load it
    driver.get(f"{page.resolve().as_uri()}#{address}")
    wait_for(driver, "return 'ready' in document.body.dataset")


def wait_for(driver: Chrome, script: str, *arguments: Any) -> Any:
    """The first true value that this script gives."""
    return WebDriverWait(driver, WAIT_S).until(lambda _: driver.execute_script(script, *arguments))


def read_errors(driver: Chrome) -> list[str]:
    """Read the complaints of the page's console since the last call, violations of the policy among them."""
    entries: list[dict[str, Any]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    if missing := missing_browser():
        pytest.skip(missing)
    driver = start_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(_chromium: Chrome) -> Chrome:
    """The session's browser as a desktop with a light screen, its console empty and nothing remembered."""
    resize(_chromium, DESKTOP_PX)
    prefer_theme(_chromium, "light")
    _chromium.get("about:blank")
    read_errors(_chromium)
    return _chromium
