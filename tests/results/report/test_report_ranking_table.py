"""The ranking as LaTeX and as Markdown: every name stays text, and LaTeX compiles where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_data import make_tables, make_trials, mixed, reached, waiting

from freewalk.results.report.making import Report, write_report
from freewalk.results.report.ranking_rows import ROWS_AT_ONCE
from freewalk.results.report.ranking_table import RankingTable, latex, markdown, ranking_table, to_latex, to_markdown

PDFLATEX = shutil.which("pdflatex")
ALL_ASCII = "".join(map(chr, range(32, 127)))
HOSTILE = (
    ALL_ASCII,
    r"\input{/etc/passwd} \end{tabular} $x^{ % & # _ ~ ^^41",
    "100 % of batch_size & more | a\nb\tc \x07\u202e",
    "a--b --- ?` !` ,, '' `` \N{MULTIPLICATION SIGN}",
    "é ü ß ø Å ñ ç ő ą \N{LATIN SMALL LETTER DOTLESS I} \N{MICRO SIGN}s \N{INFINITY} \N{EN DASH} ± ≤ ≥ … 名前 😀 λ ²",
    "",
)


def table(text: str) -> RankingTable:
    return RankingTable(text, text, ["#", text], [["1", text], ["2", f"[{text}]"]])


def tables_of(report: Report) -> list[RankingTable]:
    return [ranking_table(one.task) for one in report.tasks]


def test_rows_are_those_of_the_report_best_first() -> None:
    parameters = {"stddev": [0.1 * n for n in range(1, 16)]}
    report = Report(make_tables(make_trials(lambda row: reached(int(1000 * row["stddev"])), parameters)))
    (found,) = tables_of(report)
    assert list(found.header)[:5] == ["#", "stddev", "reached", "expected evaluations", "95 % interval"]
    assert len(found.rows) == ROWS_AT_ONCE
    assert [row[0] for row in found.rows] == [str(n) for n in range(1, ROWS_AT_ONCE + 1)]
    assert list(found.rows[0])[1:4] == ["0.1", "3/3", "100"]
    assert "target max_error < 0.4: the first 10 of 15 cells" in found.caption


def test_several_tasks_and_methods_are_in_one_file() -> None:
    trials = make_trials(mixed, {"stddev": [0.1, 1.0]}, tasks=("xor", "shifted_sums"), methods=("walk", "back_prop"))
    report = Report(make_tables(trials))
    tex, text = report.ranking_text("latex", "1.2"), report.ranking_text("markdown", "1.2")
    assert tex.count(r"\begin{tabular}{rlrrrr") == tex.count(r"\end{table}") == 2, "words begin at the left"
    assert len(set(re.findall(r"\\label\{(.*)\}", tex))) == 2
    assert r"shifted\_sums" in tex
    assert r"back\_prop & 0.1 & 3/3" in tex
    assert r"max\_error $<$ 0.4" in tex
    assert text.count("|---:|---|---:|") == 2
    assert r"| 1 | walk | 0.1 | 3/3 |" in text
    assert r"**shifted\_sums**" in text


def test_tasks_without_a_result_have_no_table() -> None:
    trials = make_trials(lambda row: waiting() if row["task"] == "b" else reached(9), tasks=("a", "b"))
    assert Report(make_tables(trials)).ranking_text("latex", "1").count(r"\begin{table}") == 1
    assert "table" not in Report(make_tables(make_trials(lambda row: waiting()))).ranking_text("latex", "1")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_text_is_a_command(text: str) -> None:
    written = latex(text)
    known = (
        r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\textasciigrave\{\}|\\textquotesingle\{\}"
        r"|\{\\ttfamily\\char34\}|\\textbar\{\}|\\ldots\{\}|\$(?:<|>|\\times|\\infty|\\leq|\\geq|\\mu|\\pm)\$"
        r"|\\[&%$#_{}]|\{\}"
    )
    rest = re.sub(known, "", written)
    assert not re.search(r"[\\&%$#_{}~^`'\"|<>\x00-\x1f]", rest), written
    assert "\n" not in written
    shown = re.sub(r"(?<!\\)\\([|\\`*_{}\[\]<>#~&$])", r"\1", markdown(text).replace("\\\\", "\\\\"))
    assert re.sub(r"\\", "", shown) == re.sub(r"\\", "", " ".join(text.replace("\x07", "").split()))


def test_texts_as_they_are_written() -> None:
    assert latex("batch_size 50 % & #1") == r"batch\_size 50 \% \& \#1"
    assert latex("1 \N{EN DASH} \N{INFINITY}") == r"1 -- $\infty$"
    assert latex("a--b---c") == "a-{}-b-{}-{}-c"
    assert latex("Gürbüz 名") == "Gürbüz [U+540D]"
    assert latex("e\u0301") == "é", "accents that stand alone are joined"
    assert markdown("a_b | *c* <d> [e](f)") == r"a\_b \| \*c\* \<d\> \[e\](f)"


@pytest.mark.skipif(PDFLATEX is None, reason="no LaTeX on this machine")
def test_latex_compiles_whatever_the_names(tmp_path: Path) -> None:
    assert PDFLATEX is not None
    body = to_latex([table(text) for text in HOSTILE], "1")
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage{textcomp}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{head}{body}\n\\end{{document}}\n", encoding="utf-8")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")


def test_files_stand_beside_the_others_and_are_replaced(tmp_path: Path) -> None:
    report = Report(make_tables(make_trials(mixed, {"stddev": [0.1, 1.0]})))
    options: dict[str, Any] = {"version": "1", "ranking_as": ["latex", "markdown"]}
    for _ in range(2):
        paths = write_report(report, tmp_path, **options)
        assert [path.name for path in paths[-2:]] == ["ranking.tex", "ranking.md"]
        assert "freewalk 1" in (tmp_path / "ranking.tex").read_text()
        assert (tmp_path / "ranking.md").read_text() == to_markdown(tables_of(report), "1")
