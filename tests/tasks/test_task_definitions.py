"""What a task says about itself: sizes, limits, metric and target."""

from __future__ import annotations

from typing import Any

import pytest

from freewalk.kernels.model.walk import Evaluation
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import METRIC_DESCRIPTIONS

EVALUATION = Evaluation(loss=0.25, bit_accuracy=0.75, row_accuracy=0.5, max_error=0.4, output_spread=0.1)


def test_the_tasks() -> None:
    assert list(TASKS) == [
        *("shifted-sums", "and", "or", "xor", "sign", "parity", "addition", "digits", "mnist"),
        *("adding", "delayed-xor", "copy", "long-parity", "characters"),
        *("two-sequence", "latch-1", "latch-2", "tomita", "sparse-parity"),
        *("linear-teacher", "linear-perceptron", "reservoir"),
    ]
    for name, task in TASKS.items():
        assert task.name == name
        assert task.metric in METRIC_DESCRIPTIONS
        assert task.summary


@pytest.mark.parametrize(
    ("name", "metric", "direction", "comparison", "target", "value"),
    [
        ("shifted-sums", "loss", "minimize", "<=", 1e-3, 0.25),
        ("xor", "max_error", "minimize", "<", 0.4, 0.4),
        ("sign", "bit_accuracy", "maximize", ">=", 0.99, 0.75),
        ("parity", "bit_accuracy", "maximize", ">=", 0.99, 0.75),
        ("addition", "bit_accuracy", "maximize", ">=", 0.99, 0.75),
    ],
)
def test_metric_and_target(
    name: str, metric: str, direction: str, comparison: str, target: float, value: float
) -> None:
    task = TASKS[name]
    assert (task.metric, task.direction, task.comparison, task.target) == (metric, direction, comparison, target)
    assert task.measure(EVALUATION) == value


def test_curves_record_the_loss_first_and_every_metric_once() -> None:
    assert TASKS["shifted-sums"].recorded_metrics == ("loss",)
    assert TASKS["xor"].recorded_metrics == ("loss", "max_error")
    assert TASKS["addition"].recorded_metrics == ("loss", "bit_accuracy", "row_accuracy")


@pytest.mark.parametrize(
    ("name", "parameters", "sizes"),
    [
        # n_input, n_output, sequence input, sequence output
        ("shifted-sums", {}, (3, 2, True, False)),
        ("and", {}, (2, 1, False, False)),
        ("sign", {}, (1, 1, False, False)),
        ("parity", {"bits": 5}, (5, 1, False, False)),
        ("parity", {"bits": 5, "form": "sequence"}, (1, 1, True, False)),
        ("addition", {"bits": 12, "form": "static"}, (24, 12, False, False)),
        ("addition", {"bits": 12}, (2, 1, True, True)),
    ],
)
def test_networks_fit_the_data(name: str, parameters: dict[str, Any], sizes: tuple[int, int, bool, bool]) -> None:
    network = TASKS[name].problem(parameters).network(7)
    assert (network.n_input, network.n_output, network.sequence_input, network.sequence_output) == sizes
    assert network.n_hidden == 7
    assert not network.softmax
    assert network.loss == "mean_squared_error"


@pytest.mark.parametrize("name", ["addition", "parity"])
def test_a_sequence_needs_a_timestep_for_each_bit(name: str) -> None:
    parameters = {"bits": 6, "form": "sequence"}
    task = TASKS[name]
    assert task.problem(parameters).least_timesteps == 6
    assert task.problem(parameters).default_timesteps == 7
    task.problem(parameters | {"timesteps": 6})
    with pytest.raises(ValueError, match=rf"timesteps=5 is too few for task {name} with bits=6, .* at least 6"):
        task.problem(parameters | {"timesteps": 5})
    task.problem(parameters | {"form": "static", "timesteps": 1})


@pytest.mark.parametrize("bits", [1, 0, -3, 33])
@pytest.mark.parametrize("form", ["static", "sequence"])
def test_bits_that_addition_cannot_have(bits: int, form: str) -> None:
    with pytest.raises(ValueError, match=rf"bits={bits} does not fit task addition"):
        TASKS["addition"].problem({"bits": bits, "form": form})


@pytest.mark.parametrize("bits", [0, -1])
def test_bits_that_parity_cannot_have(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"bits={bits}"):
        TASKS["parity"].problem({"bits": bits, "form": "sequence"})


@pytest.mark.parametrize("name", ["addition", "parity"])
def test_a_form_that_does_not_exist(name: str) -> None:
    with pytest.raises(ValueError, match="form"):
        TASKS[name].problem({"form": "sideways"})


def test_parameters_of_other_tasks_are_ignored() -> None:
    assert TASKS["xor"].problem({"bits": 99, "stddev": 0.1}).n_input == 2


def test_evaluation_points_are_no_more_than_there_are_datapoints() -> None:
    xor = TASKS["xor"].problem({})
    assert xor.evaluation_points(4000) == 4
    assert xor.evaluation_points(3) == 3
    assert TASKS["sign"].problem({}).evaluation_points(4000) == 4000


def test_a_task_compiles_once() -> None:
    assert TASKS["xor"].problem({}).data().address == TASKS["and"].problem({}).data().address
    three, five = (TASKS["parity"].problem({"bits": bits}).data() for bits in (3, 5))
    assert three.address == five.address
    assert (three.argument, five.argument) == (3, 5)
