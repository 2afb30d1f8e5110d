"""What is shown of sweeps that come, run, stop and end, and of folders of them."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from served import Served, served
from test_watch_server import add, identifiers

from freewalk.harness.watching import watched
from freewalk.results.store.store import Store


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let folders be looked at as often as somebody asks."""
    monkeypatch.setattr(watched, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(watched, "SHARE", 0.0)


def text_of(site: Served, place: str = "") -> str:
    return re.sub(r"<[^>]+>|\s+", " ", site.ask(f"{place}report").text.partition("<main>")[2])


def test_a_sweep_from_before_its_beginning_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "soon"
    with served(folder) as site:
        version = site.version_after("")
        assert site.state()["stage"] == "waiting"
        assert "No sweep is there yet" in text_of(site)
        with Store.create(folder, {}) as store:
            version = site.version_after(version)
            assert site.state()["stage"] == "running"
            assert "holds no trials" in text_of(site)
            add(store, 0, ended=False)
            version = site.version_after(version)
            state = site.state()
            assert state["said"]["done"] == "0 of 1 trial (0 %)"
            assert "No trial has ended yet" in text_of(site)
            store.finish("t0", {"outcome": "exhausted", "reached": False, "evaluations": 100})
            add(store, 1, ended=False)
            assert re.fullmatch(r"report \d+ s old", site.state()["said"]["behind"])
            version = site.version_after(version)
            assert (site.state()["share"], site.state()["said"]["behind"]) == (0.5, "")
            assert "1 of 2 trials (50 %) are done" in text_of(site)
            assert site.version_after("") == version, "nothing is made of what did not change"
        assert site.state()["stage"] == "stopped"
        with Store.open(folder) as store:
            store.mark_running(["t1"])
            store.fail("t1", "no luck")
        version = site.version_after(version)
        state = site.state()
        assert (state["stage"], state["share"], state["said"]["failed"]) == ("finished", 1.0, "1 failed")
        assert "no luck" in text_of(site)


def test_the_page_is_the_report(tmp_path: Path) -> None:
    from freewalk.harness.plan.notes import task_notes
    from freewalk.harness.watching.view import VERSION
    from freewalk.results.report.making import Report
    from freewalk.results.report.reading import read_tables

    with Store.create(tmp_path / "sweep", {}) as store:
        add(store, 0)
    with served(tmp_path / "sweep") as site:
        site.version_after("")
        report = Report(read_tables(tmp_path / "sweep", task_notes())).html(VERSION)
        written = re.compile(r"Written [\d: -]+ UTC")
        assert written.sub("", site.ask("report").text) == written.sub("", report)


@pytest.mark.parametrize(
    ("how", "said"),
    [("rubbish", "not a database"), ("PRAGMA user_version = 99", "layout 99"), ("DELETE FROM sweep", "damaged")],
)
def test_a_store_that_cannot_be_read_is_a_line(tmp_path: Path, how: str, said: str) -> None:
    with Store.create(tmp_path / "runs" / "bad", {}) as store:
        add(store, 0)
    path = tmp_path / "runs" / "bad" / "sweep.sqlite"
    if how == "rubbish":
        path.write_bytes(b"rubbish" * 100)
    else:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(how)
        connection.close()
    with served(tmp_path / "runs") as site:
        place = f"sweep/{identifiers(site)[0]}/"
        site.version_after("", place)
        text = text_of(site, place)
        assert said in text
        assert "Traceback" not in text
        with served(tmp_path / "runs" / "bad") as alone:
            alone.version_after("")
            assert said in text_of(alone)


def test_a_list_follows_its_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    with served(runs) as site:
        assert (site.state()["kind"], site.state()["stage"]) == ("sweep", "waiting")
        with Store.create(runs / "group" / "one", {}) as store:
            add(store, 0)
            first = site.state()
            assert (first["kind"], first["said"]["stage"]) == ("list", "1 running")
            assert site.state()["version"] == first["version"]
            add(store, 1)
            second = site.state()
            assert second["version"] != first["version"]
            assert second["said"]["done"] == "2 of 2 trials"
        shutil.copytree(runs / "group" / "one", runs / "two")
        (one, two) = identifiers(site)
        assert one != two
        page = site.ask().text
        assert re.findall(r'href="sweep/\w+/">([^<]+)<', page) == ["group/one", "two"]
        assert f'data-version="{site.state()["version"]}"' in page
        shutil.rmtree(runs / "two")
        assert site.ask(f"sweep/{two}/state").status == 404
        assert identifiers(site) == [one], "what stands for a sweep stays"


def test_a_tuning_shows_its_two_sweeps(tmp_path: Path) -> None:
    for name in ("race", "fresh"):
        Store.create(tmp_path / "tune-1" / name, {}).close()
    with served(tmp_path / "tune-1") as site:
        assert len(identifiers(site)) == 2
        assert "tuning.html" not in site.ask().text
        (tmp_path / "tune-1" / "tuning.html").write_text("freewalk")
        assert "What the tuning has found is in" in site.ask().text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    names = [
        "<script>alert(1)<!--",
        '"><img src=x onerror=alert(1)>',
        "a\x1b[31mred",
        "{{ 7 * 7 }}",
    ]
    for name in names:
        with Store.create(tmp_path / "runs" / name, {"document": 'name = "<b>bold</b>"'}) as store:
            add(store, 0)
    with served(tmp_path / "runs") as site:
        html = site.ask().text
        assert len(identifiers(site)) == len(names)
        for place in (
            "",
            *(f"sweep/{one}/" for one in identifiers(site)),
            f"compare/{'/'.join(identifiers(site)[:2])}/",
        ):
            html = site.ask(place).text
            if place:
                site.version_after("", place)
                html += site.ask(f"{place}report").text
            assert not re.search(r"<script>alert|<img|<b>bold|\x1b|>49<", html)


def test_two_sweeps_are_compared(tmp_path: Path) -> None:
    for name, task in (("a", "xor"), ("b", "xor"), ("other", "and")):
        with Store.create(tmp_path / name, {}) as store:
            add(store, 0)
            store.add_pending([])
        if task != "xor":
            connection = sqlite3.connect(tmp_path / name / "sweep.sqlite", isolation_level=None)
            connection.execute("UPDATE trials SET task = 'and', plan_checksum = NULL")
            connection.close()
    with served(tmp_path) as site:
        a, b, other = identifiers(site)
        site.version_after("", f"compare/{a}/{b}/")
        text = text_of(site, f"compare/{a}/{b}/")
        assert "Evaluations for each success: the cell: 1 times A" in text
        assert "xor" in text
        site.version_after("", f"compare/{a}/{other}/")
        assert "have no cell in common" in text_of(site, f"compare/{a}/{other}/")
        version = site.version_after("", f"compare/{b}/{a}/")
        with Store.open(tmp_path / "a") as store:
            add(store, 1)
        site.version_after(version, f"compare/{b}/{a}/")
        assert site.state(f"compare/{b}/{a}/")["said"]["done"] == "3 of 3 trials"


def test_watching_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Store.create(tmp_path / "runs" / name, {}) as store:
            add(store, 0)

    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}

    before = contents()
    with served(tmp_path / "runs") as site:
        a, b = identifiers(site)
        for place in (f"sweep/{a}/", f"compare/{a}/{b}/"):
            site.version_after("", place)
    assert contents() == before
