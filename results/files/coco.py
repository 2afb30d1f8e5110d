"""Runs in the data format of COCO, which was BBOB's.

Sources: Hansen, Finck, Ros, Auger, Real-parameter black-box optimization benchmarking: experimental setup, 2010
(https://hal.inria.fr/inria-00362649), and what cocopp 2.9.1 reads.
"""

from pathlib import Path
from typing import Final

from freewalk.results.files.export import write_text
from freewalk.results.files.runs import NOTHING, Experiment, Run, Runs, number_text, save_parts

PRECISION: Final = "1.000e-08"
"""Distances that count as none, by COCO's custom."""
HEADER: Final = (
    "% function evaluation | noise-free fitness - Fopt (0.000000000000e+00) | best noise-free fitness - Fopt | "
    "measured fitness | best measured fitness | x1 | x2...\n"
)


def save_coco(experiment: Experiment, out: Path) -> None:
    """Write a folder for each algorithm: an index file for each problem, and the runs beside it, twice.

    COCO minimises a distance to the best value: a share that is to be high is written as 1 - share, a metric that is to
    be low as it is. The ``.dat`` file has a line for each improvement, the ``.tdat`` file for each look, and either for
    the end. The folder appears in one piece when it is complete.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    save_parts(experiment, out, _write)


def _write(part: Runs, folder: Path) -> None:
    problem = part.problem
    path = Path(f"data_f{problem.number}", f"bbobexp_f{problem.number}_DIM{part.dimension}.dat")
    courses = [_distances(run, problem.maximised) for run in part.runs]
    for suffix, telling in ((".dat", True), (".tdat", False)):
        blocks = [_block(run, course, telling) for run, course in zip(part.runs, courses, strict=True)]
        write_text("".join(blocks), folder / path.with_suffix(suffix))
    named = f"algId = '{_quoted(part.algorithm)}'"
    index = [
        f"funcId = {problem.number}, DIM = {part.dimension}, Precision = {PRECISION}, {named}",
        _quoted(f"% {problem.name}: {_measured(part)} on held-out data; {part.settings}".rstrip("; ")),
        ", ".join([path.as_posix(), *map(_summary, part.runs, courses)]),
    ]
    write_text("\n".join(index) + "\n", folder / f"bbobexp_f{problem.number}.info")


def _measured(part: Runs) -> str:
    return f"1 - {part.problem.metric}" if part.problem.maximised else part.problem.metric


def _distances(run: Run, maximised: bool) -> list[float]:
    return [min(1.0 - value, NOTHING) for value in run.best] if maximised else run.best


def _block(run: Run, course: list[float], telling: bool) -> str:
    places = run.telling if telling else range(len(course))
    return HEADER + "".join(f"{run.evaluations[at]} {' '.join([number_text(course[at])] * 4)}\n" for at in places)


def _summary(run: Run, course: list[float]) -> str:
    return f"{run.instance}:{run.evaluations[-1]}|{number_text(course[-1])}"


def _quoted(name: str) -> str:
    """Make a text that may stand between quotes in an index file, whose fields have commas between them."""
    return name.translate(str.maketrans("',\n", "_; "))
