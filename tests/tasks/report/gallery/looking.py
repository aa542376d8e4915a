"""What a person sees and does on a gallery's page."""

from __future__ import annotations

from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.services.browser import wait_for

TIMES = "\N{MULTIPLICATION SIGN}"
VIEWS = ("images", "matrix", "failures", "summary")


def find(browser: Chrome, selector: str) -> WebElement:
    """The first element."""
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: Chrome, selector: str) -> list[str]:
    """What stands in each such element, in the order of the page."""
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )
    return found


def prompts(browser: Chrome) -> list[str]:
    """The prompts of the cards that are there."""
    return texts(browser, "#content .card .prompt")


def press(browser: Chrome, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    ActionChains(browser).send_keys(*keys).perform()


def focused(browser: Chrome) -> str:
    """The text of the focused element."""
    text: str = browser.execute_script("return document.activeElement.textContent")
    return text


def facts(browser: Chrome) -> dict[str, str]:
    """The parameters of the open detail, once all have come."""
    wait_for(browser, "return document.querySelector('.facts dd') && !document.querySelector('.facts[aria-busy]')")
    return dict(zip(texts(browser, ".facts dt"), texts(browser, ".facts dd"), strict=True))


def choose(browser: Chrome, facet: str, value: str) -> None:
    """Tick one value of a filter."""
    find(browser, f"[data-facet='{facet}'] [data-value='{value}'] input").click()


def images_loaded(browser: Chrome, selector: str) -> bool:
    """Whether there are such images and each one has pixels; waits for them."""
    script = """const all = [...document.querySelectorAll(arguments[0])];
        return all.length > 0 && all.every((one) => one.complete && one.naturalWidth > 0);"""
    return bool(wait_for(browser, script, selector))
