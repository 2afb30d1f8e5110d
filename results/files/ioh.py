"""Runs in the folders of IOHexperimenter, which IOHanalyzer and iohinspector read.

Sources: https://iohprofiler.github.io/IOHanalyzer/data/ and what IOHexperimenter 0.4.2 writes.
"""

from pathlib import Path
from typing import Any, Final

from freewalk.results.files.export import write_json, write_text
from freewalk.results.files.runs import Experiment, Run, Runs, file_name, number_text, save_parts

LAYOUT: Final = "0.4.2"
"""The version of IOHexperimenter whose layout this is; IOHanalyzer asks for it."""
SUITE: Final = "freewalk"
COLUMNS: Final = ("evaluations", "raw_y")


def save_ioh(experiment: Experiment, out: Path) -> None:
    """Write a folder for each algorithm: a JSON file for each problem, and the runs beside it.

    ``raw_y`` is the best value so far of the task's metric on held-out data; each run ends with what it spent. The
    folder appears in one piece when it is complete.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    save_parts(experiment, out, _write)


def _write(part: Runs, folder: Path) -> None:
    problem = part.problem
    name = f"f{problem.number}_{file_name(problem.name)}"
    path = Path(f"data_{name}", f"IOHprofiler_f{problem.number}_DIM{part.dimension}.dat")
    write_text("".join(_lines(run) for run in part.runs), folder / path)
    scenario = {"dimension": part.dimension, "path": path.as_posix(), "runs": [_summary(run) for run in part.runs]}
    facts = {
        "version": LAYOUT,
        "suite": SUITE,
        "function_id": problem.number,
        "function_name": problem.name,
        "maximization": problem.maximised,
        "algorithm": {"name": part.algorithm, "info": part.settings},
        "attributes": list(COLUMNS),
        "scenarios": [scenario],
    }
    write_json(facts, folder / f"IOHprofiler_{name}.json")


def _lines(run: Run) -> str:
    rows = [f"{run.evaluations[place]} {number_text(run.best[place])}\n" for place in run.telling]
    return "".join([" ".join(COLUMNS) + "\n", *rows])


def _summary(run: Run) -> dict[str, Any]:
    best = {"evals": run.evaluations[run.improvements[-1]], "y": run.best[-1], "x": []}
    return {"instance": run.instance, "evals": run.evaluations[-1], "best": best}
