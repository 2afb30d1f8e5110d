"""Every rule with what a search found for it: the tables of docs/benchmarks/rules.md and online.md.

`python -m benchmarks.tuned winners runs/search-rules` prints a grid of each rule's best cell, and `python -m
benchmarks.tuned table runs/rules` what these come to on other seeds. `--over timesteps` does so at each number of
timesteps.

A rule is a method with what makes it another: the rank of its perturbations, what predicts, where feedback comes from.
Its best cell is the one that `harness show` and the report rank first.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from freewalk import read_table
from freewalk.results.analysis.summary import cell_order
from freewalk.results.statistics.cell import wilson_interval
from freewalk.results.statistics.intervals import median_interval
from freewalk.results.statistics.ratio import pair_ratio

DISTINGUISHING = {
    "tangent": "difference",
    "rank": "full",
    "activity": "no",
    "predictor": None,
    "feedback": "random",
    "covariance": None,
    "strategy": None,
}
"""Parameters that make another rule of a method, with the value that is not worth a word."""
BASELINE = "backprop"


def rules_of(table: pd.DataFrame) -> pd.Series[str]:
    """Return each row's rule, such as `walk, rank=1`."""
    names = table["method"].astype("object")
    for key, plain in DISTINGUISHING.items():
        if (column := f"param_{key}") in table:
            said = table[column].notna() & (table[column].astype(str) != str(plain))
            names = names.where(~said, names + f", {key}=" + table[column].astype(str))
    return names


def problems_of(table: pd.DataFrame) -> pd.Series[str]:
    """Return each row's task and network, such as `xor, free`."""
    return table["task"].astype(str) + ", " + table["param_architecture"].astype(str)


def best_of_rules(summary: pd.DataFrame, over: str | None) -> pd.DataFrame:
    """Return the best row of each rule on each problem, and of each value of an axis if one is given."""
    cells = summary.assign(rule=rules_of(summary), problem=problems_of(summary))
    order = {key: at for at, key in enumerate(zip(cells["problem"], cells["rule"], strict=True))}
    cells["place"] = [order[key] for key in zip(cells["problem"], cells["rule"], strict=True)]
    axis = [f"param_{over}"] if over else []
    ranked = cells.iloc[cell_order(summary)]
    return ranked.groupby(["problem", "rule", *axis]).head(1).sort_values(["task", *axis, "place"])


def winners(folder: Path, over: str | None, name: str, seeds: str) -> str:
    """Return a grid of the best cells of a search, as TOML."""
    document = tomllib.loads((folder / "sweep.toml").read_text(encoding="utf-8"))
    keys = list(dict.fromkeys(key for grid in document["grid"] for key in grid))
    grids = []
    for row in best_of_rules(read_table(folder / "summary.csv", "summary"), over).to_dict("records"):
        values = {key: row.get(key if key in ("task", "method") else f"param_{key}") for key in keys}
        grids.append({key: _plain(value) for key, value in values.items() if not pd.isna(value)})
    names = ("evaluations",) if "evaluations" in document else ("epochs", "steps_per_epoch")
    found = {"name": name, "seeds": seeds, **{key: document[key] for key in names}, "grid": grids}
    said = f"# What the sweep {document.get('name', folder.name)} found, by benchmarks/tuned.py."
    return f"{said}\n{tomli_w.dumps(found)}"


def _plain(value: Any) -> Any:
    """Return a value as TOML writes it."""
    return value.item() if hasattr(value, "item") else value


def median_cost(values: pd.Series[float]) -> str:
    """Return a median, missing values as infinite, with its 95 % interval of order statistics."""
    costs = values.astype("float64").fillna(math.inf).to_numpy()
    centre = float(np.median(costs))
    low, high = (f"{end:,.0f}" if math.isfinite(end) else "∞" for end in median_interval(costs))
    if math.isfinite(centre):
        return f"{centre:,.0f} ({low} to {high})"
    return "∞" if low == "∞" else f"∞ (from {low})"


def table_over(trials: pd.DataFrame, axis: str, column: str) -> Iterator[str]:
    """Yield a table of trials that reached the target and what a trial costs, by rule and value of an axis."""
    values, rules = sorted(trials[f"param_{axis}"].unique()), rules_of(trials)
    yield "| rule | " + " | ".join(f"{axis} {value}" for value in values) + " |"
    yield "|" + "---|" * (len(values) + 1)
    for rule in dict.fromkeys(rules):
        cells = []
        for value in values:
            one = trials[(rules == rule) & (trials[f"param_{axis}"] == value)]
            cells.append(f"{one['reached'].sum()} of {len(one)}: {median_cost(one[column])}")
        yield f"| {rule} | " + " | ".join(cells) + " |"


def table(trials: pd.DataFrame) -> Iterator[str]:
    """Yield a table of all rules on a problem, the cheapest first."""
    trials = trials.assign(rule=rules_of(trials), cost=trials["evaluations_to_target"].astype("float64"))
    yield "| rule | settings | reached | evaluations | times backprop | measure at the end |"
    yield "|---|---|---|---|---|---|"
    baseline = trials[trials["rule"] == BASELINE].set_index("seed")["cost"]
    groups = {str(rule): one for rule, one in trials.groupby("rule", sort=False)}
    for rule, one in sorted(groups.items(), key=lambda group: _rank(group[1])):
        n, reached = len(one), int(one["reached"].sum())
        low, high = wilson_interval(reached, n)
        ratio = "1" if rule == BASELINE else _ratio(baseline, one.set_index("seed")["cost"])
        accuracy = one["metric_final"].astype("float64")
        worst, best = median_interval(accuracy.to_numpy())
        cells = [
            f"`{rule}`",
            _settings(one.iloc[0]),
            f"{reached} of {n} ({low:.0%} to {high:.0%})",
            median_cost(one["cost"]),
            ratio,
            f"{accuracy.median():.3f} ({worst:.3f} to {best:.3f})",
        ]
        yield "| " + " | ".join(cells) + " |"


def _rank(trials: pd.DataFrame) -> tuple[float, float, float]:
    costs = trials["cost"].fillna(math.inf)
    return -float(trials["reached"].sum()), float(costs.median()), -float(trials["metric_final"].median())


def _ratio(baseline: pd.Series[float], costs: pd.Series[float]) -> str:
    """Return the median ratio of costs over seeds on which both reached the target, with its 95 % interval."""
    pairs = pd.concat([baseline, costs], axis=1, join="inner").dropna()
    if pairs.empty:
        return ""
    estimate, low, high = pair_ratio(pairs.iloc[:, 0], pairs.iloc[:, 1])
    return f"{estimate:.3g} ({low:.3g} to {high:.3g})" if math.isfinite(high) else f"{estimate:.3g}"


def _settings(row: pd.Series[Any]) -> str:
    """Return what was searched for: an optimizer with its learning rate, or a method's own numbers."""
    names = ["sigma0", "mean_learning_rate", "population", "scale"]
    names += ["stddev"] if row["method"] == "genetic" else []
    said = [f"{row['param_optimizer']} {row['param_learning_rate']}"] if pd.notna(row["param_optimizer"]) else []
    said += [f"{name.replace('_', ' ')} {value}" for name in names if pd.notna(value := row.get(f"param_{name}"))]
    return ", ".join([*said, f"batch {row['param_batch_size']}"])


def _by_problem(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    problems = problems_of(trials)
    for problem in dict.fromkeys(problems):
        yield problem, trials[problems == problem]


def main() -> None:
    """Print a grid or tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["winners", "table"])
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--over", metavar="AXIS", help="at each of its values, such as timesteps")
    parser.add_argument("--name", default="rules", help="of the grid (%(default)s)")
    parser.add_argument("--seeds", default="0:10", help="of the grid (%(default)s)")
    given = parser.parse_args()
    if given.what == "winners":
        texts = [winners(given.sweep, given.over, given.name, given.seeds)]
    else:
        texts = []
        for problem, trials in _by_problem(read_table(given.sweep / "trials.csv")):
            if given.over is None:
                tables = {"": table(trials)}
            else:
                columns = ("steps", "evaluations")
                tables = {f": {one}": table_over(trials, given.over, f"{one}_to_target") for one in columns}
            texts += [f"## {problem}{what}\n\n" + "\n".join(lines) + "\n" for what, lines in tables.items()]
    print("\n".join(texts), end="")  # noqa: T201


if __name__ == "__main__":
    main()
