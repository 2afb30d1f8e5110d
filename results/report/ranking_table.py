"""The ranking as a table for a paper or a page: LaTeX with booktabs, and Markdown."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from freewalk.results.analysis.summary import SORTED_BY
from freewalk.results.base.numbers import counted, is_missing, xml_text
from freewalk.results.report.ranking_rows import AT_LEAST, ROWS_AT_ONCE, RankingRow, ranking_rows
from freewalk.results.report.subject import Task

TableKind = Literal["latex", "markdown"]
SUFFIXES: Final[dict[TableKind, str]] = {"latex": "tex", "markdown": "md"}

_LATEX: Final = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "`": "\\textasciigrave{}",
    "'": "\\textquotesingle{}",
    '"': "{\\ttfamily\\char34}",
    "|": "\\textbar{}",
    "<": "$<$",
    ">": "$>$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{MULTIPLICATION SIGN}": "$\\times$",
    "\N{INFINITY}": "$\\infty$",
    "\N{LESS-THAN OR EQUAL TO}": "$\\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": "$\\geq$",
    "\N{MICRO SIGN}": "$\\mu$",
    "\N{PLUS-MINUS SIGN}": "$\\pm$",
    "\N{HORIZONTAL ELLIPSIS}": "\\ldots{}",
}
_IN_EVERY_FONT: Final = set("ßøØæÆœŒłŁåÅ")
# Grave, acute, circumflex, tilde, macron, breve, dot, diaeresis, ring, double acute, caron, cedilla: what OT1 can set.
_ACCENTS: Final = set(map(chr, (*range(0x300, 0x305), 0x306, 0x307, 0x308, 0x30A, 0x30B, 0x30C, 0x327)))
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


@dataclass(frozen=True)
class RankingTable:
    """A task's best cells, in words."""

    task: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def is_text(self) -> list[bool]:
        """Tell for each column whether it holds words, which begin at the left."""
        return words_begin_left(self.rows)


def words_begin_left(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Tell for each column of a table whether it holds words, which begin at the left."""
    columns = zip(*rows, strict=True)
    return [any(text[:1].isalpha() and not text.startswith(AT_LEAST) for text in column) for column in columns]


def ranking_table(task: Task) -> RankingTable:
    """Return a task's first cells with what they reached at which cost; columns that say nothing are left out."""
    rows = ranking_rows(task)[:ROWS_AT_ONCE]
    columns: list[tuple[str, list[str]]] = [("#", [str(row.number) for row in rows])]
    names = [name for name, _ in task.values(task.cells[0])]
    columns += [(name, [row.values[place] for row in rows]) for place, name in enumerate(names)]
    columns.append(("reached", [row.reached for row in rows]))
    columns.append(("expected evaluations", [row.evaluations for row in rows]))
    columns.append(("95 % interval", [row.interval for row in rows]))
    told = {
        "resolution": [row.resolution for row in rows],
        "times number 1": [_with_interval(row) for row in rows],
    }
    columns += [(name, texts) for name, texts in told.items() if any(texts)]
    header, texts = zip(*columns, strict=True)
    return RankingTable(task.name, _caption(task, len(rows)), header, list(zip(*texts, strict=True)))


def _with_interval(row: RankingRow) -> str:
    return f"{row.ratio} ({row.ratio_interval})" if row.ratio_interval else row.ratio


def _caption(task: Task, n_rows: int) -> str:
    n = len(task.cells)
    which = f"the first {n_rows} of {counted(n, 'cell')}" if n_rows < n else counted(n, "cell")
    order = f", in the order of {SORTED_BY}" if n > 1 else ""
    target = "" if is_missing(task.target) else f", target {task.goal}"
    return f"{task.name}{target}: {which}{order}; with 95 % intervals."


def to_latex(tables: Sequence[RankingTable], version: str) -> str:
    """Write tables as LaTeX; every name in them is text, whatever it holds.

    What the fonts of pdfLaTeX lack is written as its number, such as [U+540D].
    """
    parts = [f"% Made by freewalk {version}. Needs \\usepackage{{booktabs}} and \\usepackage{{textcomp}}.\n"]
    for number, table in enumerate(tables, 1):
        columns = "".join("l" if is_text else "r" for is_text in table.is_text)
        parts.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{latex(table.caption)}}}\n\\label{{tab:ranking-{number}}}\n"
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{_latex_row(table.header)}\\midrule\n"
            f"{''.join(map(_latex_row, table.rows))}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )
    return "\n".join(parts)


def _latex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(latex, cells))} \\\\\n"


def latex(text: str) -> str:
    """Write a text so that LaTeX sets it as it is."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(map(_latex_character, re.sub("-(?=-)", "-\N{ZERO WIDTH SPACE}", plain)))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character == "\N{ZERO WIDTH SPACE}":  # between two hyphens, which LaTeX would make a dash
        return "{}"
    if character in _IN_EVERY_FONT or (character.isascii() and character.isprintable()):
        return character
    base, *accents = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        return character
    return f"[U+{ord(character):04X}]"


def to_markdown(tables: Sequence[RankingTable], version: str) -> str:
    """Write tables as Markdown, in the form that GitHub and Pandoc read."""
    parts = [f"<!-- Made by freewalk {version}. -->\n"]
    for table in tables:
        rule = "".join("---|" if is_text else "---:|" for is_text in table.is_text)
        lines = [_markdown_row(table.header), f"|{rule}", *map(_markdown_row, table.rows)]
        parts.append("\n".join([f"**{markdown(table.task)}**", "", *lines, "", markdown(table.caption), ""]))
    return "\n".join(parts)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown, cells))} |"


def markdown(text: str) -> str:
    """Write a text so that Markdown shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", " ".join(xml_text(text).split()))
