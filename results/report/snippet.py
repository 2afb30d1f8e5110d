"""What a notebook shows of a result: a few sentences and small tables in HTML, without plots and scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from freewalk.results.base.numbers import counted, xml_text
from freewalk.results.report.findings import Findings
from freewalk.results.report.ranking_table import ranking_table, words_begin_left
from freewalk.results.report.templating import template

MOST_TASKS: Final = 6
"""Tasks of which a table is shown; of others the answers alone."""
MOST_ANSWERS: Final = 30
"""Tasks of which the answers are shown; how many more there are is said."""


@dataclass(frozen=True)
class Part:
    """Some sentences, and below them a table."""

    title: str = ""
    remark: str = ""
    sentences: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    caption: str = ""

    @property
    def is_text(self) -> list[bool]:
        """Tell for each column whether it holds words, which begin at the left."""
        return words_begin_left(self.rows)


def snippet(parts: Sequence[Part]) -> str:
    """Return parts as a piece of HTML that takes its colours from the page around it; everything is escaped."""
    return xml_text(template("snippet.html").render(parts=parts, number=Markup(' class="number"')))


def findings_parts(findings: Findings) -> list[Part]:
    """Return the answers of a sweep with the best cells of each task, in the words of its report."""
    opening = [findings.headline.extent, *([findings.headline.progress] if findings.headline.progress else [])]
    parts = [Part(sentences=opening)]
    for place, (task, found) in enumerate(findings.tasks[:MOST_ANSWERS]):
        table = ranking_table(task) if place < MOST_TASKS and task.finished else None
        parts.append(
            Part(
                task.name,
                found.verdict,
                found.sentences,
                () if table is None else table.header,
                () if table is None else table.rows,
                "" if table is None else table.caption,
            )
        )
    n_more = len(findings.tasks) - MOST_ANSWERS
    last = [f"{counted(n_more, 'task')} more; .report() has all."] if n_more > 0 else []
    last += [findings.overall.sentence] if findings.overall else []
    return [*parts, *([Part(sentences=last)] if last else [])]
