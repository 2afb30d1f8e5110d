"""What is said of tuned methods: which one learns a task, at what price, and what finding its settings cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from freewalk.results.analysis import contrast
from freewalk.results.analysis.tuning import BASELINE, RaceFacts, by_task
from freewalk.results.base.numbers import (
    MISSING,
    between,
    compact,
    counted,
    is_missing,
    listed,
    parameter_text,
    percent,
    significant,
)
from freewalk.results.report.comparing import Standing, in_brackets, interval_words, state_of
from freewalk.results.report.ranking_rows import ratio_text
from freewalk.results.report.resolution import share_of_cost
from freewalk.results.report.subject import Row, records

WALK: Final = "walk"
"""The method that this program is about; what it costs beside the baseline is said of every task."""
NEVER: Final = "never"
DEFAULTS: Final = "the defaults"
ENDS: Final[Mapping[str, str]] = {
    "no other": "there was no other setting",
    "all seeds": "the winner had run on all seeds, and no other looked cheaper",
    "budget": "its budget was spent",
}
"""Why races end."""

_COARSE: Final = 0.01
"""The share of a cost that looks may make it too high, from which on it is worth a word."""
_BESIDE: Final[Mapping[str, str]] = {
    contrast.Verdict.UNCLEAR: "Within the intervals",
    contrast.Verdict.ALIKE: "As good",
    contrast.Verdict.TRADE_OFF: "Trade-off",
    contrast.Verdict.WORSE: "Clearly dearer",
}
"""What is said of methods beside the task's first."""

Verdict = Standing | Literal["only method", "not learned"]


@dataclass(frozen=True)
class MethodView:
    """One method on one task."""

    fact: RaceFacts
    row: Row
    """Of the table ``tuned``."""

    @property
    def name(self) -> str:
        """The method's name."""
        return self.fact.method

    @property
    def settings(self) -> str:
        """The winner's settings in words."""
        texts = ((name, parameter_text(value)) for name, value in self.fact.settings.items())
        return ", ".join(f"{name} {text}" for name, text in texts if text != MISSING) or DEFAULTS

    @property
    def is_default(self) -> bool:
        """Whether the defaults won the race."""
        return bool(self.fact.tuned_trials) and self.fact.tuned_trials == self.fact.untuned_trials

    @property
    def verdict(self) -> str:
        """How it compares with the task's first; empty for that itself, and where nothing is known."""
        return "" if is_missing(self.row["verdict"]) else str(self.row["verdict"])

    @property
    def cost(self) -> float:
        """Evaluations of a success on fresh seeds; infinite where there was none."""
        return float(self.row["tuned_cost"]) if self.is_known else math.inf

    @property
    def is_known(self) -> bool:
        """Whether any trial on fresh seeds is complete."""
        return not is_missing(self.row["tuned_n"])

    @property
    def reached(self) -> bool:
        """Whether any trial met the target."""
        return math.isfinite(self.cost)

    def times(self, name: str) -> tuple[str, str]:
        """Return a ratio of the table in words, and its interval; empty texts where nothing is known."""
        value, low, high = (float(self.row[f"{name}{end}"]) for end in ("", "_low", "_high"))
        if value == 0:
            return f"at most {significant(high, 2)}" if math.isfinite(high) else "", ""
        if math.isinf(value) or low == high or math.isnan(value):
            return ratio_text({"ratio": value, "ratio_low": low}), ""
        digits = 3 if low > 0 and high < 2 * low else 2
        text, *ends = (significant(one, digits) for one in (value, low, high))
        return text, between(*ends) if ends[0] != ends[1] else ""

    def all_times(self, name: str) -> tuple[str, ...]:
        """Return a ratio with its interval, and the same where both reached the target, line by line."""
        text, ends = self.times(name)
        both, within = self.times(f"{name}_where_both")
        return text or MISSING, ends, f"pairs {both} ({within})" if within else ""

    def as_much(self, name: str) -> str:
        """Say what a ratio of the table tells of costs, with its intervals; nothing where nothing is known."""
        text, ends = self.times(name)
        if not text:
            return ""
        told = [interval_words(self.row, name, " times" if text == "1" else "", digits=2)] if ends else []
        both, within = self.times(f"{name}_where_both")
        if within:
            told.append(f"where both succeed {both}, {within.replace(f' {MISSING} ', ' to ')}")
        words = "as much" if text == "1" else f"{text} times as much"
        return f"{words}{in_brackets('; '.join(told))}"

    def differs(self, name: str) -> bool:
        """Whether a ratio of the table leaves out 1, with failures counted in or where both reached the target."""
        ends = ((float(self.row[f"{column}_low"]), float(self.row[f"{column}_high"])) for column in _both(name))
        return any(low > 1 or high < 1 for low, high in ends)

    @property
    def figures(self) -> dict[str, tuple[str, ...]]:
        """What the page's table shows: by heading a figure and, in lines below it, how sure it is or what it means."""
        row = self.row
        tuning = float(row["tuning_evaluations"])
        share = share_of_cost({"ert_evaluations": self.cost, "ert_resolution": row["tuned_resolution"]})
        runs = f"{significant(tuning / self.cost, 2)} tuned runs" if tuning and 0 < self.cost < math.inf else ""
        return {
            "reached": (self.text("tuned_reached"),),
            "evaluations": (
                self.text("tuned_cost"),
                self._interval("tuned_cost"),
                f"up to {percent(share)} less" if share >= _COARSE else "",
            ),
            "untuned": (self.text("untuned_cost"), self._interval("untuned_cost")),
            "tuning saves": ("the same",) if self.is_default else self.all_times("gain"),
            f"times {BASELINE}": self.all_times("ratio"),
            "tuning cost": (compact(tuning), runs),
            "within twice": (percent(float(row["share_within_two"])), f"of {row['n_settings']:,}"),
        }

    def text(self, name: str) -> str:
        """Return a cost, or how many trials reached the target, as tables show it."""
        kind, _, what = name.partition("_")
        n, reached = self.row[f"{kind}_n"], self.row[f"{kind}_reached"]
        if is_missing(n):
            return MISSING
        if what == "reached":
            return f"{reached}/{n}"
        return significant(float(self.row[name])) if reached else NEVER

    def _interval(self, name: str) -> str:
        low, high = float(self.row[f"{name}_low"]), float(self.row[f"{name}_high"])
        if math.isnan(low):
            return ""
        return f"at least {compact(low)}" if math.isinf(high) else between(compact(low), compact(high))


@dataclass(frozen=True)
class TaskView:
    """One task."""

    task: str
    number: int
    methods: Sequence[MethodView]
    """The cheapest first."""

    @property
    def anchor(self) -> str:
        """A name for links."""
        return f"task-{self.number}"

    @property
    def has_baseline(self) -> bool:
        """Whether there is something to compare with."""
        return len(self.methods) > 1 and BASELINE in (one.name for one in self.methods)

    @property
    def verdict(self) -> Verdict:
        """The answer in two words."""
        first, *others = self.methods
        if not first.reached:
            return "not learned"
        if not others:
            return "only method"
        return state_of([one.verdict for one in others if one.verdict])

    @property
    def sentences(self) -> list[str]:
        """Answer which method learns the task, at what price, tuning not counted and counted."""
        first, *others = self.methods
        if not first.reached:
            return [self._not_learned()]
        cost = in_brackets(interval_words(first.row, "tuned_cost"))
        least = " at the least cost" if others else ""
        found = [
            f"{first.name} learns {self.task}{least}: {significant(first.cost)} evaluations for a success{cost}, with"
            f" {first.settings}. It reached the target in {first.row['tuned_reached']} of"
            f" {counted(int(first.row['tuned_n']), 'trial')} on fresh seeds."
        ]
        groups = {
            what: [one for one in others if one.reached and one.verdict == word] for word, what in _BESIDE.items()
        }
        groups["Never reached the target"] = [one for one in others if one.is_known and not one.reached]
        found += [f"{what}: {'; '.join(map(_beside_first, group))}." for what, group in groups.items() if group]
        if unknown := [one.name for one in others if not one.is_known]:
            found.append(f"No result: {listed(unknown)}.")
        return [*found, self._tuning_counted(), *self._saved(), *self._walk()]

    def _not_learned(self) -> str:
        n = sum(int(one.row["tuned_n"]) for one in self.methods if one.is_known)
        if not n:
            return f"No trial of {self.task} on fresh seeds has ended."
        spent = sum(float(one.row["tuning_evaluations"]) for one in self.methods)
        return (
            f"Not learned: none of {counted(n, 'trial')} of {counted(len(self.methods), 'tuned method')} reached the"
            f" target on fresh seeds, after {significant(spent)} evaluations of tuning."
        )

    def _tuning_counted(self) -> str:
        """Say which method is the cheapest if its tuning has to be paid for one success."""
        first = self.methods[0]
        best, *others = sorted((one for one in self.methods if one.reached), key=_total)
        still = "it is still the cheapest" if best is first and others else f"{best.name} is the cheapest"
        what = "that makes" if not others and best is first else f"{still}:"
        tuning = float(best.row["tuning_evaluations"])
        share = f", {percent(tuning / _total(best))} of them for tuning" if tuning else ", none of them for tuning"
        text = f"Tuning counted, {what} {significant(_total(best))} evaluations{share}"
        return f"{text}." if best is first else f"{text}. {first.name} comes to {significant(_total(first))}."

    def _saved(self) -> list[str]:
        """Say what tuning saves the first method, and when that has paid for it."""
        first = self.methods[0]
        if first.is_default:
            return [f"The defaults of {first.name} won its race: tuning saves nothing."]
        words = first.as_much("gain")
        if not words:
            return []
        untuned, tuning = float(first.row["untuned_cost"]), float(first.row["tuning_evaluations"])
        if math.isinf(untuned):
            return [f"With its defaults {first.name} never reached the target: they cost {words}."]
        if not first.differs("gain"):
            return [f"Tuning {first.name} changed nothing beyond the intervals: its defaults cost {words}."]
        pays = math.ceil(tuning / (untuned - first.cost)) if untuned > first.cost else 0
        after = f" Tuning pays off after {pays:,} success{'' if pays == 1 else 'es'}." if pays else ""
        return [f"The defaults of {first.name} cost {words}.{after}"]

    def _walk(self) -> list[str]:
        """Say what the walk costs beside the baseline."""
        walk = next((one for one in self.methods if one.name == WALK), None)
        words = walk.as_much("ratio") if walk is not None and self.has_baseline else ""
        if walk is None or not words:
            return []
        before = walk.as_much("untuned_ratio")
        untuned = f" Both untuned: {before}." if before else ""
        within = "" if walk.differs("ratio") else " The difference is within the intervals."
        return [f"Beside {BASELINE} the walk costs {words}.{within}{untuned}"]

    @property
    def notes(self) -> list[str]:
        """Say what may be wrong with the answer, and the remedy."""
        notes = []
        if spent := [one.name for one in self.methods if one.fact.stopped_by == "budget"]:
            races, their = ("race", "its") if len(spent) == 1 else ("races", "their")
            notes.append(
                f"The {races} of {listed(spent)} ended because {their} budget was spent: a cheaper setting may be among"
                " those that had to leave. A larger `--budget` would tell."
            )
        if edges := [f"{one.name}: {listed(one.fact.edges)}" for one in self.methods if one.fact.edges]:
            notes.append(
                f"At the edge of what was searched: {'; '.join(edges)}. Cheaper settings may lie beyond: `--extend`"
                " searches on there."
            )
        misled = [one.name for one in self.methods if float(one.row["gain"]) < 1 and one.differs("gain")]
        if misled:
            notes.append(
                f"On fresh seeds the defaults of {listed(misled)} are cheaper than what won the race: its few seeds"
                " misled it."
            )
        without = [one.name for one in self.methods if not one.fact.untuned_trials]
        if without:
            have = "has" if len(without) == 1 else "have"
            notes.append(f"{listed(without)} {have} no defaults that can run here.")
        return notes


def _beside_first(one: MethodView) -> str:
    words = one.as_much("behind")
    return f"{one.name} costs {words}" if words else one.name


def _both(name: str) -> tuple[str, str]:
    return name, f"{name}_where_both"


def _total(one: MethodView) -> float:
    return float(one.row["total_evaluations"])


def tuning_views(facts: Sequence[RaceFacts], tuned: pd.DataFrame) -> list[TaskView]:
    """Return what is said of each task.

    Parameters
    ----------
    facts : sequence of RaceFacts
    tuned : pandas.DataFrame
        Their `tuned_table`.
    """
    known = {(one.task, one.method): one for one in facts}
    rows = records(tuned)
    return [
        TaskView(
            task, number, [MethodView(known[task, str(row["method"])], row) for row in rows if row["task"] == task]
        )
        for number, task in enumerate(by_task(facts), 1)
    ]
