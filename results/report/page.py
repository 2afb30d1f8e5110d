"""The page: all that is known of a sweep in one HTML file that needs nothing else."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from freewalk.results.analysis.summary import ORDER
from freewalk.results.base.numbers import xml_text
from freewalk.results.report.answers import Answer
from freewalk.results.report.drawing import Group
from freewalk.results.report.headline import Headline, Overall
from freewalk.results.report.learning import MAX_SEEDS
from freewalk.results.report.outcomes import MAX_ERRORS, Ending, error_groups
from freewalk.results.report.palette import DARK, LIGHT, N_SERIES, variables
from freewalk.results.report.ranking_rows import ROWS_AT_ONCE, RankingRow
from freewalk.results.report.resolution import resolution_text
from freewalk.results.report.settings import Settings
from freewalk.results.report.subject import Tables, Task

TEMPLATES: Final = Path(__file__).parent / "templates"
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
    headline: Headline,
    overall: Overall | None,
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
    headline, overall
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
        headline=headline,
        overall=overall,
        errors=errors[:MAX_ERRORS],
        n_errors_left_out=len(errors[MAX_ERRORS:]),
        environment=environment_rows(tables.environment),
        rows_at_once=ROWS_AT_ONCE,
        order=ORDER,
        left_out=left_out,
    )


def fill(template: str, **values: Any) -> str:
    """Fill a template that extends base.html: `identity`, `name`, `title`, `version`, and what it uses itself."""
    page = _environment().get_template(template).render(
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


def _coded(text: str) -> Markup:
    """Show what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A word joiner after each hyphen: names such as shifted-sums stay on one line.
    environment.filters["unbroken"] = lambda text: str(text).replace("-", "-\u2060")
    environment.filters["coded"] = _coded
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:]}"
    environment.filters["resolution"] = resolution_text
    return environment


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
