"""The page in a real browser: no complaint, no request, both themes, a phone's width, curves chosen and pointed at."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, find_chromium
from report_data import failed, make_tables, make_trials, mixed

from freewalk.results.report.making import Report, write_report
from freewalk.results.report.palette import DARK, LIGHT

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

HOSTILE = '"><img src=http://localhost:9/x onerror=alert(1)><script>alert(1)</script>'
SWEPT = {"stddev": [0.01, 0.1, 1.0], "batch_size": [1, 2], "timesteps": [2, 4], "kind": ["a", HOSTILE]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trials = make_trials(
        lambda row: failed(HOSTILE) if row["seed"] == 3 else mixed(row), SWEPT, (HOSTILE, "xor"), seeds=4
    )
    tables = make_tables(trials, name=HOSTILE, configuration=HOSTILE)
    return write_report(Report(tables), tmp_path_factory.mktemp("report"), version="1")[0]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))})"


def colours(browser: Browser) -> list[str]:
    found = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
        " getComputedStyle(document.querySelector('figure svg path[style*=series-1]')).stroke]"
    )
    return list(found)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_page_in_a_browser(browser: Browser, page: Path, width: int, dark: bool) -> None:
    visit = browser.open(page, width=width, dark=dark)
    assert visit.complaints == []
    assert [address for address in visit.requests if address != "data:,"] == [page.resolve().as_uri()]
    palette = DARK if dark else LIGHT
    assert colours(browser) == [rgb(palette.surface), rgb(palette.ink), rgb(palette.series[0])]
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "only tables scroll sideways"
    assert browser.evaluate("[document.images.length, document.scripts.length].join()") == "0,1"
    if width == 400:
        assert (
            browser.evaluate("Math.min(...[...document.querySelectorAll('figure svg')].map(s => s.clientWidth))") > 330
        )
        assert browser.evaluate(
            "[...document.querySelectorAll('svg text')].every(t => t.getBoundingClientRect().height >= 9)"
        ), "text in plots can be read on a phone"


def test_theme_can_be_chosen(browser: Browser, page: Path) -> None:
    for dark in (False, True):
        browser.open(page, dark=dark)
        for choice, palette in (("light", LIGHT), ("dark", DARK), ("auto", DARK if dark else LIGHT)):
            browser.evaluate(f"document.getElementById('theme-{choice}').click()")
            assert colours(browser) == [rgb(palette.surface), rgb(palette.ink), rgb(palette.series[0])], choice
    assert browser.visit.complaints == []


CHOSEN = "document.querySelector('#task-xor .choosing')"
MIDDLE = """(path => {
    const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
    return [at.x, at.y];
})"""


def opacities(browser: Browser) -> list[float]:
    script = f"[1, 2].map(n => +getComputedStyle({CHOSEN}.querySelector(`svg .line.of-${{n}}`)).opacity)"
    return list(browser.evaluate(script))


def seeds_shown(browser: Browser, number: int) -> int:
    script = f"[...{CHOSEN}.querySelector('svg').querySelectorAll('.seed.of-{number}')]"
    return int(browser.evaluate(f"{script}.filter(s => getComputedStyle(s).display !== 'none').length"))


@pytest.mark.parametrize("scripts", [True, False])
def test_a_cell_can_be_chosen_with_its_seeds(browser: Browser, page: Path, scripts: bool) -> None:
    browser.allow_scripts(scripts)
    try:
        browser.open(page)
        assert opacities(browser) == [1, 1]
        assert seeds_shown(browser, 2) == 0
        x, y = browser.evaluate(
            f"(r => [r.x + 5, r.y + 5])({CHOSEN}.querySelectorAll('label')[1].getBoundingClientRect())"
        )
        browser.evaluate(f"scrollTo({{top: {y} - 200, behavior: 'instant'}})")
        browser.click(x, browser.evaluate(f"{CHOSEN}.querySelectorAll('label')[1].getBoundingClientRect().y") + 5)
        assert opacities(browser) == pytest.approx([0.12, 1])
        assert seeds_shown(browser, 2) == 3
        assert seeds_shown(browser, 1) == 0
        assert browser.visit.complaints == []
    finally:
        browser.allow_scripts(True)


@pytest.mark.parametrize(("mark", "seed"), [("line", False), ("seed", True)])
def test_the_pointer_names_a_curve_and_its_value(browser: Browser, page: Path, mark: str, seed: bool) -> None:
    browser.open(page)
    browser.evaluate(f"{CHOSEN}.querySelector('.pick-1').click()")
    browser.evaluate(f"{CHOSEN}.querySelector('svg').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    x, y = browser.evaluate(f"{MIDDLE}({CHOSEN}.querySelector('svg .{mark}.of-1 path'))")
    browser.move(x, y)
    tip = browser.evaluate("document.querySelector('.tip').textContent")
    words, _, value = tip.partition("\n")
    assert words.startswith("1: ")
    assert re.search(r", seed \d$", words) or not seed
    found = re.fullmatch(r"([\d.]+) at ([\d,.]+) evaluations", value)
    assert found, value
    assert 0.005 < float(found[1]) < 0.3
    assert 10 < float(found[2].replace(",", "")) < 1000
    assert browser.evaluate("document.querySelectorAll('.near').length") == 1
    assert browser.evaluate(
        "(r => r.x >= 0 && r.right <= innerWidth)(document.querySelector('.tip').getBoundingClientRect())"
    )
    browser.move(2, 2)
    assert browser.evaluate("document.querySelector('.tip').hidden")
    assert browser.evaluate("document.querySelectorAll('.near, .tip:not([hidden])').length") == 0
    assert browser.visit.complaints == []


def test_the_pointer_reads_shares_as_percent(browser: Browser, page: Path) -> None:
    browser.open(page)
    success = f"{CHOSEN}.querySelectorAll('figure svg')[2]"
    browser.evaluate(f"{success}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    x, y = browser.evaluate(
        f"(path => {{ const at = path.getPointAtLength(path.getTotalLength()).matrixTransform(path.getScreenCTM());"
        f" return [at.x, at.y]; }})({success}.querySelector('.line.of-1 path'))"
    )
    browser.move(x, y)
    value = browser.evaluate("document.querySelector('.tip').textContent").partition("\n")[2]
    assert value.startswith("75 % at "), "one of four seeds failed"


def test_without_its_script_the_page_still_names_its_curves(browser: Browser, page: Path) -> None:
    browser.allow_scripts(False)
    try:
        browser.open(page)
        titles = browser.evaluate(f"[...{CHOSEN}.querySelectorAll('svg .line title')].map(t => t.textContent)")
        assert titles[-1].startswith("1: "), "the first lies on top"
        assert browser.evaluate("document.querySelector('.tip')") is None
    finally:
        browser.allow_scripts(True)
