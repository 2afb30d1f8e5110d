"""docs/benchmarks/suite.md, from what `harness tune --grid suite` left.

`python docs/make/suite_page.py runs/suite SECONDS MACHINE > docs/benchmarks/suite.md`
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from freewalk import read_table
from freewalk.results.base.numbers import is_missing, significant

_HEAD = """# Every method, tuned alike, on small tasks

[`harness tune`](../tune.md) with the preset `suite`:

```sh
{command}
```

{seconds} on {machine}, {day}. For each task and method {n_settings} settings of the method's own space raced for at
most {budget} evaluations; then the winner and the method's defaults ran on {n_seeds} fresh seeds. `evosax` is left out:
JAX compiles in every trial. Costs are expected evaluations to the target, failures counted in, with 95 % intervals,
which leave room for failures that {n_seeds} seeds did not show; *pairs* compare the trials that both reached it. A task
with layers after its name is learned by a layered network, any other by a free one. [All of it as a table](suite.csv).

## Ranking

Mean rank by cost over the tasks that a method can learn, with the interval of resampled seeds; how many of these it
learned in at least half of its trials, and what the median race spent. Methods for layers have three tasks, and fewer
rivals there.

| method | mean rank | learned | of | tuning, median |
|---|---|---|---|---|
"""
_WALK = """
## The walk beside backprop

Cost of the walk over that of backprop, both with their defaults and both tuned: 0 where only the walk ever reached the
target, ∞ where only backprop did, empty where neither did.

| task | untuned | pairs | tuned | pairs |
|---|---|---|---|---|
"""


def suite_page(found: Mapping[str, Any], tuned: Sequence[Any], seconds: float, machine: str) -> Iterator[str]:
    """Yield the page's text in pieces."""
    yield _HEAD.format(
        command=found["command"],
        seconds=f"{seconds / 60:.0f} minutes",
        machine=machine,
        day=date.today().isoformat(),
        n_settings=f"{max(row['n_settings'] for row in tuned):,}",
        budget=f"{_budget(found['command']):,}",
        n_seeds=max(row["tuned_n"] for row in tuned),
    )
    for row in found["ranks"]:
        own = [one for one in tuned if one["method"] == row["method"]]
        learned = sum(2 * one["tuned_reached"] >= one["tuned_n"] for one in own)
        spent = sorted(one["tuning_evaluations"] for one in own)[len(own) // 2]
        rank = f"{row['mean_rank']:.2f} ({row['mean_rank_low']:.2f} to {row['mean_rank_high']:.2f})"
        yield f"| `{row['method']}` | {rank} | {learned} | {len(own)} | {significant(spent, 3, math.inf)} |\n"
    yield _WALK
    for row in tuned:
        if row["method"] == "walk":
            names = ("untuned_ratio", "untuned_ratio_where_both", "ratio", "ratio_where_both")
            yield f"| {row['task']} | " + " | ".join(_times(row, name) for name in names) + " |\n"
    for task in dict.fromkeys(row["task"] for row in tuned):
        yield f"\n## {task}\n\n| method | settings | reached | evaluations | untuned | within twice |\n"
        yield "|---|---|---|---|---|---|\n"
        for row in (one for one in tuned if one["task"] == task):
            share = f"{row['share_within_two']:.0%}"
            cells = (f"`{row['method']}`", _settings(row), f"{row['tuned_reached']} of {row['tuned_n']}")
            yield "| " + " | ".join((*cells, _cost(row, "tuned"), _cost(row, "untuned"), share)) + " |\n"


def _budget(command: str) -> int:
    words = command.split()
    return int(words[words.index("--budget") + 1])


def _settings(row: Mapping[str, Any]) -> str:
    own = {name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_")}
    return ", ".join(f"{name} {value}" for name, value in own.items() if not is_missing(value)) or "defaults"


def _cost(row: Mapping[str, Any], name: str) -> str:
    if is_missing(row[f"{name}_n"]):
        return ""
    if not row[f"{name}_reached"]:
        return "never"
    low, high = (row[f"{name}_cost_{end}"] for end in ("low", "high"))
    return f"{_number(row[f'{name}_cost'])} ({_number(low)} to {_number(high)})"


def _times(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if is_missing(value):
        return ""
    return f"{_number(value)} ({_number(row[f'{name}_low'])} to {_number(row[f'{name}_high'])})"


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else significant(value, 3, math.inf)


if __name__ == "__main__":
    folder, seconds, machine = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    found = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    rows = read_table(folder / "tuned.csv", "tuned").to_dict("records")
    sys.stdout.write("".join(suite_page(found, rows, seconds, machine)))
