"""A network of one's own in a sweep: trained, judged, checkpointed, saved and counted like a built-in one."""

from __future__ import annotations

import math
import re
import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import freewalk
from freewalk.harness import cli
from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.choice import engines_for
from freewalk.harness.methods.own_networks import NETWORKS
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan import plugins
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.weights import weights_file
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.trainers.running import measure_datapoints
from freewalk.networks import Model, OwnNetwork, Sizes

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_network.py"

# The free network written out, so that what is built in says what must come.
FREE = """
import math
import numpy as np
from freewalk.networks import Model, OwnNetwork

def make(sizes):
    n_in, n_out, n_to, timesteps = sizes.n_input, sizes.n_output, sizes.n_output + sizes.hidden, sizes.timesteps
    last = sizes.output_rows - 1

    def outputs(weights, x, out):
        w = weights.reshape(n_in + 1 + n_to, n_to)
        a, after = np.zeros(n_to, weights.dtype), np.zeros(n_to, weights.dtype)
        for t in range(timesteps):
            for j in range(n_to):
                z = w[n_in, j]
                for i in range(n_in):
                    z += x[min(t, len(x) - 1), i] * w[i, j]
                for i in range(n_to):
                    z += a[i] * w[n_in + 1 + i, j]
                after[j] = 1 / (1 + math.exp(-z))
            a[:] = after
            for k in range(n_out):
                out[min(t, last), k] = a[k]

    return Model((n_in + 1 + n_to, n_to), outputs)

WRITTEN_OUT = OwnNetwork("written-out", "the free network", make)
"""


@pytest.fixture(scope="module")
def written_out(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the network as an object: it takes seconds to compile."""
    path = tmp_path_factory.mktemp("written") / "out.py"
    path.write_text(FREE, encoding="utf-8")
    return runpy.run_path(str(path))["WRITTEN_OUT"]


@pytest.fixture
def known(written_out: Any) -> Iterator[None]:
    with plugins.lent([written_out]):
        yield
    assert not NETWORKS


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """Return a plug-in's file that has been loaded."""
    path = tmp_path / "own.py"
    path.write_text(FREE, encoding="utf-8")
    plugins.load_plugins([path])
    yield path
    plugins.unload_all()
    assert not NETWORKS


RAW: dict[str, Any] = {"stddev": 0.1, "batch_size": 10}
SETTINGS: dict[str, Any] = {"hidden": 4, "batch_size": 60, "stddev": 0.05, "timesteps": 3}
RULES: list[dict[str, Any]] = [
    {"update": "raw"},
    {"sides": "two", "optimizer": "momentum", "learning_rate": 0.3, "momentum": 0.8, "noise": "rademacher"},
    {"optimizer": "sgd", "learning_rate": 0.3, "rank": 2, "datapoints": 4},
    {"optimizer": "sgd", "learning_rate": 0.3, "share_data": "yes", "datapoints": 6, "shaping": "ranks"},
    {"optimizer": "sgd", "learning_rate": 0.3, "directions": "orthogonal"},
]


def start(architecture: str, task: str = "xor", **rule: Any) -> Any:
    parameters = {"architecture": architecture, "update": "normalised", **SETTINGS, **rule}
    problem = resolve_problem(task, "walk", parameters, steps=10)
    return problem, problem.start(resolve_backend("cpu"), seed=3, evaluation_points=64)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("task", ["xor", "shifted-sums"])
def test_its_steps_and_measures_are_those_of_the_free_network(known: None, rule: dict[str, Any], task: str) -> None:
    problem, written = start("written-out", task, **rule)
    built_in, walk = start("free", task, **rule)
    before = walk.weights
    np.testing.assert_array_equal(written.weights, before)
    assert problem.n_weights == built_in.n_weights == before.size
    assert problem.evaluations_per_step == built_in.evaluations_per_step
    assert written.train(5).loss == pytest.approx(walk.train(5).loss, rel=1e-4)
    moved = np.linalg.norm(walk.weights - before)
    assert np.linalg.norm(written.weights - walk.weights) < 1e-3 * moved
    np.testing.assert_allclose(written.evaluate(), walk.evaluate(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("task", ["xor", "digits", "delayed-xor", "shifted-sums"])
def test_what_confirms_a_target_measures_alike(known: None, task: str) -> None:
    """Every measure of each datapoint, with classes and targets that do not count among them."""
    measured = []
    for architecture in ("written-out", "free"):
        problem, trainer = start(architecture, task, timesteps=6)
        which: dict[str, Any] = {
            "seed": 1,
            "stream": Stream.EVALUATION_DATA,
            "step": 1,
            "n_datapoints": 40,
        }
        measured.append(
            measure_datapoints(problem.network, trainer.weights, problem.data(), problem.timesteps, first=16, **which)
        )
    np.testing.assert_allclose(measured[0], measured[1], rtol=1e-4, atol=1e-5)


def test_a_softmax_is_the_harness_s(known: None) -> None:
    """On a task of classes the outputs that are given are logits."""
    problem, trainer = start("written-out", "digits")
    assert problem.network.softmax
    outputs = trainer._outputs(np.random.default_rng(0).random((5, problem.network.n_input)))
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, rtol=1e-5)


def test_it_goes_on_from_a_state_to_the_same_bits(known: None) -> None:
    rule = {"optimizer": "adam", "learning_rate": 0.05}
    whole, half, rest = (start("written-out", **rule)[1] for _ in range(3))
    whole.train(8)
    half.train(3)
    rest.restore(half.state())
    rest.train(5)
    np.testing.assert_array_equal(rest.weights, whole.weights)


def run(*arguments: str) -> int:
    return cli.run([*arguments])


def test_a_sweep_of_both_is_recorded_and_reported(tmp_path: Path, own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sweep"
    sweep = ["sweep", "--plugin", str(own), "--task", "xor", "--grid", "architecture=written-out,free"]
    sweep += ["--grid", "hidden=3,5", "--grid", "batch_size=50", "--grid", "update=normalised", "--epochs", "6"]
    sweep += ["--steps-per-epoch", "20", "--out", str(folder), "--seeds", "0:2"]
    assert run(*sweep) == 0, capfd.readouterr().err
    trials = freewalk.read_table(folder / "trials.csv")
    assert (trials.state == "complete").all()
    free, written = (trials[trials.param_architecture == name] for name in ("free", "written-out"))
    keys = ["param_hidden", "seed"]
    pairs = written.merge(free, on=keys, suffixes=("", "_free"))
    assert len(pairs) == 4
    assert (pairs.n_weights == pairs.n_weights_free).all()
    assert (pairs.param_timesteps == pairs.param_timesteps_free).all()
    np.testing.assert_allclose(pairs.loss_final, pairs.loss_final_free, rtol=1e-2)
    assert written.param_activation.isna().all(), "neurons of it have no activation of ours"
    assert free.param_activation.notna().all()
    assert run("report", str(folder), "--quiet") in (0, 2)
    capfd.readouterr()
    assert run("report", str(folder)) == 0, capfd.readouterr().err
    assert "written-out" in (folder / "report.html").read_text(encoding="utf-8")
    assert run(*sweep) == 0, "resumes, with nothing left"
    assert len(freewalk.read_table(folder / "trials.csv")) == len(trials)


def test_workers_and_one_thread_come_to_the_same(tmp_path: Path, own: Path) -> None:
    pytest.importorskip("distributed")
    tables = []
    for options in ({}, {"workers": 2}):
        result = freewalk.sweep(
            {"architecture": "written-out", "hidden": 3, "batch_size": 50},
            task="xor", seeds="0:2", plugins=own, epochs=3, steps_per_epoch=10, **options,
        )  # fmt: skip
        tables.append(result.trials.sort_values("seed")[["loss_final", "steps"]].reset_index(drop=True))
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_weights_are_saved_evaluated_and_go_on(
    tmp_path: Path, own: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    train = ["train", "--plugin", str(own), "--task", "xor", "--architecture", "written-out", "--hidden", "3"]
    train += ["--epochs", "2", "--quiet"]
    assert run(*train, "--save", str(first)) == 0, capfd.readouterr().err
    assert run("train", "--plugin", str(own), "--weights", str(first), "--epochs", "1", "--save", str(second)) == 0
    saved, free = freewalk.load(first), freewalk.load(first)
    assert saved.network.name == "written-out"
    x = np.array([[0.0, 1.0], [1.0, 1.0]])
    reference = freewalk.SavedWeights(
        saved.weights,
        resolve_problem("xor", "walk", {"hidden": 3, **RAW}).network,
        "xor",
        {},
        {},
        timesteps=saved.timesteps,
    )
    np.testing.assert_allclose(free.predict(x), reference.predict(x), rtol=1e-12)
    assert run("evaluate", "--weights", str(first), "--plugin", str(own)) == 0, capfd.readouterr().err
    for refused in (["maximize", "--weights", str(first), "--plugin", str(own)],):
        assert run(*refused) == 2
        assert "needs the derivatives" in capfd.readouterr().err
    monkeypatch.setattr(weights_file, "NETWORKS", {})
    with pytest.raises(UsageError, match=r"unknown network 'written-out'.*--plugin FILE"):
        freewalk.load(first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--method", "backprop"],
            "method backprop needs to know more of a network.*do with them: walk",
        ),
        (["--grid", "tangent=exact"], "tangent=exact needs to know more"),
        (["--grid", "activation=tanh"], "activation has no effect with architecture=written-out, which says what"),
        (["--grid", "leak=0.5"], "leak has no effect with architecture=written-out"),
        (["--grid", "architecture=writen-out"], r"architecture='writen-out' \(did you mean 'written-out'"),
    ],
)
def test_what_does_not_fit_it_is_one_line(
    own: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    first = [] if "architecture" in arguments[-1] else ["--grid", "architecture=written-out"]
    assert run("sweep", "--plugin", str(own), "--task", "xor", *first, *arguments, "--dry-run") == 2
    said = capfd.readouterr().err
    assert re.search(message, said), said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [["estimate"], ["gradcheck", "--architecture", "written-out"]])
def test_what_needs_derivatives_says_so(own: Path, capfd: pytest.CaptureFixture[str], command: list[str]) -> None:
    chosen = ["--grid", "architecture=written-out"] if command == ["estimate"] else []
    method = ["--method", "walk"]
    assert run(*command, "--plugin", str(own), "--task", "xor", *method, *chosen) == 2
    assert "needs the derivatives of a network" in capfd.readouterr().err


def test_where_there_is_a_gpu_it_stays_on_the_cpu_and_says_so(
    own: Path, plan: Callable[..., Plan], capfd: pytest.CaptureFixture[str]
) -> None:
    gpu: Any = replace(resolve_backend("cpu"), name="cuda", most_in_a_pack=8)
    both = plan("architecture=written-out,free", tasks=["xor"], seeds=[0])
    engines = engines_for(gpu, Budget(epochs=1, steps_per_epoch=1), both, both.trials)
    found = {own.cell.parameters["architecture"]: engine.backend.name for engine, (own,) in engines}
    assert found == {"written-out": "cpu", "free": "cuda"}
    chosen = ["--architecture", "written-out", "--backend", "cuda"]
    for command in (["sweep"], ["train"]):
        assert run(*command, "--plugin", str(own), "--task", "xor", *chosen) == 2
        assert "no kernels for architecture=written-out; give --backend auto" in capfd.readouterr().err


def half(sizes: Sizes) -> Model:
    def outputs(weights: Any, x: Any, out: Any) -> None:
        out[0, 0] = weights[0] * x[0, 0] + weights[1] * x[0, 1]

    return Model(2, outputs, initial=lambda random: random.uniform(0.4, 0.5, 2))


def test_an_object_of_a_notebook_is_swept_with_weights_of_its_own() -> None:
    mine = OwnNetwork("half", "a sum", half)
    result = freewalk.sweep(
        {"batch_size": 20, "architecture": mine}, task="and", epochs=1, steps_per_epoch=1, seeds="0:1"
    )
    (trial,) = result.trials.itertuples()
    assert trial.n_weights == 2
    assert trial.param_architecture == "half"
    assert math.isfinite(trial.loss_final)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (OwnNetwork("free", "x", half), "architecture=free means something else"),
        (OwnNetwork("2-3", "x", half), "a letter first"),
        (OwnNetwork("none", "x", lambda sizes: None), "makes a NoneType"),  # type: ignore[arg-type, return-value]
        (OwnNetwork("zero", "x", lambda sizes: Model(0, print)), "n_weights=0; give a whole number"),
        (OwnNetwork("wrong", "x", lambda s: Model(2, print, lambda r: np.ones(3))), "must be 2 finite numbers"),
        (OwnNetwork("beyond", "x", lambda s: Model(2, lambda w, x, out: w[2])), "uses weights.2., and weights has 2"),
        (OwnNetwork("uncompiled", "x", lambda s: Model(2, lambda w, x, out: exec("a"))), "does not compile"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_line(network: OwnNetwork, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        freewalk.sweep({"batch_size": 20, "architecture": network}, task="and", epochs=1, seeds="0:1")
    assert "\n" not in str(error.value)


def test_the_example_learns_and_needs_fewer_evaluations_than_the_free_network() -> None:
    settings: dict[str, Any] = {"update": "normalised", "optimizer": "adam", "learning_rate": 0.03, "batch_size": 200}
    result = freewalk.sweep(
        settings | {"architecture": ["gated", "free"], "hidden": 8}, task="delayed-xor", plugins=EXAMPLE, epochs=10,
        seeds="0:3",
    )  # fmt: skip
    found = result.summary.set_index("param_architecture")
    assert found.n_reached.to_dict() == {"gated": 3, "free": 3}
    assert found.ert_evaluations["gated"] < found.ert_evaluations["free"]
