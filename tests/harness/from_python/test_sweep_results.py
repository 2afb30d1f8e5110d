"""What a sweep's result says of itself, in words, as a page and beside another one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import freewalk
from freewalk.results.report import snippet as snippet_module

GRID = {"stddev": [0.1, 0.5], "batch_size": 16, "hidden": 4, "timesteps": 2}
TINY: dict[str, Any] = {"epochs": 4, "steps_per_epoch": 5, "evaluation_points": 64}


class _Text(HTMLParser):
    """The text of a piece of HTML, and its tags; a tag that is not closed fails."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self._open = "", set[str](), list[str]()
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self._open.append(tag)
        assert not {name for name, _ in attrs if name.startswith("on") or name in ("src", "href")}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += f" {' '.join(data.split())}"


def text_of(html: str) -> str:
    found = _Text(html)
    assert not {"script", "img", "svg", "link"} & found.tags
    return " ".join(found.text.split())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> freewalk.SweepResult:
    return freewalk.sweep(GRID, task=["xor", "sign"], seeds="0:2", out=tmp_path_factory.mktemp("kept") / "out", **TINY)


@pytest.fixture(scope="module")
def passing() -> freewalk.SweepResult:
    return freewalk.sweep(GRID, task=["xor", "sign"], seeds="0:2", **TINY)


def test_a_result_is_shown_in_a_few_lines(kept: freewalk.SweepResult, passing: freewalk.SweepResult) -> None:
    reached = int(kept.trials["reached"].sum())
    first, *answers = repr(kept).splitlines()
    assert first == f"<SweepResult 8 trials, 2 tasks, 1 method, {reached} reached; in {kept.directory}>"
    assert [line.partition(":")[0] for line in answers] == ["xor", "sign"]
    assert repr(passing) == repr(kept).replace(f"in {kept.directory}", "not kept")


def test_the_answer_is_that_of_the_report(harness: Any, kept: freewalk.SweepResult) -> None:
    said = harness("report", kept.directory, "--out", "elsewhere").out
    assert kept.answer in said
    facts = json.loads(harness("report", kept.directory, "--out", "elsewhere", "--json").out)
    shown = text_of(kept._repr_html_())
    for task in facts["tasks"]:
        assert task["verdict"] in shown
        for sentence in task["sentences"]:
            assert sentence in kept.answer
            assert sentence in shown


def test_the_best_cells_are_shown_in_the_words_of_the_ranking(harness: Any, kept: freewalk.SweepResult) -> None:
    harness("report", kept.directory, "--out", "elsewhere", "--markdown")
    shown = text_of(kept._repr_html_())
    rows = [line for line in Path("elsewhere/ranking.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 6
    for row in rows:
        cells = [re.sub(r"\\(.)", r"\1", cell).strip() for cell in row.strip("|").split("|")]
        assert " ".join(" ".join(cells).split()) in shown


def test_what_is_shown_is_escaped_small_and_without_colours(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("task,method,seed,reached,evaluations\n<b>&amp;,<i onload=x>,0,True,5\n")
    html = freewalk.read_sweep(path)._repr_html_()
    assert "<b>&amp;" in text_of(html), "as it is, not as what it would mean"
    assert "<i" not in html
    assert len(html) < 6000
    colours = re.findall(r"(?:color|background|border[a-z-]*): ([^;]+);", html)
    assert colours
    assert all(
        re.fullmatch(r"none|currentColor|0|collapse|1px solid rgba\(128, 128, 128, .*\)", one) for one in colours
    )


def test_many_tasks_are_shown_shortly(tmp_path: Path) -> None:
    rows = [f"task{k},{method},{seed},True,5" for k in range(60) for method in "ab" for seed in range(2)]
    (tmp_path / "trials.csv").write_text("\n".join(["task,method,seed,reached,evaluations", *rows]) + "\n")
    result = freewalk.read_sweep(tmp_path)
    html = result._repr_html_()
    assert html.count("<table>") == snippet_module.MOST_TASKS
    assert "30 tasks more; .report() has all." in text_of(html)
    assert len(repr(result).splitlines()) == 5
    assert "57 more in .answer" in repr(result)
    assert "task59: " in result.answer


def test_the_page_of_a_folder_is_that_of_the_command(harness: Any, tmp_path: Path) -> None:
    result = freewalk.sweep(GRID, task="xor", seeds="0:2", out="out", **TINY)
    page = result.report()
    assert page == Path("out/report.html")
    own = page.read_text()
    assert harness("report", "out").code == 0
    written = re.compile("Written [-0-9: ]+ UTC")
    assert written.sub("", own) == written.sub("", page.read_text())


def test_the_page_of_what_was_not_kept(passing: freewalk.SweepResult, tmp_path: Path) -> None:
    with pytest.raises(freewalk.UsageError, match="was not kept on disk: give a path"):
        passing.report()
    page = passing.report(tmp_path / "page.html")
    assert page == passing.report(str(page))
    assert passing.report(tmp_path) == tmp_path / "report.html"
    text = page.read_text()
    assert "<svg" in text
    assert passing.answer.splitlines()[1].strip() in text.replace("&lt;", "<").replace("&gt;", ">")
    assert "/tmp/" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "report.html"]


@pytest.mark.parametrize("there", ["a letter", "the report of another sweep"])
def test_no_other_file_is_overwritten(passing: freewalk.SweepResult, tmp_path: Path, there: str) -> None:
    page = tmp_path / "own.html"
    if there == "a letter":
        page.write_text("Dear reader")
    else:
        freewalk.sweep(GRID, task="xor", seeds="7:8", **TINY).report(page)
    before = page.read_bytes()
    with pytest.raises(freewalk.StoreError, match=r"own\.html .*give another path"):
        passing.report(page)
    assert page.read_bytes() == before


def test_two_results_beside_each_other(harness: Any, kept: freewalk.SweepResult, passing: freewalk.SweepResult) -> None:
    found = kept.compare(passing)
    expected = harness("compare", kept.directory, kept.directory, "--csv").out
    assert list(found.table.columns) == expected.splitlines()[0].split(",")
    assert set(found.table["measure"]) == {"evaluations_to_target", "seconds_per_step"}
    assert (found.table.loc[found.table["measure"] == "evaluations_to_target", "ratio"].dropna() == 1).all()
    assert repr(found).splitlines()[-1].startswith("all 4 cells: ")
    assert "not kept" in repr(found)
    for words in (*found.notes, "evaluations for each success", "xor stddev=0.1"):
        assert words in text_of(found._repr_html_())
        assert words in repr(found)


def test_a_path_is_compared_as_the_command_does(harness: Any, kept: freewalk.SweepResult) -> None:
    freewalk.sweep({**GRID, "hidden": 5}, task="xor", seeds="0:2", out="five", **TINY)
    found = kept.compare("five", across="hidden")
    said = harness("compare", kept.directory, "five", "--across", "hidden")
    assert [f"harness: note: {note}" for note in found.notes] == said.err.splitlines()
    shown = repr(found)
    assert all(word in shown for word in said.out.split() if word not in ("told", "(at"))
    for other, message in (("nowhere", "cannot read nowhere"), (5, "other must be a SweepResult or a path, got 5")):
        with pytest.raises(freewalk.UsageError, match=message):
            kept.compare(other)  # type: ignore[arg-type]
    with pytest.raises(freewalk.UsageError, match="no cell in common"):
        kept.compare("five")


def test_a_folder_is_read_back(kept: freewalk.SweepResult) -> None:
    assert kept.directory is not None
    for path in (kept.directory, str(kept.directory), kept.directory / "trials.csv"):
        read = freewalk.read_sweep(path)
        for name in ("trials", "curves", "summary", "ranking", "methods"):
            pd.testing.assert_frame_equal(getattr(read, name), getattr(kept, name))
        assert read.answer == kept.answer
        assert read.directory == kept.directory


def test_what_is_no_sweep_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(freewalk.UsageError, match=str(path)) as caught:
            freewalk.read_sweep(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(freewalk.UsageError, match="path must be a path"):
        freewalk.read_sweep(5)  # type: ignore[arg-type]


def test_a_sweep_without_a_result_yet() -> None:
    freewalk.sweep(GRID, task="xor", seeds="0", out="out", **TINY)
    path = Path("out/trials.csv")
    trials = pd.read_csv(path, dtype=str).assign(state="pending", outcome="", reached="")
    Path("csv").mkdir()
    trials.to_csv("csv/trials.csv", index=False)
    result = freewalk.read_sweep("csv")
    assert "No trial has ended yet" in repr(result)
    assert "This sweep has not ended" in text_of(result._repr_html_())
    assert result.curves.empty
    assert result.report("page.html").exists()


def test_completion_knows_what_there_is(kept: freewalk.SweepResult) -> None:
    assert {"trials", "ranking", "answer", "report", "compare"} <= {*dir(kept)}
    assert {"read_sweep", "SweepResult", "SweepComparison"} <= {*dir(freewalk)}


@pytest.mark.parametrize("progress", ["yes", 1, 0.5])
def test_progress_is_a_truth_value(progress: Any) -> None:
    with pytest.raises(freewalk.UsageError, match="progress must be True, False or None"):
        freewalk.sweep(GRID, task="xor", progress=progress)


def test_nothing_is_shown_where_output_is_captured(capfd: pytest.CaptureFixture[str]) -> None:
    freewalk.sweep(GRID, task="xor", seeds="0", **TINY)
    assert capfd.readouterr() == ("", "")
    freewalk.sweep(GRID, task="xor", seeds="0", progress=True, **TINY)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "2 trials"
    assert "2/2 trials" in err


@pytest.fixture(scope="module")
def tuned() -> freewalk.TuningResult:
    return freewalk.tune(
        task="and", method=["backprop", "walk"], evaluations=20_000, n_settings=4, race_seeds="90:93", seeds="0:2"
    )


def test_a_tuning_is_shown(tuned: freewalk.TuningResult, tmp_path: Path) -> None:
    first, answer = repr(tuned).splitlines()
    assert first == f"<TuningResult 2 races, {len(tuned.trials)} trials afterwards; not kept>"
    assert answer.startswith("and: ")
    shown = text_of(tuned._repr_html_())
    for words in ("and", "method settings reached evaluations untuned tuning cost", "backprop", "walk"):
        assert words in shown
    with pytest.raises(freewalk.UsageError, match="was not kept on disk"):
        tuned.report()
    page = tuned.report(tmp_path)
    assert page == tmp_path / "tuning.html"
    assert answer.partition(". ")[2] in page.read_text()
    page.write_text("mine")
    with pytest.raises(freewalk.StoreError, match="give another path"):
        tuned.report(page)


def test_a_kept_tuning_has_a_page(harness: Any) -> None:
    result = freewalk.tune(
        task="and", method="backprop", evaluations=20_000, n_settings=2, race_seeds="90:92", seeds="0:2", out="out"
    )
    assert result.report() == Path("out/tuning.html")
    assert "In out; .report() writes the page." in text_of(result._repr_html_())


def test_estimates_are_shown_as_their_text_says() -> None:
    import numpy as np

    found = freewalk.estimate(lambda w: float((w**2).sum()), lambda w: 2 * w, np.ones((4, 3)), steps=40)
    assert text_of(found._repr_html_()).split() == str(found).split()
