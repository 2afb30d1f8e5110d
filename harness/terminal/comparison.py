"""Sweeps beside each other: what is compared, what readers have to know of it, and what a check objects to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.base.text import counted, significant
from freewalk.harness.terminal.reading import counted_once_note
from freewalk.results.analysis.cells import varies
from freewalk.results.analysis.comparison import EVALUATIONS, FEWEST_RUNS, SECONDS, compare
from freewalk.results.analysis.comparison_whole import Overall, overall, regressions
from freewalk.results.analysis.losses import Lost, lost_trials
from freewalk.results.analysis.matching import MatchError, Matching, UnknownParameterError, differences, match_cells
from freewalk.results.base.numbers import is_missing
from freewalk.results.files.sources import Source
from freewalk.results.schema.schema import PARAMETER_PREFIX
from freewalk.results.statistics.ranks import SIGNIFICANT

TITLES = {EVALUATIONS: "evaluations for each success", SECONDS: "seconds a step"}


@dataclass(frozen=True)
class Comparison:
    """What sweeps have in common, side by side."""

    pairs: Sequence[tuple[Source, Source]]
    """A and B, and further pairs of them."""
    trials: tuple[pd.DataFrame, pd.DataFrame]
    """Those of A and of B, of all pairs."""
    matching: Matching
    table: pd.DataFrame
    """The ``comparison`` table."""
    whole: list[Overall]
    """All cells of each measure."""
    threshold: float | None
    """Ratio above which a check fails."""
    lost: list[tuple[pd.Series[Any], Lost]]
    """Cells of A of which B has fewer complete trials, each with a trial of it."""

    @classmethod
    def of(
        cls, pairs: Sequence[tuple[Source, Source]], threshold: float | None, across: Sequence[str] = ()
    ) -> Comparison:
        """Match and compare; UsageError where nothing can be matched."""
        lost = []
        for a, b in pairs:
            trials = a.counted, b.counted
            matching = _matched(a, b, *trials, across)
            lost += [(trials[0].iloc[one.row], one) for one in lost_trials(*trials, matching)]
        both = tuple(pd.concat([s.counted for s in side], ignore_index=True) for side in zip(*pairs, strict=True))
        runs = tuple(
            np.repeat(np.arange(len(side)), [len(s.counted) for s in side]) for side in zip(*pairs, strict=True)
        )
        matching = _matched(*pairs[0], both[0], both[1], across)
        table = compare(both[0], both[1], matching, runs=(runs[0], runs[1]))
        whole = overall(both[0], both[1], matching, table, (runs[0], runs[1]))
        found = cls(pairs, (both[0], both[1]), matching, table, whole, threshold, lost)
        if threshold is not None and found._judged.empty:
            raise UsageError(
                f"--check: {pairs[0][0].path} and {pairs[0][1].path} have no cell with the same target and complete "
                f"trials in both, nor seconds of {FEWEST_RUNS} pairs of runs from one machine; run both to their end"
            )
        return found

    @property
    def same_machine(self) -> bool:
        """Whether the seconds of each pair come from one machine, backend and device."""
        return all(_is_one_machine(a, b) for a, b in self.pairs)

    def notes(self) -> Iterator[str]:
        """Say what readers of the numbers have to know."""
        matching = self.matching
        for side, name in zip(zip(*self.pairs, strict=True), "AB", strict=True):
            if doubled := sum(len(source.trials) - len(source.counted) for source in side):
                yield f"{name}: {counted_once_note(doubled)}"
        for count, name in ((matching.only_a, "A"), (matching.only_b, "B")):
            if count:
                yield f"{counted(count, 'cell')} only in {name}"
        for name, (one, other) in matching.across.items():
            yield f"{name} is {one} in A and {other} in B, and does not tell cells apart"
        for name in matching.ignored:
            yield f"{name.removeprefix(PARAMETER_PREFIX)} is known to one side only and has one value there: left aside"
        for measure, title in TITLES.items():
            cells = int((self.table["measure"] == measure).sum())
            if cells < len(matching.pairs):
                missing = counted(len(matching.pairs) - cells, "cell")
                why = "other targets, or no" if measure == EVALUATIONS else "no seconds, or no" if not cells else "no"
                yield f"{title}: {missing} left out ({why} complete trial on one side)"
        if self.lost and self.threshold is None:
            yield f"{counted(sum(one.n for _, one in self.lost), 'trial')} of A without a complete partner in B"
        if not self.same_machine and (self.table["measure"] == SECONDS).any():
            a, b = next(pair for pair in self.pairs if not _is_one_machine(*pair))
            yield _other_machines(a, b, " and are not checked" if self.threshold is not None else "")
        elif self.threshold is not None and self._has_untested_seconds:
            yield f"seconds are not checked: {self.untested_seconds}"
        if self._is_mute:
            yield "too few trials to tell any cell apart, whatever they show; run more seeds"

    @property
    def _has_untested_seconds(self) -> bool:
        return any(one.measure == SECONDS and one.test is None for one in self.whole)

    @property
    def untested_seconds(self) -> str:
        """Why seconds are shown and not tested, and what to do."""
        n = len(self.pairs)
        sides = "one run on each side" if n == 1 else f"{n} runs on each side"
        return (
            f"{sides}: seconds of one run depend on each other; no test. It takes {FEWEST_RUNS} pairs, run in turn: "
            "harness compare A B A2 B2 A3 B3"
        )

    @property
    def _judged(self) -> pd.DataFrame:
        """The rows that a check may object to: seconds only from one machine, and only where they are tested."""
        rows = self.table[self.table["p_value"].notna()]
        return rows if self.same_machine else rows[rows["measure"] == EVALUATIONS]

    @property
    def _is_mute(self) -> bool:
        """Whether no result of any cell could be significant."""
        tested = self.table[self.table["measure"] == EVALUATIONS]
        return not tested.empty and bool((tested["p_attainable"] > SIGNIFICANT).all())

    def failures(self) -> list[str]:
        """Name what B lacks, and what is worse by more than the threshold, with evidence; nothing without one."""
        if self.threshold is None:
            return []
        judged = self._judged
        measures = set(judged["measure"])
        cells, whole = regressions(judged, [one for one in self.whole if one.measure in measures], self.threshold)
        return [
            *(
                f"{self.cell(trial)}: {counted(one.n, 'trial')} of A without a complete partner in B ({one.reason})"
                for trial, one in self.lost
            ),
            *(f"{TITLES[str(row['measure'])]}: {self.cell(row)}: {_objection(row)}" for _, row in cells.iterrows()),
            *(
                f"{TITLES[o.measure]}: {ratio_text(o.ratio)} times A over {counted(o.n_cells, 'cell')} "
                f"(95 %: {interval_text(o.ratio_low, o.ratio_high)}; {units_text(o)}, p = {o.p_worse:.2g})"
                for o in whole
            ),
        ]

    def cell(self, row: pd.Series[Any]) -> str:
        """Describe a cell: task, and the parameters in which the compared cells differ."""
        values = [
            str(row["task"]),
            *([str(row["method"])] if "method" in row and varies(self.trials[0]["method"]) else []),
        ]
        values += [
            f"{n.removeprefix(PARAMETER_PREFIX)}={_plain(row[n])}" for n in self.varying if not is_missing(row[n])
        ]
        return " ".join(values)

    @property
    def varying(self) -> list[str]:
        """Parameters that take several values in the compared cells."""
        parameters = [name for name in self.matching.columns if name.startswith(PARAMETER_PREFIX)]
        return [name for name in parameters if varies(self.trials[0][name])]


def _matched(a: Source, b: Source, trials_a: pd.DataFrame, trials_b: pd.DataFrame, across: Sequence[str]) -> Matching:
    try:
        matching = match_cells(trials_a, trials_b, across)
    except UnknownParameterError as error:
        raise UsageError(f"--across: {unknown('parameter', error.name, error.known)}") from None
    except MatchError as error:
        remedy = "give another --across" if across else "sweep it in both or none"
        raise UsageError(f"{a.path} and {b.path} cannot be matched: {error}; {remedy}") from None
    if matching.pairs:
        return matching
    apart = {name: values for name, values in differences(trials_a, trials_b).items() if name not in across}
    what = "compare sweeps of the same tasks, methods and parameters"
    if apart and "task" not in apart:
        values = ", ".join(f"{name} is {one} in A and {other} in B" for name, (one, other) in apart.items())
        what = f"{values}; to compare these, add {' '.join(f'--across {name}' for name in apart)}"
    raise UsageError(f"{a.path} and {b.path} have no cell in common: {what}")


def _is_one_machine(a: Source, b: Source) -> bool:
    machines = {*a.machines, *b.machines}
    where = [
        {tuple(row) for row in source.trials[["backend", "device"]].dropna().itertuples(index=False)}
        for source in (a, b)
    ]
    return len(machines) == 1 and None not in machines and len(where[0] | where[1]) <= 1


def _other_machines(a: Source, b: Source, unchecked: str) -> str:
    one, other = (", ".join(name or "an unknown machine" for name in source.machines) or "none" for source in (a, b))
    where = f"A on {one}; B on {other}" if one != other or "unknown" in one else f"both on {one}, with several backends"
    are = "may be" if "unknown" in where else "are"
    return f"seconds {are} from different machines{unchecked} ({where})"


def _objection(row: pd.Series[Any]) -> str:
    """Say by how much a cell is worse, by the ratio whose interval says so."""
    p = f"p = {row['p_worse_adjusted']:.2g}"
    if row["n_reached_b"] == 0 and row["measure"] == EVALUATIONS:
        return f"never reached in B, in {row['n_reached_a']} of {row['n_a']} trials in A ({p})"
    said = f"{ratio_text(row['ratio'])} times A (95 %: {interval_text(row['ratio_low'], row['ratio_high'])}"
    if not math.isnan(row["cost_ratio"]):
        where_both = interval_text(row["cost_ratio_low"], row["cost_ratio_high"])
        said += f"; where both reached it {ratio_text(row['cost_ratio'])}, 95 %: {where_both}"
    return f"{said}; {p})"


def units_text(whole: Overall) -> str:
    """Say what a test of all cells counts."""
    return counted(whole.n_units, "seed") if whole.measure == EVALUATIONS else f"{whole.n_units} pairs of runs"


def ratio_text(ratio: float) -> str:
    """Return a ratio with few digits; inf, and a dash where it is not known."""
    if math.isinf(ratio):
        return "inf"
    return "-" if math.isnan(ratio) else significant(ratio)


def interval_text(low: float, high: float) -> str:
    """Return an interval; a dash where nothing is excluded."""
    return f"{ratio_text(low)} to {ratio_text(high)}" if low > 0 or math.isfinite(high) else "-"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
