"""The page of a run in a real browser: a click, the keyboard, a telephone, the dark, and no script at all."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnntrain.reports.page import render
from tests.report_pages import HOSTILE, made_answers, made_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
CLASSES = (*HOSTILE, "a class whose name is a good deal longer than any name of a class ought to be", "unbroken" * 12)
ANSWERS = made_answers(CLASSES, 120)
FROM, TO = next((int(t), int(p)) for t, p in zip(ANSWERS.truth, ANSWERS.predicted, strict=True) if t != p)
CELL = f"a[href='#cell-{FROM}-{TO}']"
LIGHT, DARK = "light", "dark"

# The contrast of each text with what lies behind it, as WCAG 2.2 defines it; colours come as rgb() or color(srgb …).
CONTRASTS = """
const channels = (color) => {
  const numbers = color.match(/[-.\\d]+(?:e-?\\d+)?/g).map(Number);
  const scale = color.startsWith("rgb") ? 255 : 1;
  return [...numbers.slice(0, 3).map((n) => n / scale), numbers.length > 3 ? numbers[3] : 1];
};
const light = (color) => {
  const [r, g, b] = channels(color).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (channels(color)[3] > 0) return color;
  }
  return "rgb(255, 255, 255)";
};
return [...document.body.querySelectorAll("*")]
  .filter((one) => one.checkVisibility() && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    const name = one.tagName + "." + one.className + " " + one.textContent;
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), name];
  });
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Chromium that shows one page."""
    if not CHROMIUM or not DRIVER:
        pytest.skip("there is no Chromium with its chromedriver on this machine (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{argument}")
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render(made_report(ANSWERS, warnings=HOSTILE)), encoding="utf-8")
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        driver.set_window_size(1280, 900)
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Any) -> Any:
    """The page as it is when it is opened; what it complains about fails the test."""
    _emulate(browser, "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    _scheme(browser, LIGHT)
    browser.get(browser.current_url.split("#")[0])
    yield browser
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"]
    assert complaints == []


def _emulate(browser: Any, command: str, **values: Any) -> None:
    browser.execute_cdp_cmd(command, values)


def _scheme(browser: Any, name: str) -> None:
    _emulate(browser, "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


def _find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def _shown(browser: Any) -> tuple[str, list[str]] | None:
    """The dialog that is open: its id, and the names of the pictures that one sees there."""
    opened = [one for one in browser.find_elements("css selector", "dialog") if one.is_displayed()]
    if not opened:
        return None
    (dialog,) = opened
    loaded = browser.execute_script(
        "return [...arguments[0].querySelectorAll('img')].filter(image => image.checkVisibility()).length",
        dialog,
    )
    names = [file.text for file in dialog.find_elements("css selector", ".file")]
    assert loaded == len(names)
    return dialog.get_attribute("id"), names


def _expected(truth: int, said: int) -> list[str]:
    return sorted(
        path
        for path, true, predicted in zip(ANSWERS.paths, ANSWERS.truth, ANSWERS.predicted, strict=True)
        if (true, predicted) == (truth, said)
    )


def _press(browser: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(browser).send_keys(getattr(Keys, key)).perform()


def _focused(browser: Any) -> str:
    return str(browser.execute_script("return document.activeElement.getAttribute('href') || ''"))


def test_a_click_on_a_number_shows_its_pictures(page: Any) -> None:
    from selenium.webdriver.common.by import By

    assert _shown(page) is None
    cell = _find(page, f"#matrix {CELL}")
    cell.click()
    shown = _shown(page)
    assert shown is not None
    assert (shown[0], sorted(shown[1])) == (f"cell-{FROM}-{TO}", _expected(FROM, TO))
    assert int(cell.get_attribute("textContent")) == len(shown[1])
    widths = page.execute_script(
        "return [...document.querySelectorAll('dialog[open] img')].map(i => i.decode().then(() => i.naturalWidth))"
        ".reduce((all, one) => Promise.all([all, one]).then(([a, b]) => [...a, b]), Promise.resolve([]))"
    )
    assert all(width > 0 for width in widths)
    page.find_element(By.CSS_SELECTOR, "dialog[open] .close").click()
    assert _shown(page) is None
    cell.click()
    page.execute_script("document.querySelector('dialog[open]').click()")  # beside it
    assert _shown(page) is None


def test_all_of_it_works_by_keyboard(page: Any) -> None:
    for _ in range(60):
        _press(page, "TAB")
        if _focused(page).startswith("#cell-"):
            break
    assert _focused(page) == "#cell-0-0"
    _press(page, "ENTER")
    shown = _shown(page)
    assert shown is not None
    assert (shown[0], sorted(shown[1])) == ("cell-0-0", _expected(0, 0))
    for _ in range(4):  # the focus stays in the dialog, or goes to the browser's own controls
        _press(page, "TAB")
        assert page.execute_script(
            "const one = document.activeElement; return one === document.body || Boolean(one.closest('dialog[open]'))"
        )
    _press(page, "ESCAPE")
    assert _shown(page) is None
    assert _focused(page) == "#cell-0-0"
    _press(page, "ENTER", "ENTER")  # the second on the button that closes, which has the focus
    assert _shown(page) is None
    _press(page, "ENTER", "SPACE")
    assert _shown(page) is None
    _press(page, "ARROW_DOWN", "ARROW_RIGHT")
    row, column = map(int, _focused(page).removeprefix("#cell-").split("-"))
    assert row > 0
    assert column > 0
    assert page.current_url.endswith("report.html")


def test_an_address_opens_its_pictures(page: Any) -> None:
    page.get(f"{page.current_url}#cell-{FROM}-{TO}")
    shown = _shown(page)
    assert shown is not None
    assert sorted(shown[1]) == _expected(FROM, TO)


def test_it_works_without_script(browser: Any) -> None:
    _emulate(browser, "Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.get(browser.current_url.split("#")[0])
        assert _shown(browser) is None
        _find(browser, f"#matrix {CELL}").click()
        shown = _shown(browser)
        assert shown is not None
        assert sorted(shown[1]) == _expected(FROM, TO)
        _find(browser, f"#cell-{FROM}-{TO} .close").click()
        assert _shown(browser) is None
    finally:
        _emulate(browser, "Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_only_tables_scroll_sideways(page: Any, width: int) -> None:
    _emulate(
        page, "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2, mobile=width < 500
    )
    for part in page.find_elements("css selector", "details"):
        page.execute_script("arguments[0].open = true", part)
    assert page.execute_script("return innerWidth") == width
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_script("arguments[0].click()", _find(page, f"#matrix {CELL}"))
    dialog = _find(page, "dialog[open]")
    assert dialog.rect["width"] <= width
    assert page.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth", dialog) == 0


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
@pytest.mark.parametrize("opened", [False, True])
def test_all_text_can_be_read(page: Any, scheme: str, opened: bool) -> None:
    _scheme(page, scheme)
    if opened:
        _find(page, f"#matrix {CELL}").click()
    found = page.execute_script(CONTRASTS)
    assert len(found) > 50
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(json.loads(f"[{ground.split('(')[1].rstrip(')')}]")[:3]) > 384) == (scheme == LIGHT)
    assert [text for contrast, text in found if contrast < 4.5] == []


def test_names_are_drawn_as_they_are(page: Any) -> None:
    heads = page.execute_script("return [...document.querySelectorAll('#matrix thead bdi')].map(e => e.textContent)")
    assert tuple(heads) == CLASSES
    assert page.execute_script("return document.images.length") > len(ANSWERS.paths)
    assert (
        page.execute_script("return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:'))")
        == []
    )
    assert Path(page.current_url).name == "report.html"
