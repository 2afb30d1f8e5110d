"""Workers of a cluster load the plug-ins of a sweep, and without them they say so."""

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("distributed", reason="needs the extra cluster")

import freewalk

TASK = """
from freewalk.tasks import Problem, Task, data_words, uniform

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    x[0, 0] = uniform(word)
    y[0, 0] = x[0, 0] > 0.5

OWN = Task(
    name="right-half",
    summary="above the middle",
    metric="bit_accuracy",
    target=0.9,
    make_problem=lambda: Problem(n_input=1, n_output=1, datapoint=datapoint),
)
"""


def test_a_plugged_in_task_runs_on_workers_as_on_threads(tmp_path: Path) -> None:
    path = tmp_path / "right_half.py"
    path.write_text(TASK)
    options = {"task": "right-half", "seeds": "0:3", "epochs": 2, "steps_per_epoch": 3, "plugins": [path]}
    grid = {"hidden": 2, "stddev": [0.1, 0.3], "batch_size": 8}
    here, there = (freewalk.sweep(grid, **options, workers=workers) for workers in (None, 1))  # type: ignore[arg-type]
    columns = ["trial_id", "outcome", "loss_final", "metric_final", "steps"]
    assert (there.trials["state"] == "complete").all()
    pd.testing.assert_frame_equal(here.trials[columns], there.trials[columns], check_exact=True)
