"""The pictures of docs/watch.md, of sweeps that run meanwhile: python docs/make/watch_pictures.py docs/gallery.

Needs Chromium. The last sweep takes a minute on two cores, and is ended when the pictures are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from freewalk.harness.watching.pages import Pages
from freewalk.harness.watching.server import Server
from freewalk.harness.watching.views import Views

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "results"))

from browser import Browser, find_chromium

COMPARED = (
    *("--task", "xor", "--task", "shifted-sums", "--grid", "stddev=0.01,0.1", "--grid", "batch_size=64,256"),
    *("--grid", "timesteps=2", "--quiet"),
)
RUNNING = (
    *("--task", "xor", "--task", "shifted-sums", "--grid", "stddev=logspace(-3,0,4)", "--grid", "batch_size=16,64"),
    *("--seeds", "0:60", "--quiet"),
)
DONE = "parseInt(document.querySelector('[data-said=done]').textContent.replace(',', ''))"
THEMES = {"light": False, "dark": True}


def sweep(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin a sweep."""
    return subprocess.Popen([sys.executable, "-m", "freewalk", "sweep", *arguments, "--out", f"runs/{name}"])


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium here: the pictures of docs/watch.md stay as they are")
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for name, *changes in (
            ("seeds-0-20", "--seeds", "0:20"),
            ("seeds-20-40", "--seeds", "20:40"),
            ("adam/seeds-0-20", "--seeds", "0:20", "--grid", "optimizer=adam"),
        ):
            assert sweep(name, *COMPARED, *changes).wait() == 0
        running = sweep("stddev-and-batch-size", *RUNNING)
        pages = Pages(0.1, 0.0)
        try:
            with Server(Views(Path("runs"), pages)) as server, Browser(program, Path(work) / "profile") as browser:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                take(browser, server.url, folder)
                server.shutdown()
        finally:
            pages.close()
            running.terminate()
            running.wait()


def take(browser: Browser, url: str, folder: Path) -> None:
    """Take the pictures of what is served."""

    def picture(name: str) -> None:
        browser.evaluate("document.documentElement.style.scrollbarWidth = 'none'")
        browser.screenshot(folder / f"{name}.png", whole=False)

    browser.open(url)
    links = "Object.fromEntries([...document.querySelectorAll('.sweeps a')].map(one => [one.textContent, one.href]))"
    places = browser.wait_for(f"(links => links['stddev-and-batch-size'] && links)({links})")
    browser.open(places["stddev-and-batch-size"])
    browser.wait_for(f"{DONE} > 240")
    for theme, dark in THEMES.items():
        for width, height, name in ((1280, 860, f"watch-{theme}"), (400, 800, f"watch-narrow-{theme}")):
            browser.open(places["stddev-and-batch-size"], width=width, height=height, dark=dark)
            browser.wait_for("!!document.querySelector('.answer')")
            picture(name)
        browser.open(url, width=1280, height=540, dark=dark)
        browser.evaluate("document.querySelectorAll('.sweeps input').forEach((box, place) => place % 2 && box.click())")
        browser.wait_for(f"{DONE} > 0")
        picture(f"watch-list-{theme}")
        first, second = (places[name].split("/")[-2] for name in ("seeds-0-20", "seeds-20-40"))
        browser.open(f"{url}compare/{first}/{second}/", width=1280, height=860, dark=dark)
        browser.wait_for(f"!!document.querySelector('table') && {DONE} > 0")
        picture(f"watch-compare-{theme}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
