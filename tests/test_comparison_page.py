"""The HTML page: complete in itself; sorted, filtered and hovered in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from resnet_variants.comparison import Report, save_report

from .training_runs import made_up


@pytest.fixture
def report() -> Report:
    """Three networks, three seeds, made-up numbers; a name that would break careless HTML."""
    runs = [made_up("plain", s, 90 + s) for s in range(3)]
    runs += [made_up("se </script><b>", s, 91.5 + s / 2, params=3000) for s in range(3)]
    runs += [made_up("eca", s, 89.0 + s, params=2000, test_speed=None) for s in range(3)]
    return Report.of(runs)


def test_page_is_complete_in_itself(report: Report) -> None:
    from resnet_variants.comparison.page import html

    text = html(report)
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe)|\bsrc=|@import|url\(", text)
    assert "{{" not in text and text.count("</script>") == 2
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.S)[1])
    assert [row["name"] for row in data["rows"]] == ["plain", "se </script><b>", "eca"]
    assert data["rows"][0]["curve"][2][:2] == [3, pytest.approx(91)]


def test_diverged_run_is_reported(tmp_path: Path) -> None:
    runs = [made_up("plain", s, 90.0) for s in range(2)]
    runs += [made_up("lost", s, 10.0, test_loss=None) for s in range(2)]
    save_report(Report.of(runs), tmp_path, pictures=False)
    text = (tmp_path / "report.md").read_text()
    assert "Diverged, their loss became no number, and not counted: lost seed 0" in text
    json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)


@pytest.fixture
def browser():
    from selenium import webdriver

    paths = [shutil.which("chromium"), shutil.which("chromedriver")]
    assert all(paths), "this test needs a browser: apt-get install chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for each in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1400,1000"):
        options.add_argument(f"--{each}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_page_in_a_browser(report: Report, tmp_path: Path, browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    save_report(report, tmp_path, pictures=False)
    browser.get((tmp_path / "report.html").as_uri())

    def names() -> list[str]:
        rows = browser.find_elements(By.CSS_SELECTOR, "#body tr")
        return [row.find_element(By.TAG_NAME, "td").text for row in rows]

    def head(title: str):
        buttons = browser.find_elements(By.CSS_SELECTOR, "#head button")
        return next(each for each in buttons if each.text.startswith(title))

    se = "se </script><b>"
    assert names() == ["plain", se, "eca"]
    head("top-1 %").click()
    assert names() == [se, "plain", "eca"]
    head("top-1 %").click()
    assert names() == ["eca", "plain", se]
    head("inference").click()  # what was not measured comes last
    assert names()[-1] == "eca"
    head("parameters").click()
    assert names() == [se, "eca", "plain"]

    assert len(browser.find_elements(By.CSS_SELECTOR, "#tradeoff circle")) == 3
    assert len(browser.find_elements(By.CSS_SELECTOR, "#curves polygon")) == 3
    browser.find_element(By.CSS_SELECTOR, "#cost option[value=latency]").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#tradeoff circle")) == 2

    tip = browser.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    dot = browser.find_element(By.CSS_SELECTOR, "#tradeoff g[data-name=plain] circle")
    ActionChains(browser).move_to_element(dot).perform()
    assert tip.is_displayed() and "seed 0 90.00, seed 1 91.00" in tip.text
    lit = browser.find_elements(By.CSS_SELECTOR, "#body tr.lit td:first-child")
    assert [each.text for each in lit] == ["plain"]
    ActionChains(browser).move_by_offset(0, -400).perform()

    box = browser.find_element(By.ID, "filter")
    box.send_keys("ECA")
    assert names() == ["eca"] and "1 of 3" in browser.find_element(By.ID, "shown").text
    box.clear()
    box.send_keys("nothing at all")
    assert names() == []
    assert [each for each in browser.get_log("browser") if each["level"] == "SEVERE"] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
def test_page_reads_without_hovering(report: Report, tmp_path: Path, browser, width: int) -> None:
    """Round ticks, each once; names where curves and points end; the first column stays; nothing
    is wider than the window; the keyboard reaches rows and curves."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    save_report(report, tmp_path, pictures=False)
    size = dict(width=width, height=1000, deviceScaleFactor=1, mobile=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((tmp_path / "report.html").as_uri())

    def all_of(selector: str) -> list:
        return browser.find_elements(By.CSS_SELECTOR, selector)

    for plot in ("tradeoff", "curves"):
        for axis in "xy":
            labels = [each.text for each in all_of(f"#{plot} .tick.{axis}")]
            assert len(labels) >= 2 and len(set(labels)) == len(labels)
            digits = [re.sub(r"[^1-9]", "", label) for label in labels]
            assert all(len(each) <= 3 for each in digits), labels
        names = all_of(f"#{plot} text.name")
        assert len(names) == 3 and all(name.text for name in names)
        ends = sorted(name.rect["y"] for name in names)
        assert all(b - a >= 10 for a, b in pairwise(ends))
        right = max(name.rect["x"] + name.rect["width"] for name in names)
        assert right <= width
    assert [each.text for each in all_of("#curves .tick.x")] == ["1", "2", "3"]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width

    box = all_of(".scroll")[0]
    browser.execute_script("arguments[0].scrollLeft = 300", box)
    first = all_of("#body td:first-child")[0]
    assert abs(first.rect["x"] - box.rect["x"]) < 2
    all_of("#body tr")[1].send_keys(Keys.NULL)  # focuses
    assert "lit" in all_of("#body tr")[1].get_attribute("class")
