"""The original program's class: its numbers, its iterator protocol, its lines, and what came later."""

import itertools
import json
import math
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_arrays import raw_step

import freewalk
from freewalk import NNRndTraining, UsageError
from freewalk.harness.drop_in.steps import BestThreads
from freewalk.kernels.model.noise import initial_weights, unit_perturbations
from freewalk.kernels.reference import reference

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("free_network_*.npz"))
SMALL = {
    "num_input": 2,
    "num_hidden": 3,
    "num_output": 1,
    "timesteps": 2,
    "batch_size": 20,
    "epoch_steps": 5,
    "epochs": 2,
}
LEARNS = {"update": "normalised", "optimizer": "momentum", "learning_rate": 0.3, "test_stddev": 0.1}


def batches(n: int = 20, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    random = np.random.default_rng(seed)
    while True:
        x = random.uniform(-1, 1, (n, 2))
        yield x, x[:, :1] > 0


def trained(**more: Any) -> NNRndTraining:
    training = NNRndTraining({**SMALL, **more}, echo=None)
    training.train(batches())
    return training


# --- the same algorithm ---


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem.removeprefix("free_network_") for path in GOLDEN])
def test_a_step_is_the_original_programs(path: Path, backend: str) -> None:
    """Its own configuration, batch, weights and noise give its own outputs, loss and weights after a step."""
    with np.load(path) as case:
        config, golden = json.loads(str(case["config"])), dict(case)
    config["debug"] = False
    training = NNRndTraining(config, weights=golden["weights"], backend=backend, echo=None)
    assert training.n_weights == golden["weights"].size
    np.testing.assert_allclose(training.run(golden["x"]), golden["outputs"], atol=1e-6)
    loss = training.train_step(golden["x"], golden["y"], noise=golden["noise"])
    assert loss == pytest.approx(float(golden["loss"]), rel=5e-6)
    np.testing.assert_allclose(training.weights, golden["weights_after"], atol=2e-6)
    update = training.weights - golden["weights"].astype(np.float64)
    original = golden["weights_after"].astype(np.float64) - golden["weights"]
    assert np.linalg.norm(update - original) <= 0.01 * np.linalg.norm(original), "weights hide an update of 1e-6"


def test_without_further_keys_it_is_the_raw_rule_on_addressed_noise() -> None:
    training = NNRndTraining({**SMALL, "test_stddev": 0.3}, seed=7, echo=None)
    x, y = next(batches())
    weights = initial_weights(7, 4, 7)
    assert np.array_equal(training.weights, weights)
    network = training.saved.network
    for step in range(3):
        noise = unit_perturbations(7, 4, seed=7, step=step, datapoints=np.arange(20))
        wanted = raw_step(network, weights, x, y.astype(float), 2, noise, 0.3)
        training.train_step(x, y)
        moved = np.linalg.norm(wanted - weights)
        assert np.linalg.norm(training.weights - wanted) < 1e-3 * (step + 1) * moved
        weights = wanted


def test_one_two_or_the_best_number_of_threads_give_the_same_bits() -> None:
    config = {**SMALL, "batch_size": 300, "epoch_steps": 25}
    found = []
    for threads in (1, 2, None):
        training = NNRndTraining(config, threads=threads, echo=None)
        training.train(batches(300))
        found.append(training.weights)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


class Clocked:
    """A walk whose steps take as long as it is told, by the number of threads."""

    def __init__(self, seconds: dict[int, float], clock: Any) -> None:
        self.threads, self.seconds, self.clock, self.step = 2, seconds, clock, 0
        self.used: list[int] = []

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def take_step(self, x: Any, y: Any) -> float:
        self.used.append(self.threads)
        self.clock.now += self.seconds[self.threads]
        return 0.0


@pytest.mark.parametrize(("seconds", "best"), [({1: 0.02, 2: 0.01}, 2), ({1: 0.01, 2: 0.03}, 1)])
def test_the_faster_number_of_threads_is_kept_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], best: int
) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr("freewalk.harness.drop_in.steps.time", clock)
    walk = Clocked(seconds, clock)
    best_threads = BestThreads(walk)
    while clock.now < 5:
        best_threads.take_step(None, None)
    assert walk.used[:10] == [2] * 5 + [1] * 5
    assert set(walk.used[10:]) == {best}
    walk.seconds = {1: seconds[2], 2: seconds[1]}
    while clock.now < 11:
        best_threads.take_step(None, None)
    assert walk.threads == 3 - best


# --- the iterator ---


class Counting:
    """An iterator that counts what is taken from it."""

    def __init__(self, last: int | None = None) -> None:
        self.taken, self.last, self.source = 0, last, batches()

    def __iter__(self) -> "Counting":
        return self

    def __next__(self) -> tuple[Any, Any]:
        if self.taken == self.last:
            raise StopIteration
        self.taken += 1
        return next(self.source)


def test_as_many_batches_are_taken_as_steps_and_another_call_goes_on() -> None:
    training, counting = NNRndTraining(SMALL, echo=None), Counting()
    training.train(counting)
    assert (counting.taken, training.step) == (10, 10)
    training.train(counting)
    assert (counting.taken, training.step) == (20, 20)
    assert np.array_equal(training.weights, trained(epochs=4).weights)


class NextAlone:
    """An iterator as the original program's README has it: `__next__` and nothing else."""

    def __init__(self, last: int | None = None) -> None:
        self.counting = Counting(last)

    def __next__(self) -> tuple[Any, Any]:
        return next(self.counting)


def test_next_is_all_that_an_iterator_needs() -> None:
    training, batches = NNRndTraining(SMALL, echo=None), NextAlone()
    training.train(batches)
    assert (batches.counting.taken, training.step) == (10, 10)
    assert np.array_equal(training.weights, trained().weights)
    assert training.evaluate(batches, steps=3).n_datapoints == 60
    assert batches.counting.taken == 13, "none is fetched ahead"
    training.train(NextAlone(last=7))
    assert training.step == 17


@pytest.mark.parametrize("derived", [{"num_from": 7, "num_to": 4}, {"num_from": 7}, {"num_to": np.int64(4)}])
def test_what_the_originals_constructor_adds_to_a_configuration_is_taken(derived: dict[str, Any]) -> None:
    assert np.array_equal(trained(**derived).weights, trained().weights)


def test_the_originals_example_in_its_own_form(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "original_readme.py"))
    iterator = example["DataIterator"]()
    assert not hasattr(iterator, "__iter__")
    config = {**example["config"], "epochs": 1, "epoch_steps": 2}
    NNRndTraining(config).train(iterator)
    assert capsys.readouterr().out.startswith("Number of weights: 1152\n")


def test_an_iterator_that_ends_ends_the_training() -> None:
    lines: list[str] = []
    training = NNRndTraining(SMALL, echo=lines.append)
    training.train(Counting(last=7))
    assert training.step == 7
    assert lines[-1] == "The iterator ended after 2 of 5 steps of epoch 2"


def test_what_an_iterator_raises_comes_through() -> None:
    def broken() -> Iterator[tuple[Any, Any]]:
        yield next(batches())
        raise OSError("the disk is gone")

    training = NNRndTraining(SMALL, echo=None)
    with pytest.raises(OSError, match="the disk is gone"):
        training.train(broken())
    assert training.step == 1


def test_lists_and_pairs_of_lists_will_do() -> None:
    config = {**SMALL, "batch_size": 2, "epochs": 1, "epoch_steps": 3}
    training = NNRndTraining(config, echo=None)
    training.train([[[[0.0, 1.0], [1.0, 0.0]], [[0], [1]]]] * 3)
    assert training.step == 3


# --- its lines ---


def test_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    training = NNRndTraining(SMALL)
    training.train(batches())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Number of weights: 28"
    assert lines[1] == "Test coverage: 35.7 %"  # 20 / 28 / 2
    assert [line.split(":")[0] for line in lines[2:]] == ["Epoch 1", "Epoch 2"]
    loss, seconds = lines[-1].removeprefix("Epoch 2: loss ").split(", ")
    assert float(loss) == pytest.approx(training.loss, rel=1e-5)
    assert seconds.endswith(" s")
    assert float(seconds.removesuffix(" s")) >= 0


@pytest.mark.parametrize("sides", ["one", "two"])
def test_debug_shows_the_tensors_of_a_step(sides: str) -> None:
    lines: list[str] = []
    config = {**SMALL, "batch_size": 4, "epochs": 1, "epoch_steps": 1, "test_stddev": 0.2, "debug": True}
    training = NNRndTraining(config, sides=sides, echo=lines.append)
    weights, (x, y) = training.weights, next(batches(4))
    training.train([(x, y)])
    shown = {}
    for line in lines[3:-1]:
        name, _, rest = line.strip().partition(" (")
        shown[name] = [float(word) for word in rest.partition("[")[2].strip("]").split() if word != "..."]
    noise = 0.2 * unit_perturbations(7, 4, seed=0, step=0, datapoints=np.arange(3))
    network = training.saved.network
    plus = reference.forward(network, weights + noise, x[:3], 2)
    other = reference.forward(network, weights - noise if sides == "two" else weights, x[:3], 2)
    losses, test_losses = (reference.losses(network, o, y[:3].astype(float)) for o in (other, plus))
    wanted = {
        "x": x.astype(np.float32).reshape(-1)[:3],
        "target": y[:3, 0],
        "weights": weights.reshape(-1)[:3],
        "test noise": noise.reshape(-1)[:3],
        "output": other[:, 0],
        "test output": plus[:, 0],
        "loss": losses,
        "test loss": test_losses,
        "loss difference": losses - test_losses,
        "update": (training.weights - weights).reshape(-1)[:3],
    }
    assert list(shown) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(shown[name], values, rtol=1e-5, atol=1e-9, err_msg=name)


# --- what came later ---


def test_it_learns_evaluates_and_runs() -> None:
    training = trained(epochs=1, epoch_steps=400, **LEARNS)
    measures = training.evaluate(batches(seed=9), steps=20)
    assert measures.n_datapoints == 400
    assert measures.loss < 0.1
    assert measures.row_accuracy > 0.9
    x, y = next(batches(50, seed=3))
    outputs = training.run(x)
    assert outputs.shape == (50, 1)
    again = training.evaluate(x, y)
    assert again.loss == pytest.approx(float(((outputs - y) ** 2).sum(axis=1).mean()), rel=1e-6)
    assert again.outputs[0].mean_absolute_error == pytest.approx(float(np.abs(outputs - y).mean()), rel=1e-6)
    counting = Counting()
    training.evaluate(counting, steps=3)
    assert counting.taken == 3
    assert training.step == 400, "nothing of that trains"


def test_a_learning_rate_that_is_a_function_of_the_step() -> None:
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 0.3 if step < 5 else 0.0

    training = trained(**{**LEARNS, "learning_rate": rate, "optimizer": "sgd"})
    assert seen == list(range(10))
    assert np.array_equal(training.weights, trained(epochs=1, **{**LEARNS, "optimizer": "sgd"}).weights)
    with pytest.raises(UsageError, match="gave nan for step 0"):
        trained(**{**LEARNS, "learning_rate": lambda step: math.nan})
    with pytest.raises(UsageError, match="gave 'fast' for step 0"):
        trained(**{**LEARNS, "learning_rate": lambda step: "fast"})


def test_a_cosine_schedule_is_its_function() -> None:
    def cosine(step: int) -> float:
        return 0.3 * 0.5 * (1 + math.cos(math.pi * step / 10))

    by_function = trained(**{**LEARNS, "learning_rate": cosine})
    np.testing.assert_allclose(by_function.weights, trained(schedule="cosine", **LEARNS).weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_mask_limits_the_architecture(backend: str) -> None:
    mask = np.random.default_rng(0).random((7, 4)) < 0.5
    training = trained(mask=mask, backend=backend)
    assert training.n_weights == mask.sum()
    assert not training.weights[~mask].any()
    assert (training.weights[mask] != NNRndTraining(SMALL, mask=mask, echo=None).weights[mask]).all()


def test_widths_make_a_layered_network() -> None:
    training = trained(architecture="2-3-1")
    assert training.n_weights == 3 * 3 + 4
    layers = training.saved.layers
    assert layers is not None
    (w1, w2), (b1, b2) = layers.split(training.weights)
    x = next(batches())[0]
    hidden = reference.sigmoid(x.astype(np.float32).astype(float) @ w1 + b1)
    np.testing.assert_allclose(training.run(x), reference.sigmoid(hidden @ w2 + b2), rtol=1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"mask": np.arange(28).reshape(7, 4) % 3 > 0},
        {"architecture": "2-3-1"},
        LEARNS,
        {"activation": "tanh", "net_add_softmax": True, "loss": "categorical_crossentropy", "num_output": 1},
    ],
    ids=["raw", "mask", "layers", "momentum", "tanh softmax"],
)
def test_save_and_load(tmp_path: Path, more: dict[str, Any]) -> None:
    training = trained(**more)
    path = tmp_path / "w.npz"
    training.save(path)
    x = next(batches())[0].astype(np.float32)
    loaded = freewalk.load(path)
    assert np.array_equal(loaded.predict(x), training.run(x))
    assert (loaded.task, loaded.method, loaded.n_timesteps) == (None, "walk", 2)
    assert (loaded.record["steps"], loaded.record["seed"]) == (10, 0)
    again = NNRndTraining.load(path, echo=None)
    assert np.array_equal(again.weights, training.weights)
    assert again.saved.parameters == training.saved.parameters
    assert (again.step, again.saved.record["seed"]) == (0, 1)
    with pytest.raises(UsageError, match="exists already"):
        training.save(path)
    again.train(batches())
    again.save(path, replace=True)
    assert np.array_equal(freewalk.load(path).weights, again.weights)
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.npz"]


def test_loading_with_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    trained(**LEARNS).save(path)
    training = NNRndTraining.load(path, echo=None, optimizer="adam", epochs=1)
    assert training.saved.parameters["learning_rate"] == 0.01
    assert "momentum" not in training.saved.parameters
    assert NNRndTraining.load(path, echo=None, update="raw").saved.parameters["update"] == "raw"
    with pytest.raises(UsageError, match=r"'num_hidden' is 3 in .*, got 4"):
        NNRndTraining.load(path, num_hidden=4)


def test_two_trainings_on_several_threads_at_once() -> None:
    """Numba's simplest thread pool would end the process."""
    config = {**SMALL, "batch_size": 300, "epoch_steps": 40, "threads": 2}
    trainings = [NNRndTraining(config, echo=None) for _ in range(2)]
    workers = [threading.Thread(target=training.train, args=(batches(300),)) for training in trainings]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert np.array_equal(trainings[0].weights, trainings[1].weights)


def test_a_loss_that_is_not_finite_stops_and_moves_nothing() -> None:
    training = NNRndTraining(SMALL, echo=None)
    before = training.weights
    x, y = next(batches())
    x[3, 1] = np.nan
    with pytest.raises(ArithmeticError, match="the loss of step 0 is nan, nothing was moved: x holds numbers"):
        training.train(itertools.repeat((x, y)))
    assert np.array_equal(training.weights, before)
