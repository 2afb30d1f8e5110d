"""The live pages in a real browser: they follow a sweep by themselves, keep what a reader does, and ask nobody else."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, find_chromium
from disturbed import states, wait_until
from served import Served, served
from test_watch_server import add

from freewalk.results.store.store import Store

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SWEEP = (
    *("--task", "xor", "--grid", "stddev=0.1,0.5", "--grid", "batch_size=16,32", "--grid", "hidden=4"),
    *("--epochs", "20", "--steps-per-epoch", "5", "--evaluation-points", "64", "--out", "sweep", "--quiet"),
)
DONE = "parseInt(document.querySelector('[data-said=done]').textContent) || 0"
EXTENT = "document.querySelector('.notice p')?.textContent"
STAGE = "document.querySelector('.live').dataset.stage"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "sweep") as found:
        yield found


def peaceful(browser: Browser, site: Served) -> None:
    """Fail if the page has complained, or asked anybody but its own server."""
    assert browser.visit.complaints == []
    assert browser.visit.requests
    assert [one for one in browser.visit.requests if not one.startswith((site.url, "data:,"))] == []


def test_a_page_follows_a_sweep_by_itself(browser: Browser, site: Served, tmp_path: Path) -> None:
    browser.open(site.url)
    browser.evaluate("window.untouched = true")
    browser.wait_for("document.querySelector('h1').textContent === 'Waiting'")
    command = [sys.executable, "-m", "freewalk", "sweep", *SWEEP, "--epochs", "300", "--seeds", "0:60"]
    sweep = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "NUMBA_NUM_THREADS": "1"})
    try:
        # it stands still while the page, however slow, catches up
        done = browser.wait_for(DONE)
        sweep.send_signal(signal.SIGSTOP)
        browser.wait_for("document.querySelector('h1').textContent.startsWith('Which')")
        extent = browser.wait_for(EXTENT)
        assert "to run" in extent
        sweep.send_signal(signal.SIGCONT)
        wait_until(lambda: states(tmp_path / "sweep").get("complete", 0) > done)
        sweep.send_signal(signal.SIGSTOP)
        assert done < browser.wait_for(f"({DONE}) > {done} && {DONE}") < 240
        assert "to run" in browser.wait_for(f"{EXTENT} !== {json.dumps(extent)} && {EXTENT}"), "so does the report"
        seen = [done, browser.evaluate(DONE)]
        sweep.send_signal(signal.SIGCONT)
        while sweep.poll() is None:
            seen.append(browser.evaluate(DONE))
            time.sleep(0.2)
        assert sweep.returncode == 0
        browser.wait_for(f"{STAGE} === 'finished'")
        browser.wait_for("!document.querySelector('.notice')")
        assert browser.evaluate(DONE) == 240
    finally:
        sweep.kill()
        sweep.wait()
    assert seen == sorted(seen)
    assert browser.evaluate("window.untouched"), "the page was not loaded again"
    assert browser.evaluate("document.title") == "sweep"
    peaceful(browser, site)


PLACE = """[...document.querySelectorAll('main h3')].find(one => one.textContent.includes('Settings that do not vary'))
    .getBoundingClientRect().top"""


def test_what_a_reader_does_is_kept(
    browser: Browser, site: Served, tmp_path: Path, harness: Callable[..., Any]
) -> None:
    assert harness("sweep", *SWEEP, "--seeds", "0:2").code == 0
    browser.open(site.url, width=1000, height=700)
    browser.wait_for("!!document.querySelector('.choices')")
    browser.evaluate("window.untouched = true")
    browser.evaluate("[...document.querySelectorAll('details')].at(-1).open = true")
    browser.evaluate("document.querySelectorAll('.choices input')[1].click()")
    chosen = "[...document.querySelectorAll('.choices input:checked')].map(one => one.labels[0].lastChild.textContent)"
    words = browser.evaluate(chosen)
    assert len(words) == 1
    browser.evaluate("document.querySelectorAll('.choices input')[1].focus()")
    browser.evaluate(f"scrollBy({{top: {PLACE} - 150, behavior: 'instant'}})")
    before = browser.evaluate(PLACE)
    extent = browser.evaluate("document.querySelector('.extent').textContent")
    assert abs(before - 150) < 2
    assert harness("sweep", *SWEEP, "--seeds", "0:6").code == 0
    browser.wait_for(f"document.querySelector('.extent').textContent !== {extent!r}")
    assert browser.evaluate("window.untouched")
    assert abs(browser.evaluate(PLACE) - before) < 3, "what was read stays where it was"
    assert browser.evaluate("[...document.querySelectorAll('details')].at(-1).open")
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 1
    assert browser.evaluate(chosen) == words, "the same cell, whatever its rank is now"
    assert browser.evaluate("document.activeElement.matches('.choices input')")
    # the report's own script goes on naming curves
    browser.evaluate(
        "document.querySelector('figure svg[data-x]').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    x, y = browser.evaluate(
        "(path => { const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());"
        " return [at.x, at.y]; })(document.querySelector('figure svg[data-x] .line path'))"
    )
    browser.move(x, y)
    assert browser.evaluate("[...document.querySelectorAll('.tip')].map(tip => tip.hidden)") == [False]
    peaceful(browser, site)


def test_text_that_is_being_copied_stays(browser: Browser, site: Served, tmp_path: Path) -> None:
    with Store.create(tmp_path / "sweep", {}) as store:
        add(store, 0)
        browser.open(site.url)
        browser.wait_for("!!document.querySelector('.answer')")
        browser.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        add(store, 1)
        browser.wait_for(f"{DONE} === 2")
        time.sleep(2.5)
        assert browser.evaluate("document.querySelector('.extent').textContent").startswith("1 trial:")
        browser.evaluate("getSelection().removeAllRanges()")
        browser.wait_for("document.querySelector('.extent').textContent.startsWith('2 trials:')")
    peaceful(browser, site)


def test_a_lost_connection_is_told_and_found_again(browser: Browser, tmp_path: Path) -> None:
    with Store.create(tmp_path / "sweep", {}) as store:
        add(store, 0)
    with served(tmp_path / "sweep") as site:
        browser.open(site.url)
        browser.wait_for(f"{STAGE} === 'finished'")
        token, right = site.server.token, "document.querySelector('[role=status]').textContent"
        site.server.token = "another"
        browser.wait_for(f"{STAGE} === 'lost'")
        assert browser.evaluate("document.querySelector('[data-said=stage]').textContent") == "connection lost"
        assert browser.evaluate(right) == "Connection lost"
        site.server.token = token
        browser.wait_for(f"{STAGE} === 'finished'")
        assert browser.evaluate(right).startswith("finished, 1 of 1 trial")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for place, (name, n) in enumerate([("alpha", 2), ("beta", 3), ("group/gamma", 1)]):
        with Store.create(tmp_path / "runs" / name, {}) as store:
            for number in range(n):
                add(store, number)
            if place == 2:
                add(store, n, ended=False)
    return tmp_path / "runs"


SHOWN = """[...document.querySelectorAll('.sweeps tbody tr')].filter(row => !row.hidden)
    .map(row => row.querySelector('a').textContent)"""


def test_a_list_is_filtered_and_two_of_it_compared(browser: Browser, runs: Path) -> None:
    with served(runs) as site:
        browser.open(site.url)
        assert browser.evaluate(SHOWN) == ["alpha", "beta", "group/gamma"]
        browser.evaluate("document.getElementById('words').focus()")
        browser.write("A xor")
        assert browser.evaluate(SHOWN) == ["alpha", "beta", "group/gamma"]
        browser.write(" gam")
        assert browser.evaluate(SHOWN) == ["group/gamma"]
        with Store.open(runs / "alpha") as store:
            add(store, 2)
        browser.wait_for("document.querySelector('.sweeps tbody td.number').textContent === '3 of 3'")
        assert browser.evaluate(SHOWN) == ["group/gamma"], "what came is filtered too"
        assert (
            browser.evaluate("document.activeElement.id + document.getElementById('words').value") == "wordsA xor gam"
        )
        assert browser.evaluate("document.getElementById('count').textContent") == "1 of 3 shown"
        browser.evaluate(
            "((words, stage) => { words.value = ''; words.dispatchEvent(new Event('input'));"
            " stage.value = 'finished'; stage.dispatchEvent(new Event('change')); })"
            "(document.getElementById('words'), document.getElementById('stage'))"
        )
        assert browser.evaluate(SHOWN) == ["alpha", "beta"]
        button = "document.getElementById('compare')"
        assert browser.evaluate(f"{button}.disabled")
        # by keys alone: from the state to both boxes and back to the button
        browser.evaluate("document.querySelector('.scroll').focus()")
        for key in ("Tab", " ", "Tab", "Tab", " "):
            browser.press(key)
        browser.wait_for(f"{button}.textContent === 'Compare alpha (A) with beta (B)'")
        with Store.open(runs / "beta") as store:
            add(store, 3)
        browser.wait_for("document.querySelector('.live [data-said=done]').textContent.startsWith('8 of')")
        browser.wait_for("[...document.querySelectorAll('.sweeps td')].some(one => one.textContent === '4 of 4')")
        assert browser.evaluate(f"{button}.textContent") == "Compare alpha (A) with beta (B)", "chosen they stay"
        peaceful(browser, site)
        browser.evaluate(f"{button}.focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelector('h1')?.textContent.startsWith('Is B worse')")
        assert "/compare/" in browser.evaluate("location.pathname")
        assert browser.evaluate("[...document.querySelectorAll('.fixed dd')].map(one => one.textContent)") == [
            "alpha",
            "beta",
        ]
        browser.evaluate("document.querySelector('.said a').click()")
        browser.wait_for("document.querySelector('h1')?.textContent === 'Sweeps'")
        browser.evaluate("document.querySelector('.sweeps a').click()")
        browser.wait_for("!!document.querySelector('.answer')")
        assert browser.evaluate("document.querySelector('.said a').href") == site.url
        peaceful(browser, site)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_and_have_names_for_everything(browser: Browser, runs: Path, width: int, dark: bool) -> None:
    with served(runs) as site:
        ids = re.findall(r'href="sweep/(\w+)/"', site.ask().text)
        for place in ("", f"sweep/{ids[0]}/", f"compare/{ids[0]}/{ids[1]}/"):
            browser.open(site.url + place, width=width, dark=dark)
            browser.wait_for(f"!!document.querySelector('main table') && {STAGE} !== 'waiting'")
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "only tables scroll sideways"
            unnamed = browser.evaluate(
                "[...document.querySelectorAll('input, select, button, a, progress')].filter(one =>"
                " !(one.labels?.length || one.ariaLabel || one.textContent.trim())).map(one => one.outerHTML)"
            )
            assert unnamed == []
            assert browser.evaluate("document.querySelector('[role=status]').getAttribute('aria-live')") == "polite"
            surface = browser.evaluate("getComputedStyle(document.querySelector('.live')).backgroundColor")
            assert surface == browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", surface))) < 300) == dark
            peaceful(browser, site)


class _Foreign(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>another page</title><link rel=icon href='data:,'>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_page_gets_nothing_even_with_the_token(browser: Browser, runs: Path, host: str) -> None:
    foreign = ThreadingHTTPServer(("127.0.0.1", 0), _Foreign)
    threading.Thread(target=foreign.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with served(runs) as site:
            browser.open(f"http://{host}:{foreign.server_port}/")
            for url in (site.url, f"{site.url}state", site.url.replace("127.0.0.1", "localhost")):
                for mode in ("cors", "no-cors"):
                    fetched = f"fetch('{url}', {{mode: '{mode}'}}).then(answer => answer.text(), () => 'blocked')"
                    assert browser.evaluate(fetched) == "blocked"
            frame = browser.evaluate(
                "new Promise(done => { const frame = document.createElement('iframe'); frame.onload = () => {"
                " let seen = null; try { seen = frame.contentDocument?.body?.textContent ?? null; } catch { }"
                f" done(seen); }}; frame.src = '{site.url}'; document.body.append(frame); }})"
            )
            assert frame is None
            script = browser.evaluate(
                "new Promise(done => { const script = document.createElement('script'); script.onload = () => done(1);"
                f" script.onerror = () => done(0); script.src = '{site.url}state'; document.body.append(script); }})"
            )
            assert script == 0
            link = "Object.assign(document.createElement('a'), {href: '%s'})" % site.url  # noqa: UP031
            browser.evaluate(f"(link => {{ document.body.append(link); link.click(); }})({link})")
            browser.wait_for(f"location.href === '{site.url}' && document.readyState === 'complete'")
            assert browser.evaluate("document.body.textContent").startswith("other pages are not answered")
    finally:
        foreign.shutdown()
        foreign.server_close()
