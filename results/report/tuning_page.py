"""The page of `harness tune`: which method learns a task, at what price, in one HTML file."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from freewalk.results.analysis.tuning import BASELINE, RaceFacts, mean_ranks, performance_profile, tuned_table
from freewalk.results.base.numbers import between, counted, counted_seeds, listed, significant
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.inline_svg import drawn_inline
from freewalk.results.report.line_plot import Line, LinePlot
from freewalk.results.report.page import fill
from freewalk.results.report.palette import INLINE, N_SERIES, Palette
from freewalk.results.report.style import PANEL, log_scale, new_figure, set_titles, short, styled
from freewalk.results.report.subject import Row, records
from freewalk.results.report.tuning_view import ENDS, WALK, MethodView, TaskView, tuning_views

_ROW_HEIGHT: Final = 0.45
_LONGEST_NAME: Final = 22
_BEYOND: Final = 1.5
"""How far beyond the last step a profile is drawn."""
_MOST_IN_WORDS: Final = 3
"""Tasks that are compared in words; of more, tables and pictures come first."""


@dataclass(frozen=True)
class Mark:
    """A value with its interval; infinite where nothing was reached."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class IntervalPlot:
    """Methods from top to bottom, each with a value, and with a second one where there is one to compare with."""

    title: str
    x_label: str
    rows: Sequence[tuple[str, Sequence[Mark | None]]]
    keys: Sequence[str] = ()
    """What the marks of a row stand for."""
    scale: Literal["log", "linear"] = "log"

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw the marks; one that was never reached points out of the plot, from the least it may be."""
        figure, axes = new_figure(PANEL[0], 1.15 + _ROW_HEIGHT * len(self.rows))
        set_titles(axes, f"{subject}: {self.title}" if subject else self.title, self.x_label, "")
        low, high = self._range()
        if self.scale == "log":
            log_scale(axes, "x", low, high)
        else:
            axes.set_xlim(low, high)
        axes.set_yticks(range(len(self.rows)), labels=[short(name, _LONGEST_NAME) for name, _ in self.rows])
        axes.set_ylim(len(self.rows) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="y")
        styles = ((palette.series[0], palette.series[0]), (palette.muted, "none"))
        for place, (_, marks) in enumerate(self.rows):
            gap = 0.3 if len(marks) > 1 else 0.0
            for number, (mark, (colour, face)) in enumerate(zip(marks, styles, strict=False)):
                y = place + gap * (number - 0.5)
                if mark is None:
                    continue
                reached = math.isfinite(mark.value)
                if not math.isnan(mark.low):
                    axes.plot([max(mark.low, low), min(mark.high, high)], [y, y], color=colour, alpha=0.4, linewidth=3)
                axes.plot(
                    [mark.value if reached else high], [y], "o" if reached else ">", color=colour, clip_on=False,
                    markerfacecolor=face, markersize=6.5,
                )  # fmt: skip
        if self.keys:
            handles = [
                Line2D([], [], color=colour, marker="o", linestyle="none", markerfacecolor=face)
                for _, (colour, face) in zip(self.keys, styles, strict=False)
            ]
            axes.legend(
                handles, self.keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9.5,
                handletextpad=0.1, borderaxespad=0.2, labelcolor=palette.muted,
            )  # fmt: skip
        return figure

    def _range(self) -> tuple[float, float]:
        marks = [mark for _, row in self.rows for mark in row if mark is not None]
        ends = [end for mark in marks for end in (mark.value, mark.low, mark.high) if math.isfinite(end)]
        if self.scale == "linear":
            return min([1.0, *ends]) - 0.15, max([2.0, *ends]) + 0.15
        ends = [end for end in ends if end > 0]
        return (min(ends) / 1.3, max(ends) * 1.3) if ends else (1.0, 10.0)


@dataclass(frozen=True)
class _Race:
    """What is said of one race."""

    title: str
    remark: str
    rounds: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class _Section:
    view: TaskView
    columns: Sequence[str]
    pictures: Sequence[tuple[Group, Sequence[Markup]]]
    races: Sequence[_Race]


@dataclass(frozen=True)
class _Overview:
    """What holds of several tasks together."""

    sentences: Sequence[str]
    ranks: Sequence[tuple[str, str, str, str]]
    """Method, mean rank, its interval, tasks learned."""
    tasks: Sequence[str]
    beside_baseline: Sequence[tuple[str, Sequence[tuple[str, ...]]]]
    """Each method with its ratios to the baseline, untuned and tuned, task by task; empty without a baseline."""
    pictures: Sequence[tuple[Group, Sequence[Markup]]]


def tuning_page(
    facts: Sequence[RaceFacts],
    rounds: Sequence[Mapping[str, Any]],
    trials: pd.DataFrame,
    *,
    identity: str,
    command: str,
    version: str,
) -> str:
    """Return the page.

    Parameters
    ----------
    facts : sequence of RaceFacts
        One per task and method, at least one.
    rounds : sequence of mapping
        The rounds of all races, by the columns of the table ``rounds``.
    trials : pandas.DataFrame
        The ``trials`` table of the sweep on fresh seeds.
    identity : str
        Of what was asked, 12 hex digits; a page of something else is not overwritten.
    command : str
        That makes it again.
    version : str
        Of this program.

    Raises
    ------
    ValueError
        As `tuned_table`.
    """
    tuned = tuned_table(facts, trials)
    views = tuning_views(facts, tuned)
    numbers = itertools.count()

    def drawn(group: Group, about: str) -> tuple[Group, Sequence[Markup]]:
        return group, [drawn_inline(one.plot, f"plot-{next(numbers)}", about) for one in group.drawings]

    with styled(INLINE, text_as_text=True):
        sections = [
            _Section(
                view, _columns(view), [drawn(_cost_plot(view), view.task)], [_race(one, rounds) for one in view.methods]
            )
            for view in views
        ]
        overview = None
        if len(views) > 1:
            ranks = records(mean_ranks(facts, trials))
            pictures = [drawn(_overview_plots(ranks, tuned), "all tasks")]
            overview = _overview(views, ranks, pictures)
    is_suite = len(views) > _MOST_IN_WORDS
    tasks = [counted(len(views), "task")] if is_suite else [view.task for view in views]
    n_methods = len({one.method for one in facts})
    which = "Which method learns" if n_methods > 1 else f"How does {facts[0].method} learn"
    return fill(
        "tuning.html",
        identity=identity,
        name="tuning",
        title=f"{listed(tasks)}: methods tuned",
        version=version,
        question=f"{which} {listed(tasks)}, at what price, tuning counted and not counted?",
        extent=_extent(facts, views),
        sections=sections,
        is_suite=is_suite,
        overview=overview,
        baseline=BASELINE,
        command=command,
    )


def _extent(facts: Sequence[RaceFacts], views: Sequence[TaskView]) -> str:
    n = sum(one.n_settings for one in facts)
    spent = sum(one.tuning_evaluations for one in facts)
    seeds = counted_seeds(len(one.tuned_trials) for one in facts)
    races, their = ("race", "its") if len(facts) == 1 else ("races", "their")
    return (
        f"{counted(len({one.method for one in facts}), 'method')} on {counted(len(views), 'task')}:"
        f" {counted(len(facts), races.removesuffix('s'))} among {counted(n, 'setting')} for {significant(spent)}"
        f" evaluations. {their.capitalize()} winners, and the untuned defaults, then ran on {seeds} that no race had"
        " seen; all that is said of costs comes from these."
    )


def _columns(view: TaskView) -> list[str]:
    """Return the headings of a task's table."""
    return [name for name in view.methods[0].figures if view.has_baseline or name != f"times {BASELINE}"]


def _cost_plot(view: TaskView) -> Group:
    rows = [(one.name, [_mark(one, "tuned_cost"), _mark(one, "untuned_cost")]) for one in view.methods]
    plot = IntervalPlot("Cost of a success", "evaluations", rows, ("tuned", "untuned"))
    caption = "Expected evaluations until the target is met, on fresh seeds, with 95 % intervals."
    if any(mark is not None and math.isinf(mark.value) for _, marks in rows for mark in marks):
        caption += " An arrow: the target was never met, and the bar begins at the least that a success costs."
    return Group("Tuned and untuned", [Drawing("cost", plot, caption)])


def _mark(one: MethodView, name: str) -> Mark | None:
    value, low, high = (float(one.row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return None if math.isnan(value) else Mark(value, low, high)


def _race(one: MethodView, rounds: Sequence[Mapping[str, Any]]) -> _Race:
    fact = one.fact
    own = [row for row in rounds if (row["task"], row["method"]) == (fact.task, fact.method)]
    title = (
        f"The race of {one.name}: {counted(fact.n_settings, 'setting')}, {counted(fact.n_rounds, 'round')},"
        f" {counted(fact.n_race_trials, 'trial')}; {ENDS.get(fact.stopped_by, fact.stopped_by)}"
    )
    cost = f"expected {significant(fact.race_cost)} evaluations" if fact.race_reached else "no success"
    remark = (
        f"Won by {one.settings}: {fact.race_reached} of {counted(fact.race_seeds, 'seed')} reached the target, {cost}."
        " It was picked by these seeds, so what it cost there is on the lucky side."
    )
    return _Race(title, remark if fact.race_seeds else "", [_round(row) for row in own])


def _round(row: Mapping[str, Any]) -> dict[str, str]:
    bound = "at least " if row["leader_open"] else ""
    return {
        "round": str(row["round"]),
        "settings": f"{row['n_settings']:,}",
        "seeds": f"{row['n_seeds']:,}",
        "cap": significant(float(row["cap_evaluations"])),
        "spent": significant(float(row["spent_evaluations"])),
        "in front": str(row["leader"]),
        "its cost": f"{bound}{significant(float(row['leader_cost']))}",
        "reached": f"{row['leader_reached']:,}",
        "waiting": f"{row['leader_open']:,}",
        "left by a test": f"{row['n_worse']:,}",
        "left by half": f"{row['n_halved']:,}",
        "came back": f"{row['n_back']:,}",
    }


def _overview(
    views: Sequence[TaskView], ranks: Sequence[Row], pictures: Sequence[tuple[Group, Sequence[Markup]]]
) -> _Overview:
    by_place = {(view.task, one.name): one for view in views for one in view.methods}
    names = [str(row["method"]) for row in ranks]
    learned = {name: sum(one.reached for (_, other), one in by_place.items() if other == name) for name in names}
    tasks = [view.task for view in views if view.has_baseline]
    beside: list[tuple[str, Sequence[tuple[str, ...]]]] = []
    for name in sorted(names, key=lambda name: name != WALK) if tasks else []:
        found = [by_place.get((task, name)) for task in tasks]
        texts = [("",) if one is None else one.all_times(key) for one in found for key in ("untuned_ratio", "ratio")]
        if name != BASELINE:
            beside.append((name, texts))
    return _Overview(
        list(_overall(ranks, learned, len(views))),
        [
            (
                name,
                significant(float(row["mean_rank"])),
                _rank_interval(row),
                f"{learned[name]} of {int(row['n_tasks'])}",
            )
            for name, row in zip(names, ranks, strict=True)
        ],
        tasks,
        beside,
        pictures,
    )


def _rank_interval(row: Row) -> str:
    low, high = float(row["mean_rank_low"]), float(row["mean_rank_high"])
    return "" if math.isnan(low) else between(significant(low), significant(high))


def _overall(ranks: Sequence[Row], learned: Mapping[str, int], n_tasks: int) -> Iterator[str]:
    """Say which method is the best one over all tasks, and how sure that is."""
    first, *others = ranks
    if not any(learned.values()):
        yield "No method learned any of the tasks."
        return
    if not others:
        return
    words = _rank_words(first)
    yield f"Over {counted(n_tasks, 'task')} {first['method']} has the best mean rank, {words}."
    if near := [
        str(row["method"]) for row in others if not float(row["mean_rank_low"]) > float(first["mean_rank_high"])
    ]:
        yield (
            f"The {'interval' if len(near) == 1 else 'intervals'} of {listed(near)}"
            f" {'overlaps' if len(near) == 1 else 'overlap'} with that, so other seeds may change the order."
        )
    most = max(learned.values())
    best = listed([name for name in learned if learned[name] == most])
    yield f"Most tasks were learned by {best}: {most} of {n_tasks}."


def _rank_words(row: Row) -> str:
    """Return a mean rank with its interval."""
    low, high = float(row["mean_rank_low"]), float(row["mean_rank_high"])
    ends = "" if math.isnan(low) else f" (95 % interval {significant(low)} to {significant(high)})"
    return f"{significant(float(row['mean_rank']))}{ends}"


def _overview_plots(ranks: Sequence[Row], tuned: pd.DataFrame) -> Group:
    rows = [
        (str(row["method"]), [Mark(*(float(row[f"mean_rank{end}"]) for end in ("", "_low", "_high")))]) for row in ranks
    ]
    names = [name for name, _ in rows]
    coloured, whose = names[:N_SERIES], f"The best {N_SERIES} by mean rank"
    if WALK in names[N_SERIES:]:
        coloured[-1], whose = WALK, f"The best {N_SERIES - 1} by mean rank and {WALK}"
    plot = IntervalPlot("Mean rank by cost", "mean rank, 1 is best", rows, scale="linear")
    drawings = [Drawing("ranks", plot)]
    costs: dict[Literal["tuned_cost", "total_evaluations"], str] = {
        "tuned_cost": "not counted",
        "total_evaluations": "counted",
    }
    for cost, words in costs.items():
        lines = list(_profile_lines(performance_profile(tuned, cost), names, coloured))
        label = "times the cost of the task's best method"
        profile = LinePlot(f"Tasks learned, tuning {words}", label, "tasks", lines, scale="share", steps=True)
        drawings.append(Drawing(f"profile-{cost}", profile))
    more = f" {whose} have colours." if len(names) > N_SERIES else ""
    caption = (
        "The profiles show the share of tasks that a method learns at so many times the cost of the task's best"
        " method, or less. Where a line begins, the method is the cheapest; where it ends, it learns at any cost."
        f" Tuning counted: a success pays for the whole race.{more}"
    )
    return Group("Mean ranks and performance profiles", drawings, caption, list(enumerate(coloured, 1)))


def _profile_lines(profile: pd.DataFrame, names: Sequence[str], coloured: Sequence[str]) -> Iterator[Line]:
    end = _BEYOND * float(profile["tau"].max())
    for name in names:
        own = profile[profile["method"] == name]
        tau, share = (own[column].to_numpy(np.float64) for column in ("tau", "share"))
        x, y = np.append(tau, end), np.append(share, share[-1])
        yield Line(x, y, coloured.index(name) + 1 if name in coloured else None, name)
