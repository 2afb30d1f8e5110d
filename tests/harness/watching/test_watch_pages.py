"""When pages are made: at first at once, then never too often, and by one thread."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from freewalk.harness.watching import pages as pages_module
from freewalk.harness.watching import watched
from freewalk.harness.watching.pages import Page, Pages


@pytest.fixture
def make_pages() -> Iterator[Callable[..., Pages]]:
    made: list[Pages] = []

    def make(seconds_between: float, share: float) -> Pages:
        made.append(Pages(seconds_between, share))
        return made[-1]

    yield make
    for one in made:
        one.close()


def wait(ask: Callable[[], Page | None], is_wanted: Callable[[Page], bool] = lambda page: True) -> Page:
    deadline = time.monotonic() + 30
    while (page := ask()) is None or not is_wanted(page):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return page


def test_nothing_is_made_that_nobody_asks_for_or_that_is_the_same(make_pages: Callable[..., Pages]) -> None:
    pages, made = make_pages(0.0, 0.0), []

    def ask(signature: int) -> Page | None:
        return pages.ask("page", signature, lambda: made.append(signature) or f"<p>{signature}")

    page = wait(lambda: ask(1))
    assert page.html == b"<p>1"
    for _ in range(20):
        assert ask(1) == page
    time.sleep(0.1)
    assert made == [1]
    assert wait(lambda: ask(2), lambda found: found != page).html == b"<p>2"
    assert made == [1, 2]


@pytest.mark.parametrize(("between", "share", "takes"), [(0.6, 0.0, 0.0), (0.0, 5.0, 0.12)])
def test_a_page_is_made_again_only_after_some_time(
    make_pages: Callable[..., Pages], between: float, share: float, takes: float
) -> None:
    pages, times, numbers = make_pages(between, share), [], iter(range(1000000))

    def make() -> str:
        times.append(time.monotonic())
        time.sleep(takes)
        return "page"

    wait(lambda: pages.ask("page", next(numbers), make), lambda page: int(page.version) >= 3)
    gaps = [later - earlier - takes for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 0.55, "as long as is said, whether in seconds or in times of the making"


def test_a_page_that_is_not_there_yet_does_not_wait(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages(1000.0, 0.0)
    wait(lambda: pages.ask("first", 1, lambda: "first"))
    assert wait(lambda: pages.ask("second", 1, lambda: "second")).html == b"second"


def test_pages_are_made_one_at_a_time(make_pages: Callable[..., Pages]) -> None:
    pages, threads, busy = make_pages(0.0, 0.0), set(), threading.Lock()

    def make() -> str:
        assert busy.acquire(blocking=False)
        threads.add(threading.current_thread())
        time.sleep(0.02)
        busy.release()
        return "page"

    for place in range(5):
        pages.ask(place, 1, make)
    versions = {wait(lambda place=place: pages.ask(place, 1, make)).version for place in range(5)}
    assert len(versions) == 5
    assert len(threads) == 1


def test_pages_that_nobody_asks_for_any_more_are_forgotten(make_pages: Callable[..., Pages]) -> None:
    pages = make_pages(0.0, 0.0)
    for place in range(2 * pages_module._KEPT):
        wait(lambda place=place: pages.ask(place, 1, lambda: "page"))
    assert len(pages._wanted) == pages_module._KEPT


@pytest.mark.parametrize(("between", "share", "takes"), [(0.4, 0.0, 0.0), (0.0, 10.0, 0.04)])
def test_what_takes_time_to_find_is_found_now_and_then(
    monkeypatch: pytest.MonkeyPatch, between: float, share: float, takes: float
) -> None:
    monkeypatch.setattr(watched, "SECONDS_BETWEEN", between)
    monkeypatch.setattr(watched, "SHARE", share)
    times: list[float] = []

    def find() -> int:
        time.sleep(takes)
        times.append(time.monotonic())
        return len(times)

    paced = watched.Paced(find)
    while (found := paced()) < 3:
        assert found == len(times), "until then the last one is given"
        time.sleep(0.001)
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.39
