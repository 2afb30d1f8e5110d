"""docs/tables.md, made from the schemas: `python docs/make/tables_page.py > docs/tables.md`."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.results.schema.estimates_schema import COSINES, ESTIMATES
from freewalk.results.schema.report_schema import COMPARISON, METHODS, ORIGINS, RANKING, SENSITIVITY
from freewalk.results.schema.reproduction_schema import REPRODUCTIONS
from freewalk.results.schema.schema import PARAMETERS_AFTER, SCHEMA_VERSION, TABLES, Outcome, TableName
from freewalk.results.schema.tuning_schema import ROUNDS, TUNED
from freewalk.results.tables.by_hand import NEEDED

_TABLES: Final[Mapping[TableName, str]] = {
    "trials": "One row per trial. `harness sweep` writes `trials.csv`; `harness show DIR --table trials` prints it.",
    "curves": "One row per measurement of a trial, in the order of trial, step, split and metric. `harness sweep` "
    "writes `curves.csv`.",
    "summary": "One row per cell, in the order of the grid. `harness sweep` writes `summary.csv`.",
    RANKING: "One row per cell, best first in each task: in the order of success rate, then expected evaluations, "
    "then final loss. So the first need not be the cheapest; where success rate and cost disagree, `verdict` says "
    "trade-off. `harness show DIR --table ranking` prints it, `harness report` writes `ranking.csv`.",
    METHODS: "One row per method, best first in each task: its best cell beside the best of all. `harness show DIR "
    "--table methods` prints it, `harness report` writes `methods.csv`.",
    SENSITIVITY: "One row per task, method and parameter that varies: how much it matters. `harness show DIR "
    "--table sensitivity` prints it, `harness report` writes `sensitivity.csv`.",
    COMPARISON: "One row per measure and cell that two sweeps have in common. `harness compare A B --csv` "
    "prints it, `--json` adds all cells of a measure together. `--across noise` leaves a parameter out of the "
    "matching, to compare sweeps that differ in it.\n\n"
    "`harness compare A B --check 1.1` fails (exit code 3) where B lacks trials that are complete in A, and where B is "
    "significantly worse by more than the threshold: a one-sided test says that B is worse, and the 95 % "
    "interval of `ratio` lies above the threshold, or that of `cost_ratio` while `ratio` does, or B never reached the "
    "target. It checks each cell, and all cells together: evaluations by pairs of seeds, as the cells of a sweep share "
    "their seeds; seconds by pairs of runs, as all trials of a run share the machine's state. Of equal sweeps at most "
    "5 % fail, however many cells they have; `python tests/results/analysis/test_results_same_cells.py` measures it. "
    "Seconds of one run on each side are shown but not checked: run both three times or more, alternating, and give "
    "all of them: `harness compare A B A2 B2 A3 B3 --check 1.1`. Three pairs are enough for all cells together, by "
    "Student's t of their log ratios; for single cells it takes six or more, by signed ranks.",
    ORIGINS: "One row per trial of a sweep that `harness merge` made; `origins.csv` stands beside its tables.",
    ESTIMATES: "One row per estimator, place and group of weights; all weights come first. `harness estimate` writes "
    "`estimates.csv`, and `freewalk.estimate` returns such a table. [What the figures mean](estimates.md).",
    COSINES: "One row per estimator, place and number of estimates whose mean is looked at: how well it points, for "
    "what these cost. `harness estimate` writes `cosines.csv`.",
    TUNED: "One row per task and method, the cheapest on fresh seeds first in each task: its best settings, which are "
    "the `param_*` columns (missing where a parameter was not searched), beside its defaults, and what finding them "
    "cost. `harness tune` writes `tuned.csv`.",
    ROUNDS: "One row per round of a race among a method's settings. `harness tune` writes `rounds.csv`.",
    REPRODUCTIONS: "One row per check of a reproduction at a scale. `harness reproduce` writes `reproductions.csv`. "
    "[What the verdicts mean](reproduce.md).",
}

_HEAD: Final = """# Tables

Every table that freewalk writes, column by column. This page is made from the code:
`python docs/make/tables_page.py > docs/tables.md`.

The layout has version {version}, which stands in the first column of every file. A store or CSV file of an older
version can still be read: columns that it does not have are missing values. One of a newer version is refused.

CSV files are UTF-8 with a header, commas as separators and `\\n` at the end of each line; floats are written with the
fewest digits that restore them exactly. In pandas `pd.read_csv` reads them; `freewalk.read_table(path, table)`
also gives every column its documented type, so that nothing changes on the way there and back.

A missing value is an empty field: NaN in a `float64` column, `NA` in an `Int64`, `boolean` or `string` one. `inf` is a
number: what never happened takes infinitely long.

A *cell* is one point of the grid: task, method, parameters. A *trial* is a cell with a seed. A *step* is one weight
update. An *evaluation* is one forward pass of one datapoint through all timesteps. A trial that did not reach its
target is *censored*: it is worse than any that did, and never left out. Intervals are meant to hold 95 % of the time;
`python tests/results/statistics/test_results_coverage.py` measures how often they do.
"""


_BY_HAND: Final = """## A table made by hand

`harness report`, `show` and `compare` and `freewalk.read_sweep` take trials of any program, as a CSV file or as the
`trials.csv` of a folder. Needed are the columns {needed}, and `reached` (True or False) or `outcome`:

```text
{example}```

```sh
harness report trials.csv
```

Every column named `param_*` is a parameter, and tells cells apart. Any other column of [trials](#trials) may be there,
in any order, and is missing otherwise, but for these:

| column | where it is not there |
|---|---|
| `state` | complete; failed where there is an `error` |
| `reached`, `outcome` | each follows from the other: a trial that has not reached its target is `exhausted` |
| `evaluations_to_target` | `evaluations`, of a trial that has reached its target |
| `trial_id`, `sweep_id` | follow from cell and seed, and from tasks and methods |

A failed trial needs no `evaluations`. Of columns that are none of these nothing is read, and that is said. A cell and a
seed may stand in one line only. What is wrong is named with the line of the file, the header being line 1.
"""

BY_HAND_EXAMPLE: Final = """task,method,seed,param_rate,reached,evaluations
maze,ours,0,0.1,True,1200
maze,ours,1,0.1,True,900
maze,ours,2,0.1,True,1500
maze,theirs,0,0.1,True,2600
maze,theirs,1,0.1,False,5000
maze,theirs,2,0.1,True,3100
"""


def tables_page() -> str:
    """Return docs/tables.md."""
    parts = [_HEAD.format(version=SCHEMA_VERSION)]
    parts.extend(_section(table, text) for table, text in _TABLES.items())
    needed = ", ".join(f"`{name}`" for name in NEEDED)
    parts.append(_BY_HAND.format(needed=needed, example=BY_HAND_EXAMPLE))
    parts.append(_words("Words in `outcome`", Outcome))
    parts.append(_parameters())
    return "\n".join(parts)


def _section(table: TableName, text: str) -> str:
    rows = []
    for column in TABLES[table]:
        rows.append(f"| `{column.name}` | {column.dtype} | {column.unit} | {_cell(column.description)} |")
        if PARAMETERS_AFTER.get(table) == column.name:
            rows.append("| `param_*` | by its values | | one column for each parameter, see below |")
    lines = ["| column | type | unit | what it is |", "|---|---|---|---|", *rows]
    return f"## {table}\n\n{_filled(text)}\n\n" + "\n".join(lines) + "\n"


def _filled(text: str) -> str:
    return "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _words(title: str, words: type[StrEnum]) -> str:
    described = _descriptions(words)
    lines = [f"- `{word}`{f': {described[word.name]}' if word.name in described else ''}" for word in words]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _descriptions(words: type[StrEnum]) -> dict[str, str]:
    """Return what stands in the source below each member."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(words)).body if isinstance(node, ast.ClassDef))
    return {
        node.targets[0].id: inspect.cleandoc(str(after.value.value)).replace("\n", " ").rstrip(".")
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def _parameters() -> str:
    rows = [f"| `param_{name}` | {_cell(parameter.help)} |" for name, parameter in PARAMETERS.items()]
    text = (
        "A table has the columns of the parameters that apply to at least one of its cells; the type follows from the "
        "values. A value that does not apply to a cell is missing."
    )
    lines = ["| column | what it is |", "|---|---|", *rows]
    return f"## Parameters\n\n{textwrap.fill(text, 120)}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(tables_page())
