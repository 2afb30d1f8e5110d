"""The page: all that is known of a sweep in one HTML file that needs nothing else."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from freewalk.results.analysis.summary import ORDER
from freewalk.results.base.numbers import xml_text
from freewalk.results.report.answers import Answer
from freewalk.results.report.drawing import Group
from freewalk.results.report.findings import Findings
from freewalk.results.report.learning import MAX_SEEDS
from freewalk.results.report.outcomes import MAX_ERRORS, Ending, error_groups
from freewalk.results.report.palette import DARK, LIGHT, N_SERIES, variables
from freewalk.results.report.ranking_rows import ROWS_AT_ONCE, RankingRow
from freewalk.results.report.settings import Settings
from freewalk.results.report.subject import Tables, Task
from freewalk.results.report.templating import TEMPLATES, template

SCRIPT: Final = (TEMPLATES / "report.js").read_text(encoding="utf-8")
SCRIPT_HASH: Final = f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}"
"""What a page's policy names its one script by: nothing else may run."""


@dataclass(frozen=True)
class Section:
    """A task's part of the page."""

    task: Task
    anchor: str
    answer: Answer
    rows: Sequence[RankingRow]
    endings: Sequence[Ending]
    groups: Sequence[tuple[Group, Sequence[Markup]]]
    """Drawings that stand side by side, and their SVG."""
    settings: Sequence[Settings]


def render(
    tables: Tables,
    sections: Sequence[Section],
    findings: Findings,
    *,
    version: str,
    left_out: Sequence[str],
) -> str:
    """Fill the template; whatever comes from the tables is escaped.

    Parameters
    ----------
    tables : Tables
        What the report is about.
    sections : sequence of Section
        Its tasks, in order.
    findings : Findings
        What stands above and below their answers.
    version : str
        Of this program.
    left_out : sequence of str
        What was left out, in sentences.
    """
    errors = error_groups([section.task for section in sections])
    return fill(
        "report.html",
        identity=tables.sweep_id,
        name=tables.name,
        title=f"{tables.name}: report",
        version=version,
        tables=tables,
        sections=sections,
        headline=findings.headline,
        overall=findings.overall,
        errors=errors[:MAX_ERRORS],
        n_errors_left_out=len(errors[MAX_ERRORS:]),
        environment=environment_rows(tables.environment),
        rows_at_once=ROWS_AT_ONCE,
        order=ORDER,
        left_out=left_out,
    )


def fill(page_name: str, **values: Any) -> str:
    """Fill a template that extends base.html: `identity`, `name`, `title`, `version`, and what it uses itself."""
    page = template(page_name).render(
        light=variables(LIGHT),
        dark=variables(DARK),
        n_series=N_SERIES,
        max_seeds=MAX_SEEDS,
        script=Markup(SCRIPT),
        script_hash=SCRIPT_HASH,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )  # fmt: skip
    return xml_text(page)


def environment_rows(environment: Any) -> list[tuple[str, str]]:
    """Return ``environment.json`` as names and texts; what is nested gets its path as its name, lists are joined."""
    rows: list[tuple[str, str]] = []
    if not isinstance(environment, dict):
        return rows
    for name, value in environment.items():
        if isinstance(value, dict):
            rows += [(f"{name} {inner}", text) for inner, text in environment_rows(value)]
        elif isinstance(value, list):
            rows.append((str(name), ", ".join(map(str, value))))
        elif value is not None:
            rows.append((str(name), str(value)))
    return rows
