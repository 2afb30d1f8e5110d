"""Wrong keys, values and shapes in the original program's class: one line with the key, what is expected and found."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from freewalk import NNRndTraining, UsageError
from freewalk.tasks import UnreachableTargets

SMALL = {"num_input": 2, "num_hidden": 3, "num_output": 1, "timesteps": 2, "batch_size": 4}
SEQUENCE = {**SMALL, "sequence_input": True, "sequence_output": True}
ONE_HOT = {**SEQUENCE, "net_input_add_onehot": True, "net_target_add_onehot": True, "num_output": 3}
X, Y = np.zeros((4, 2)), np.zeros((4, 1))


def refusal(function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        function(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"num_hiden": 3}, ["unknown configuration key 'num_hiden'", "did you mean 'num_hidden'?"]),
        ({"num_input": None}, ["'num_input' must be a whole number of at least 1, got None"]),
        ({"num_input": 0}, ["'num_input' must be a whole number of at least 1, got 0"]),
        ({"num_hidden": 2.5}, ["'num_hidden'", "got 2.5"]),
        ({"num_hidden": True}, ["'num_hidden'", "got True"]),
        ({"timesteps": "4"}, ["'timesteps'", "got '4'"]),
        ({"sequence_input": 1}, ["'sequence_input' must be True or False, got 1"]),
        ({"loss": "mean_square_error"}, ["'loss' must be one of", "did you mean 'mean_squared_error'?"]),
        ({"test_stddev": -1}, ["'test_stddev' must be a finite number of at least 0, got -1"]),
        ({"test_stddev": float("nan")}, ["'test_stddev'", "got nan"]),
        ({"test_stddev": 0, "update": "normalised"}, ["test_stddev must be above 0"]),
        ({"debug": "yes"}, ["'debug'", "got 'yes'"]),
        ({"net_input_add_onehot": True}, ["'net_input_add_onehot' needs sequence_input=True, got False"]),
        ({"net_target_add_onehot": True}, ["'net_target_add_onehot' needs sequence_output=True"]),
        ({"learning_rate": 0.1}, ["'learning_rate' has no effect with update='raw'", "update='normalised'"]),
        ({"update": "normalised", "learning_rate": 0}, ["'learning_rate' must be", "got 0"]),
        ({"update": "normalised", "momentum": 0.5}, ["'momentum' has no effect without optimizer='momentum'"]),
        (
            {"update": "normalised", "learning_rate": lambda step: 1, "schedule": "cosine"},
            ["'schedule' has no effect"],
        ),
        ({"update": "normalized"}, ["did you mean 'normalised'?"]),
        ({"backend": "gpu"}, ["'backend' must be one of auto, cuda, cpu, reference"]),
        ({"backend": "cuda"}, ["'backend'", "backend='cpu'"]),
        ({"threads": 0}, ["'threads'", "got 0"]),
        ({"seed": -1}, ["'seed'", "got -1"]),
        ({"seed": 2**64}, ["'seed'", "below 2**64"]),
        ({"mask": np.ones((7, 3), bool)}, ["'mask'", "(7, 4)", "(7, 3)"]),
        ({"mask": np.ones((7, 4))}, ["'mask'", "boolean", "float64"]),
        ({"mask": np.zeros((7, 4), bool)}, ["'mask' leaves no weight"]),
        ({"architecture": "2-4-1"}, ["'architecture' '2-4-1' needs num_hidden=4, got 3"]),
        ({"architecture": "2-3-1", "timesteps": 3}, ["needs timesteps=2, got 3"]),
        ({"architecture": "2"}, ["'architecture'", "widths such as"]),
        ({"architecture": [2, 3, 1]}, ["'architecture'", "widths such as"]),
        ({"architecture": "2-3-1", "mask": np.ones((7, 4), bool)}, ["leave one out"]),
        ({"architecture": "2-3-1", "sequence_input": True}, ["leave sequences out"]),
        ({"num_hidden": 10**9}, ["num_hidden=1000000000", "GB of memory, this machine has"]),
        ({"num_hidden": 10**4, "batch_size": 10**5, "backend": "reference"}, ["GB of memory, this machine has"]),
        ({"num_hidden": 10**9, "architecture": "2-1000000000-1"}, ["GB of memory"]),
        ({"weights": np.zeros((4, 7))}, ["'weights'", "(7, 4)", "(4, 7)"]),
        ({"weights": np.full((7, 4), np.nan)}, ["'weights'", "finite"]),
        ({"weights": "w.npz"}, ["'weights'"]),
        ({"weights": np.ones((7, 4)), "mask": np.eye(7, 4) > 0}, ["'weights' has weights where the mask has none"]),
    ],
)
def test_of_a_configuration(changes: dict[str, Any], parts: list[str]) -> None:
    text = refusal(NNRndTraining, {**SMALL, **changes})
    for part in parts:
        assert part in text


@pytest.mark.parametrize("name", ["num_input", "num_hidden", "num_output", "timesteps"])
def test_a_missing_key(name: str) -> None:
    text = refusal(NNRndTraining, {key: value for key, value in SMALL.items() if key != name})
    assert f"the configuration has no {name!r}" in text


def test_a_key_that_is_given_twice_and_no_mapping() -> None:
    assert "'timesteps' is given in the configuration and as an argument" in refusal(NNRndTraining, SMALL, timesteps=3)
    assert "must be a mapping of keys to values, got list" in refusal(NNRndTraining, [SMALL])
    assert "unknown configuration key 'treads' (did you mean 'threads'?)" in refusal(NNRndTraining, SMALL, treads=3)


def test_numbers_of_numpy_are_numbers() -> None:
    config = {**SMALL, "num_hidden": np.int64(3), "test_stddev": np.float32(0.5), "debug": np.False_}
    assert NNRndTraining(config, echo=None).n_weights == 28


@pytest.mark.parametrize(
    ("config", "x", "y", "expected"),
    [
        (SMALL, X[:3], Y, "x must have shape (batch_size=4, num_input=2), got (3, 2)"),
        (SMALL, X[:, :1], Y, "x must have shape (batch_size=4, num_input=2), got (4, 1)"),
        (SMALL, X[0], Y, "x must have shape (batch_size=4, num_input=2), got (2,)"),
        (SMALL, np.zeros((4, 2, 2)), Y, "got (4, 2, 2)"),
        (SMALL, 5.0, Y, "got ()"),
        (SMALL, X, Y[:, 0], "target must have shape (batch_size=4, num_output=1), got (4,)"),
        (SMALL, X, np.zeros((5, 1)), "target must have shape (batch_size=4, num_output=1), got (5, 1)"),
        (SMALL, X.astype(str), Y, "x must hold numbers, got <U"),
        (SMALL, X.astype(object), Y, "x must hold numbers, got object"),
        (SMALL, X + 1j, Y, "x must hold numbers, got complex128"),
        (SMALL, [[1, 2], [3]] * 2, Y, "x is no array"),
        (SMALL, None, Y, "x must hold numbers, got object"),
        (
            SEQUENCE,
            np.zeros((4, 3, 2)),
            np.zeros((4, 2, 1)),
            "x must have shape (batch_size=4, timesteps=2, num_input=2), got (4, 3, 2)",
        ),
        (SEQUENCE, np.zeros((4, 2), int), np.zeros((4, 2, 1)), "timesteps=2, num_input=2), got (4, 2)"),
        (
            SEQUENCE,
            np.zeros((4, 2, 2)),
            np.zeros((4, 1)),
            "target must have shape (batch_size=4, timesteps=2, num_output=1), got (4, 1)",
        ),
        (
            ONE_HOT,
            np.zeros((4, 2, 2)),
            np.zeros((4, 2), int),
            "x must have shape (batch_size=4, timesteps=2), got (4, 2, 2)",
        ),
        (
            ONE_HOT,
            np.full((4, 2), 2),
            np.zeros((4, 2), int),
            "x must hold whole numbers from 0 to below num_input=2, got 2..2",
        ),
        (ONE_HOT, np.zeros((4, 2), int), np.full((4, 2), -1), "below num_output=3, got -1..-1"),
        (ONE_HOT, np.full((4, 2), 0.5), np.zeros((4, 2), int), "x must hold whole numbers"),
    ],
)
def test_of_a_batch(config: dict[str, Any], x: Any, y: Any, expected: str) -> None:
    training = NNRndTraining(config, echo=None)
    assert expected in refusal(training.train, iter([(x, y)]))
    assert training.step == 0


@pytest.mark.parametrize("item", [X, (X,), (X, Y, Y), 5, None])
def test_of_an_item(item: Any) -> None:
    assert "must give pairs (x, target)" in refusal(NNRndTraining(SMALL, echo=None).train, iter([item]))


def batches() -> Iterator[tuple[Any, Any]]:
    yield X, Y


def test_of_a_number_that_follows_from_others() -> None:
    assert "'num_from' must be 7 with these sizes, got 6" in refusal(NNRndTraining, {**SMALL, "num_from": 6})
    assert "'num_to' must be 4 with these sizes, got '4'" in refusal(NNRndTraining, {**SMALL, "num_to": "4"})


def test_of_an_iterator_noise_and_evaluation() -> None:
    training = NNRndTraining(SMALL, echo=None)
    assert "train needs an iterator of (x, target), got int" in refusal(training.train, 5)
    assert "evaluate needs an iterator of (x, target), got int" in refusal(training.evaluate, 5)
    assert "got Batches itself; hand over Batches()" in refusal(training.train, type("Batches", (), {}))
    assert "got batches itself; hand over batches()" in refusal(training.evaluate, batches)
    assert "gave no batch" in refusal(training.evaluate, iter([]))
    assert "steps must be at least 1" in refusal(training.evaluate, iter([]), steps=0)
    assert "as many datapoints, got 4 and 3" in refusal(training.evaluate, X, Y[:3])
    assert "noise must have shape" in refusal(training.train_step, X, Y, noise=np.zeros((4, 4, 7)))
    still = NNRndTraining({**SMALL, "test_stddev": 0}, echo=None)
    assert "'test_stddev' is 0" in refusal(still.train_step, X, Y, noise=np.zeros((4, 7, 4)))
    before = still.weights
    still.train_step(X, Y)
    assert np.array_equal(still.weights, before), "without noise nothing moves"
    assert "x must have shape (B, num_input=2), got (2, 3)" in refusal(training.run, np.zeros((2, 3)))


def test_targets_that_no_output_reaches_are_named() -> None:
    config = {"num_input": 1, "num_hidden": 1, "num_output": 1, "timesteps": 1, "batch_size": 4}
    training = NNRndTraining(config, epochs=1, epoch_steps=1, echo=None)
    x = np.linspace(0, 1, 4)[:, None]
    with pytest.warns(UnreachableTargets, match="target reaches from 0 to 5, but outputs lie between 0 and 1"):
        training.train([(x, 5 * x)])
    with pytest.warns(UnreachableTargets, match="target reaches from -1 to 1, .* such as"):
        training.evaluate(x, 2 * x - 1)
