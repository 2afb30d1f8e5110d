"""The page in a real browser: no complaint, no request to anyone, both themes, and a phone's width."""

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
    assert browser.evaluate("document.images.length + document.scripts.length") == 0
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
