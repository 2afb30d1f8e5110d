"""Tasks that say how neurons are connected: what is trained stays within, costs what it is, and goes on as it was."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import freewalk
from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.plan import fill
from freewalk.harness.plan.plugins import load_plugins, unload_all
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.walk import Trainer
from freewalk.results.store.store import Store
from freewalk.tasks.registry import TASKS

Harness = Callable[..., Any]
Refused = Callable[..., str]
BACKENDS = {name: resolve_backend(name) for name in ("cpu", "reference")}
PLUGIN = """
import numpy as np

from freewalk.tasks import Problem, Task


def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    a, b = index & 1, (index >> 1) & 1
    x[0, 0], x[0, 1] = a, b
    y[0, 0] = a ^ b


def wired(pattern, first, hundredths):
    def wiring(network):
        n, hidden = network.n_output, network.n_input + 1 + network.n_output
        weights = np.zeros((network.n_from, network.n_to))
        weights[hidden:, :n] = np.nan
        weights[: network.n_input + 1, n:] = np.nan
        weights[: network.n_input, n] = 0.0 if pattern else np.nan
        weights[hidden:, n:] = hundredths / 100 * np.eye(network.n_hidden)
        return weights

    return Problem(
        2, 1, datapoint, domain_size=4, default_timesteps=3, wiring=wiring, hidden_first=first == "yes",
        output_activation="tanh",
    )


TASK = Task(
    "wired", "XOR with few connections", "max_error", 0.4, wired, {"pattern": 0, "first": "no", "hundredths": 25},
    {
        "pattern": "1: the first hidden neuron hears a bias only",
        "first": "whether outputs hear hidden neurons at once",
        "hundredths": "what a hidden neuron hears of itself",
    },
)
"""
TRAINERS = ("walk", "node", "backprop", "guess", "genetic", "snes")
POPULATION = ("guess", "genetic", "snes")
EXTERNAL = ("cma", "evosax")


@pytest.fixture
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plug-in with the task `wired`, loaded."""
    path = tmp_path_factory.mktemp("plugin") / "wired.py"
    path.write_text(PLUGIN)
    load_plugins([path])
    yield path
    unload_all()


def resolved(task: str, method: str, **parameters: Any) -> ResolvedProblem:
    """Resolve a small cell of a task; learning rates are such that a step shows."""
    rate = {"learning_rate": 0.1} if method in ("walk", "node", "backprop") else {}
    given = {"hidden": 3, "batch_size": 16, "stddev": 0.1, "population": 6} | rate | parameters
    return resolve_problem(task, method, fill(method, given, TASKS[task].parameters))


def started(problem: ResolvedProblem, backend: str = "cpu", **given: Any) -> Trainer:
    return problem.start(BACKENDS[backend], seed=5, evaluation_points=16, **given)


def wiring_of(problem: ResolvedProblem) -> NDArray[np.float64]:
    assert problem.problem.wiring is not None
    return problem.problem.wiring(problem.network)


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("wired", {}),
    ("wired", {"pattern": 1, "leak": 0.5}),
    ("latch-1", {"hidden": 0, "length": 12, "timesteps": 12}),
    ("latch-2", {"hidden": 2, "length": 12, "timesteps": 12}),
    ("linear-teacher", {"hidden": 1}),
]


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize(("task", "more"), CELLS, ids=[f"{task} {[*more.values()]}" for task, more in CELLS])
def test_only_what_the_wiring_says_is_trained(task: str, more: dict[str, Any], method: str, backend: str) -> None:
    problem = resolved(task, method, **more)
    wiring = wiring_of(problem)
    trained = np.isnan(wiring)
    assert problem.n_weights == trained.sum() < problem.network.n_weights
    assert problem.mask is not None
    assert np.array_equal(problem.mask, trained)
    trial = started(problem, backend)
    before = trial.weights.copy()
    assert np.array_equal(before[~trained], wiring[~trained])
    assert np.isfinite(before).all()
    trial.train(4)
    after = trial.weights
    assert np.array_equal(after[~trained], wiring[~trained]), "what is fixed stays"
    moved = after[trained] != before[trained]
    # a neuron that hears nothing, or that nobody hears, may have no gradient
    assert moved.all() if method in ("walk", *POPULATION) else moved.any()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("first", ["no", "yes"])
def test_both_backends_take_the_same_steps(method: str, first: str) -> None:
    if first == "yes" and method not in POPULATION:
        return
    problem = resolved("wired", method, first=first)
    weights = []
    for backend in BACKENDS:
        trial = started(problem, backend)
        trial.train(3)
        weights.append(trial.weights)
    np.testing.assert_allclose(*weights, rtol=2e-3, atol=2e-4)


@pytest.mark.usefixtures("plugin")
def test_weights_that_are_trained_begin_as_those_of_a_whole_network() -> None:
    problem = resolved("wired", "walk", init_scale=0.5)
    trained = np.isnan(wiring_of(problem))
    whole = resolved("xor", "walk").initial_weights(9)
    start = problem.initial_weights(9)
    assert np.array_equal(start[trained], 0.5 * whole[trained])
    assert (start[~trained] == wiring_of(problem)[~trained]).all()
    assert {*start[~trained].tolist()} == {0.0, 0.25}, "fixed weights are not scaled"


@pytest.mark.usefixtures("plugin")
def test_costs_and_sizes_count_what_is_trained() -> None:
    # of 3 hidden neurons: 3 weights to the output, 3 each from the inputs and the bias
    problem = resolved("wired", "snes", population="auto")
    assert problem.n_weights == 3 + 3 * 3
    assert problem.evaluations_per_step == 16 * (4 + int(3 * np.log(12)))
    assert resolved("wired", "snes", population="auto", pattern=1).n_weights == 12 - 2
    assert resolved("wired", "walk").evaluations_per_step == 32
    assert resolved("wired", "backprop").evaluations_per_step == 48
    assert resolved("long-parity", "guess", wiring="a1", hidden=1).n_weights == 7
    assert resolved("long-parity", "guess", wiring="a2", hidden=10).n_weights == 52
    assert resolved("long-parity", "guess", wiring="a2-no-self", hidden=10).n_weights == 42


def test_tables_say_how_many_weights_are_trained(plugin: Path) -> None:
    grid = {"hidden": 3, "pattern": [0, 1]}
    found = freewalk.sweep(
        grid, task="wired", method="walk", plugins=[plugin], seeds="0:1", epochs=1, steps_per_epoch=2
    )
    assert found.trials["n_weights"].tolist() == [12, 10]


# Going on ------------------------------------------------------------------------------------------------------------


def through_a_file(state: Any) -> dict[str, NDArray[Any]]:
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("first", ["no", "yes"])
def test_a_trial_goes_on_to_the_same_bits(method: str, backend: str, first: str) -> None:
    if first == "yes" and method not in POPULATION:
        return
    problem = resolved("wired", method, first=first)
    whole, before, after = (started(problem, backend) for _ in range(3))
    whole.train(7)
    before.train(3)
    after.restore(through_a_file(before.state()))
    after.train(4)
    assert np.array_equal(whole.weights, after.weights)
    assert whole.evaluate() == after.evaluate()
    found, wanted = after.state(), whole.state()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", ["walk", "node", "backprop"])
def test_a_state_with_other_fixed_weights_is_refused(method: str, backend: str) -> None:
    trial = started(resolved("wired", method), backend)
    state = trial.state()
    for place in ((0, 0), (4, 1)):  # no connection, and one of 1/4
        wrong = {**state, "weights": state["weights"].copy()}
        wrong["weights"][place] += 1
        with pytest.raises(ValueError, match="the state is of a trial with another mask"):
            trial.restore(wrong)
    trial.restore(state)


def test_a_sweep_that_is_interrupted_goes_on_to_the_same_tables(
    plugin: Path, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ("--grid", "hidden=3", "--grid", "pattern=0,1", "--grid", "batch_size=16")
    methods = tuple(word for method in TRAINERS for word in ("--method", method))
    short = ("--seeds", "0:2", "--epochs", 3, "--steps-per-epoch", 4, "--quiet")
    command = ("sweep", "--plugin", plugin, "--task", "wired", *methods, *grid, *short)
    assert harness(*command, "--out", "whole").code == 0
    before, done = Store.finish, []

    def interrupted(self: Store, trial_id: str, *arguments: Any, **more: Any) -> None:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(trial_id)
        before(self, trial_id, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", interrupted)
        assert harness(*command, "--out", "parts").code == 130
    assert harness(*command, "--out", "parts").code == 0
    names = ["trial_id", "loss_final", "loss_best", "metric_final", "steps", "evaluations", "n_weights"]
    whole, parts = (freewalk.read_table(tmp_path / name / "trials.csv")[names] for name in ("whole", "parts"))
    assert len(whole) == 2 * 2 * len(TRAINERS)
    assert whole.equals(parts)


# Packs ---------------------------------------------------------------------------------------------------------------


def losses(plugin: Path, **grid: Any) -> dict[Any, float]:
    method = grid.pop("method")
    seeds = grid.pop("seeds", "0:3")
    found = freewalk.sweep(
        grid,
        task="wired",
        method=method,
        plugins=[plugin],
        seeds=seeds,
        epochs=2,
        steps_per_epoch=5,
        evaluation_points=4,
    ).trials
    axes = ["param_pattern", "param_hundredths", "param_stddev", "param_learning_rate", "param_hidden", "seed"]
    known = [axis for axis in axes if axis in found]
    return {tuple(row[axis] for axis in known): row["loss_final"] for row in found.to_dict("records")}


@pytest.mark.parametrize("update", ["raw", "normalised"])
def test_trials_that_share_noise_have_the_bits_that_each_has_alone(plugin: Path, update: str) -> None:
    rates = {"learning_rate": [0.1, 1.0]} if update == "normalised" else {}
    together = losses(
        plugin, method="walk", update=update, hidden=3, batch_size=32, pattern=[0, 1], stddev=[0.1, 0.3], **rates
    )
    assert len(together) == 2 * 2 * 3 * (2 if rates else 1)
    assert len({*together.values()}) == len(together)
    for pattern in (0, 1):
        for stddev in (0.1, 0.3):
            alone: dict[Any, float] = {}
            for rate in rates.get("learning_rate", [None]):
                one = {} if rate is None else {"learning_rate": rate}
                for seed in range(3):
                    alone |= losses(
                        plugin, method="walk", update=update, hidden=3, batch_size=32, pattern=pattern,
                        stddev=stddev, seeds=[seed], **one,
                    )  # fmt: skip
            for key, loss in alone.items():
                assert together[key] == loss, key


def test_fixed_weights_are_each_trials_own(plugin: Path) -> None:
    options: dict[str, Any] = {"method": "walk", "hidden": 3, "batch_size": 32, "stddev": 0.3}
    together = losses(plugin, hundredths=[0, 50, 100], **options)
    assert len({*together.values()}) == 9
    for hundredths in (0, 50, 100):
        for key, loss in losses(plugin, hundredths=hundredths, seeds=[1], **options).items():
            assert together[key] == loss, key


@pytest.mark.parametrize("method", ["node", "backprop", "guess", "snes"])
def test_trials_of_other_methods_too(plugin: Path, method: str) -> None:
    together = losses(plugin, method=method, hidden=3, batch_size=16, pattern=[0, 1])
    for pattern in (0, 1):
        alone = losses(plugin, method=method, hidden=3, batch_size=16, pattern=pattern, seeds=[1])
        for key, loss in alone.items():
            assert together[key] == loss, key


# What is refused -----------------------------------------------------------------------------------------------------

NO_WIRING = [name for name, method in METHODS.items() if not method.takes_wiring and method.networks != "layered"]
NOT_FIRST = [name for name, method in METHODS.items() if not method.runs_hidden_first and method.networks != "layered"]


def test_which_methods_take_which_networks() -> None:
    assert {name for name, method in METHODS.items() if method.takes_wiring} == {*TRAINERS, *EXTERNAL}
    assert {name for name, method in METHODS.items() if method.runs_hidden_first} == {*POPULATION, *EXTERNAL}
    assert {*NO_WIRING} == {"rtrl", "rflo", "uoro", "numerical", "synthetic"}


@pytest.mark.parametrize("method", NO_WIRING)
def test_methods_that_cannot_leave_out_connections_say_so(refused: Refused, method: str) -> None:
    line = refused("train", "--task", "linear-teacher", "--method", method, "--hidden", 0)
    assert (
        f"method {method} does not train networks that lack connections, as this task's do; methods that do: " in line
    )
    assert "walk, node, backprop, guess, genetic, snes" in line


def test_methods_of_layers_say_that(refused: Refused) -> None:
    line = refused("train", "--task", "linear-teacher", "--method", "feedback-alignment", "--hidden", 0)
    assert "method feedback-alignment learns layered networks only; give its widths, such as architecture=30-16" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rank", 1), "rank=1 does not train networks that lack connections"),
        (("--directions", "orthogonal"), "directions=orthogonal does not train networks that lack connections"),
    ],
)
def test_the_walks_family_takes_whole_networks(refused: Refused, options: tuple[Any, ...], words: str) -> None:
    line = refused("train", "--task", "linear-teacher", "--hidden", 0, *options)
    assert words in line
    assert "the walk with rank=full and independent directions" in line


@pytest.mark.parametrize("method", NOT_FIRST)
def test_methods_whose_outputs_hear_the_timestep_before_say_so(refused: Refused, method: str) -> None:
    line = refused("train", "--task", "long-parity", "--method", method, "--wiring", "a1", "--hidden", 1)
    assert f"method {method} does not run networks whose outputs hear hidden neurons at once; methods that do: " in line
    assert "guess, genetic, snes" in line


def test_methods_of_ones_own_are_refused_too(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from freewalk.methods import ArrayTrainer, OwnMethod\n\n\nclass Still(ArrayTrainer):\n"
        "    def take_step(self):\n        return 0.0\n\n\n"
        "METHOD = OwnMethod('still', 'stands', Still, lambda parameters, batch_size, n_weights: 1)\n"
    )
    line = refused("train", "--plugin", "own.py", "--task", "linear-teacher", "--method", "still", "--hidden", 0)
    assert "method still does not train networks that lack connections" in line


# Layers --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("method", ["walk", "backprop", "numerical", "synthetic", "feedback-alignment", "guess"])
def test_a_layered_network_has_its_own_connections(method: str) -> None:
    problem = resolved("wired", method, architecture="2-4-1")
    assert problem.layers is not None
    assert (problem.n_weights, problem.network.output_activation) == (3 * 4 + 5, "tanh")
    assert np.array_equal(problem.mask, problem.layers.mask)
    trial = problem.start(BACKENDS["cpu"], seed=0, evaluation_points=4)
    trial.train(2)
    assert (trial.weights[problem.mask] != problem.initial_weights(0)[problem.mask]).any()


# Hidden neurons first, and weights files -----------------------------------------------------------------------------

SHORT = ("--epochs", 3, "--steps-per-epoch", 4, "--quiet", "--json", "--seed", 3)
FIRST = ("--task", "long-parity", "--wiring", "a2", "--method", "guess", "--length", 20, "--timesteps", 20)
FIRST = (*FIRST, "--hidden", 3, "--batch-size", 16, "--population", 20)
FILES: dict[str, tuple[Any, ...]] = {
    "hidden first": FIRST,
    "latch": ("--task", "latch-2", "--hidden", 0, "--length", 20, "--timesteps", 20, "--batch-size", 16),
    "tanh": ("--task", "xor", "--output", "tanh", "--hidden", 3, "--batch-size", 16),
    "tanh in layers": ("--task", "xor", "--output", "tanh", "--architecture", "2-3-1", "--method", "backprop"),
    "linear": ("--task", "linear-teacher", "--hidden", 0, "--batch-size", 16),
}


@pytest.mark.parametrize("name", FILES)
def test_saved_weights_give_the_metric_of_the_trial(harness: Harness, name: str) -> None:
    trained = json.loads(harness("train", *FILES[name], *SHORT, "--save", "w.npz").out)
    found = json.loads(harness("evaluate", "w.npz", "--json").out)
    assert found["loss"] == pytest.approx(trained["loss_final"], rel=1e-4)
    assert found[trained["metric_name"]] == pytest.approx(trained["metric_final"], rel=1e-4)
    network = freewalk.load("w.npz").network
    assert network.hidden_first == (name == "hidden first")
    assert network.output_activation == {"latch": "tanh", "linear": "linear", "hidden first": "sigmoid"}.get(
        name, "tanh"
    )
    again = harness("train", "--weights", "w.npz", *FILES[name], *SHORT)
    assert again.code == 0, again.err


def test_saved_weights_of_a_plugins_task(plugin: Path, harness: Harness) -> None:
    options = ("--plugin", plugin, "--task", "wired", "--hidden", 3, "--batch-size", 16)
    trained = json.loads(harness("train", *options, *SHORT, "--save", "w.npz").out)
    found = json.loads(harness("evaluate", "w.npz", "--plugin", plugin, "--json").out)
    assert found["max_error"] == pytest.approx(trained["metric_final"], rel=1e-4)
    weights = freewalk.load("w.npz").weights
    assert weights[4, 1] == 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    # a latch that holds its bit has no slope to the other one
    [*itertools.product(["tanh", "tanh in layers", "linear"], [1, 0, 0.3]), ("latch", 1)],
)
def test_an_input_is_found_that_maximises_what_is_not_a_sigmoid(harness: Harness, name: str, value: float) -> None:
    assert harness("train", *FILES[name], *SHORT, "--save", "w.npz").code == 0
    options = ("--bounds", "-1,1", "--restarts", 2, "--steps", 30, "--value", value, "--json")
    result = harness("maximize", "w.npz", *options)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    x = np.array(found["input"])
    saved = freewalk.load("w.npz")
    reached = saved.predict(x[None])[0].reshape(-1, saved.network.n_output)[-1, 0]
    assert found["value"] == pytest.approx(reached, abs=1e-6)
    others = np.random.default_rng(0).uniform(-1, 1, (50, *x.shape))
    outputs = saved.predict(others).reshape(50, -1, saved.network.n_output)[:, -1, 0]
    if value == 1:
        assert reached >= outputs.max() - 1e-2
    elif value == 0:
        assert reached <= outputs.min() + 1e-2
    else:
        assert abs(reached - value) <= np.abs(outputs - value).min() + 1e-2


def test_no_input_is_found_of_a_network_whose_hidden_neurons_come_first(harness: Harness, refused: Refused) -> None:
    assert harness("train", *FIRST, *SHORT, "--save", "w.npz").code == 0
    line = refused("maximize", "w.npz", "--bounds", "0,1")
    assert "hear hidden neurons at once; no way back to the inputs is known" in line


@pytest.mark.parametrize(
    ("version", "unknown"),
    [(4, ("hidden_first",)), (3, ("hidden_first", "output_activation", "leak"))],
)
def test_older_weights_files_still_open(harness: Harness, version: int, unknown: tuple[str, ...]) -> None:
    options = ("--task", "xor", "--hidden", 3, "--batch-size", 16)
    assert harness("train", *options, *SHORT, "--save", "w.npz").code == 0
    with np.load("w.npz", allow_pickle=False) as arrays:
        held = dict(arrays)
    described = json.loads(str(held["description"]))
    described["version"] = version
    for name in unknown:
        del described["network"][name]
    del described["parameters"]["init_biases"]
    np.savez("old.npz", **{**held, "description": np.array(json.dumps(described))})
    new, old = (json.loads(harness("evaluate", name, "--json").out) for name in ("w.npz", "old.npz"))
    assert {**old, "weights": None} == {**new, "weights": None}
    assert freewalk.load("old.npz").network == freewalk.load("w.npz").network


# Biases --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [None, "auto", "zero", "drawn"])
def test_biases_of_free_networks(words: str | None) -> None:
    found = resolved("xor", "walk", init_biases=words).initial_weights(1)
    drawn = resolved("xor", "walk").initial_weights(1)
    bias = 2
    others = np.delete(np.arange(len(found)), bias)
    assert np.array_equal(found[others], drawn[others])
    assert drawn[bias].all()
    assert np.array_equal(found[bias], np.zeros(4) if words == "zero" else drawn[bias])


@pytest.mark.parametrize("words", [None, "auto", "zero", "drawn"])
def test_biases_of_layered_networks(words: str | None) -> None:
    problem = resolved("xor", "backprop", architecture="2-3-3-1", init_biases=words, init_scale=2.0)
    found = problem.initial_weights(1)
    plain = resolved("xor", "backprop", architecture="2-3-3-1").initial_weights(1)
    assert problem.mask is not None
    bias = 2
    others = np.delete(np.arange(len(found)), bias)
    assert np.array_equal(found[others], 2 * plain[others])
    assert not found[~problem.mask].any()
    assert not plain[bias].any()
    assert found[bias].all() == (words == "drawn")
    # drawn biases are uniform with the bound of their layer's weights: sqrt(6 / (from + to))
    bounds = 2 * np.sqrt(6 / np.array([4.0, *[5.0] * 3, *[6.0] * 3])) * 1.5
    assert (np.abs(found[bias]) <= bounds).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ["free", "2-3-1"])
def test_a_trial_begins_with_such_biases(backend: str, architecture: str) -> None:
    for words in ("zero", "drawn"):
        problem = resolved("xor", "backprop", architecture=architecture, init_biases=words)
        weights = started(problem, backend).weights
        assert np.allclose(weights, problem.initial_weights(5), rtol=1e-6)
        assert weights[2].any() == (words == "drawn")


def test_biases_go_with_init_scale() -> None:
    one, two = (
        resolved("xor", "walk", init_biases="drawn", init_scale=scale).initial_weights(1) for scale in (1.0, 3.0)
    )
    assert np.array_equal(3 * one, two)


def test_biases_are_an_axis_with_its_words(refused: Refused) -> None:
    line = refused("sweep", "--task", "xor", "--grid", "init_biases=none", "--dry-run")
    assert re.search(r"init_biases='?none'?: must be one of auto, zero, drawn", line)


# Gradients of tanh outputs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.gradient != "unknown"])
def test_gradients_of_tanh_outputs_pass(harness: Harness, method: str) -> None:
    free = METHODS[method].networks == "free"
    sizes = ("--hidden", 3) if free else ("--architecture", "2-3-1")
    task = "delayed-xor" if free else "xor"
    result = harness("gradcheck", "--task", task, "--method", method, *sizes, "--output", "tanh", "--json")
    assert result.code == 0, result.out + result.err
    assert json.loads(result.out)["passed"]


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("method", ["walk", "node", "backprop"])
def test_gradients_of_wired_networks_pass(harness: Harness, plugin: Path, method: str) -> None:
    result = harness("gradcheck", "--plugin", plugin, "--task", "wired", "--method", method, "--hidden", 3, "--json")
    assert result.code == 0, result.out + result.err
    assert json.loads(result.out)["passed"]


def test_gradients_of_networks_whose_hidden_neurons_come_first_are_not_checked(refused: Refused) -> None:
    line = refused("gradcheck", "--task", "long-parity", "--method", "walk", "--wiring", "a1", "--hidden", 1)
    assert "outputs hear hidden neurons at once" in line


def test_what_needs_a_package_says_so_before_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freewalk.harness.methods.population.is_installed", lambda name: False)
    with pytest.raises(UsageError, match="method cma needs cma, which is not here"):
        resolved("long-parity", "cma", wiring="a1", hidden=1)
