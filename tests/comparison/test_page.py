"""The page in a real headless browser: it opens, sorts, filters, draws, obeys the keyboard, and no console line."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vbot.comparison.__main__ import main

pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright, of the extra test")
from playwright.sync_api import Browser, Page, sync_playwright

HOSTILE = "<img src=x onerror=alert(1)></script>&\"'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        if "CI" in os.environ:
            pytest.fail("no browser: the page must be tested (apt-get install chromium)")
        pytest.skip("no chromium or chrome on this machine")
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, whom containers run as.
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def html(make, tmp_path_factory) -> Path:
    """Two seeds of swift, one of phase5, an unfinished run with a hostile name, a broken one, and another task."""
    place = tmp_path_factory.mktemp("page")
    runs = place / "runs"
    make(runs / "swift-s0", 0.9, seed=0, time_s=4.0, curve=(0.0, 0.5, 1.0))
    make(runs / "swift-s1", 1.0, seed=1, time_s=6.0, curve=(0.2, 0.7, 0.8))
    other = {"fingerprint": "b" * 16, "reward_set": "phase5", "terms": {"progress": {"scale": 9.0}}}
    make(runs / "phase5", 0.92, time_s=5.0, curve=(0.1, 0.6), **other)
    lazy = {"fingerprint": "c" * 16, "reward_set": HOSTILE, "finished": False, "findings": ("lazy robot",)}
    make(runs / "lazy", 0.4, curve=(0.0,), **lazy)
    make(runs / "zone", 0.3, fingerprint="d" * 16, task="section001-far")
    (make(runs / "broken") / "meta.json").unlink()
    main([str(runs), "--html", str(place / "page.html")])
    return place / "page.html"


@pytest.fixture
def page(browser, html) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.goto(html.as_uri())
    yield opened
    opened.close()
    assert [line for line in said if line != "data:,"] == []  # no console line, no error, no request, no alert


def column(page: Page, place: int, table: str = "table.runs >> nth=0") -> list[str]:
    return page.locator(table).locator(f"tbody tr:visible > :nth-child({place})").all_inner_texts()


def test_it_opens_with_the_best_first(page):
    assert page.title() == "vbot: runs compared"
    assert column(page, 1) == ["swift-s1", "phase5", "swift-s0", "lazy"]
    assert page.locator("th[aria-sort]").first.inner_text() == "success %"
    assert page.locator("th[aria-sort]").first.get_attribute("aria-sort") == "descending"
    assert column(page, 1, "table.runs >> nth=1") == ["zone"]
    assert "meta.json is missing" in page.locator("section", has_text="Broken runs").inner_text()


def test_a_click_sorts_and_what_has_no_value_stays_last(page):
    head = page.locator("table.runs >> nth=0").locator("th", has_text="time s")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == ["swift-s0", "phase5", "swift-s1", "lazy"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 1) == ["swift-s1", "phase5", "swift-s0", "lazy"]
    assert page.locator("table.runs >> nth=0").locator("th[aria-sort]").count() == 1


def test_the_keyboard_sorts_filters_and_reads_the_curves(page):
    page.keyboard.press("/")
    page.keyboard.type("seed swift")
    assert column(page, 1) == ["swift-s1", "swift-s0"]
    assert page.locator("#count").inner_text() == "3 of 6"  # of both tasks
    page.keyboard.press("Escape")
    assert len(column(page, 1)) == 4
    # From the filter on by Tab: a button of the legend for each curve, the chart, the table, its first heading.
    for _ in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("Tab")
    chart = page.locator("svg >> nth=0")
    assert page.evaluate("document.activeElement.id") == "chart0"
    page.keyboard.press("Home")
    # swift's seeds had 0 and 20 % at a third of the training, 50 and 70 % at two thirds, 100 and 80 % at its end.
    assert chart.get_attribute("aria-valuetext").startswith("at 0.333 M steps: swift aaaaaaaa 10.0 % (0.0 % to 20.0 %)")
    page.keyboard.press("ArrowRight")  # phase5 was looked at halfway: 35 % by the line between 10 and 60 %
    assert "at 0.500 M steps: swift aaaaaaaa 35.0 %" in chart.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    assert "at 1.00 M steps: swift aaaaaaaa 90.0 % (80.0 % to 100.0 %)" in chart.get_attribute("aria-valuetext")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "runs of section001"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert column(page, 1) == ["lazy", "phase5", "swift-s0", "swift-s1"]
    page.keyboard.press("Space")
    assert column(page, 1) == ["swift-s1", "swift-s0", "phase5", "lazy"]


def test_the_filter_finds_states_and_says_how_many_are_left(page):
    page.get_by_label("Filter").fill("unfinished")
    assert column(page, 1) == ["lazy"]
    assert page.locator("#count").inner_text() == "1 of 6"
    page.get_by_label("Filter").fill("broken")
    assert page.locator("table.runs tbody tr:visible").count() == 1


def test_curves_are_drawn_with_bands_and_can_be_hidden(page):
    chart = page.locator("svg >> nth=0")
    counts = {kind: chart.locator(f"path.{kind}").count() for kind in ("curve", "band", "seed")}
    assert counts == {"curve": 3, "band": 3, "seed": 2}
    box = chart.locator("path.curve >> nth=0").bounding_box()
    assert box["width"] > 600
    assert box["height"] > 200
    page.locator(".legend button >> nth=0").click()
    assert page.locator(".legend button >> nth=0").get_attribute("aria-pressed") == "false"
    assert chart.locator("path.curve").count() == 2
    assert "swift" not in chart.get_attribute("aria-valuetext")


def test_the_pointer_reads_values(page):
    chart = page.locator("svg >> nth=0")
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 16, box["y"] + 100)
    assert page.locator(".at >> nth=0").inner_text() == "at 1.00 M steps"
    assert page.locator(".legend button >> nth=0").inner_text() == "swift aaaaaaaa90.0 %"
    assert chart.locator("line.cursor").count() == 1
    page.mouse.move(2, 2)
    assert page.locator(".at >> nth=0").inner_text() == "at the end"


def test_groups_differences_and_findings_are_there_and_text_stays_text(page):
    groups = page.locator("table.groups").inner_text()
    assert "95.0 [90.0, 100.0]" in groups
    differences = page.locator("table.differences").inner_text()
    assert "reward.terms.progress.scale" in differences
    findings = page.locator(".findings").inner_text()
    assert "<b>98 %</b> of 256 episodes stood; try a lower alive_bonus." in findings
    assert "python -m vbot.play step_1.pt --episode-seed 7" in findings
    assert HOSTILE in page.locator("table.runs >> nth=0").inner_text()
    assert page.locator("img").count() == 0


def test_on_a_phone_only_the_tables_scroll(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("svg >> nth=0").locator("path.curve >> nth=0").bounding_box()["width"] < 340


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_light_or_dark_as_the_system_is(page, scheme, dark):
    page.emulate_media(color_scheme=scheme)
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert (red + green + blue < 150) == dark


def test_the_file_stands_alone(run, tmp_path, capsys):
    main([str(run("a")), "--html", str(tmp_path / "page.html"), "--json"])
    text = (tmp_path / "page.html").read_text()
    assert not re.findall(r"""(?:src|href|url|import)\s*[=(]\s*["']?(?!data:)\w+:""", text)
    assert "default-src 'none'" in text
    assert json.loads(capsys.readouterr().out)["by"] == "success"


def test_250_runs_make_a_page_that_sorts_at_once(browser, run, tmp_path):
    for k in range(250):
        run(f"runs/r{k:03}", k / 250, fingerprint=f"{k // 3:016x}", seed=k % 3)
    main([str(tmp_path / "runs"), "--html", str(tmp_path / "page.html")])
    opened = browser.new_page()
    opened.goto(Path(tmp_path / "page.html").as_uri())
    opened.locator("th", has_text="run").first.locator("button").click()
    names = opened.locator("table.runs tbody th").all_inner_texts()
    assert names == [f"r{k:03}" for k in range(250)]
    assert opened.locator(".legend button").count() == 8
    assert "The best 8 of 84 configurations" in opened.locator("figcaption").inner_text()
    opened.close()
