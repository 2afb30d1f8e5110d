"""A trial that is interrupted, stored and restored comes to the bits of one that never stopped, on every backend."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from descents import FEEDBACK, configure, start
from numpy.typing import NDArray

from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.walk import State, Trainer, WalkConfiguration
from freewalk.tasks.registry import TASKS

SUMS = TASKS["shifted-sums"].problem({})
ADDITION = TASKS["addition"].problem({"bits": 3, "form": "static"})
LAYERS = LayeredNetwork((6, 7, 5, 3))
BACKENDS = {name: resolve_backend(name) for name in ("cpu", "reference")}
OPTIMIZERS = ("sgd", "momentum", "adam")
SCHEDULES: dict[str, dict[str, Any]] = {"constant": {}, "cosine": {"schedule": "cosine", "schedule_steps": 9}}
OPTIONS: dict[str, Any] = {"seed": 5, "evaluation_points": 20}


def walk(backend: Backend, *, hidden: int = 4, mask: NDArray[np.bool_] | None = None, **changes: Any) -> Trainer:
    base = {"stddev": 0.1, "batch_size": 40, "timesteps": 3, "update": "normalised", "learning_rate": 0.05}
    configuration = WalkConfiguration(**base | changes)  # type: ignore[arg-type]
    return backend.make_walk(SUMS.network(hidden), configuration, SUMS.data(), mask=mask, **OPTIONS)


def descent(backend: Backend, method: str, *, hidden: int = 4, **changes: Any) -> Trainer:
    configuration = configure(method, batch_size=40, timesteps=3, **changes)
    return start(backend, SUMS.network(hidden), configuration, SUMS.data(), **OPTIONS)


def layered(backend: Backend, method: str, *, layers: LayeredNetwork = LAYERS, **changes: Any) -> Trainer:
    configuration = configure(method, batch_size=40, timesteps=layers.depth, **changes)
    return start(backend, layers, configuration, ADDITION.data(), **OPTIONS)


def stored(state: Mapping[str, NDArray[Any]]) -> State:
    """Return what comes back from a file that holds no pickled objects."""
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def assert_resumes(make: Callable[[], Trainer], first: int, more: int) -> None:
    whole, before, after = make(), make(), make()
    assert whole.train(first + more).steps == first + more
    before.train(first)
    state = stored(before.state())
    after.train(more + 1)  # what it was before must not matter
    after.restore(state)
    assert after.step == first
    before.train(1)  # nor what becomes of the trial that was stored
    assert after.train(more).steps == more
    np.testing.assert_array_equal(after.weights, whole.weights)
    assert after.evaluate() == whole.evaluate()
    found, wanted = after.state(), whole.state()
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert (whole.weights != state["weights"]).any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sides", ["one", "two"])
@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("optimizer", ["raw", *OPTIMIZERS])
def test_walks_resume(backend: str, schedule: str, sides: str, noise: str, optimizer: str) -> None:
    rule = {"update": "raw", "optimizer": "adam"} if optimizer == "raw" else {"optimizer": optimizer}
    changes = {**rule, **SCHEDULES[schedule], "sides": sides, "noise": noise}
    assert_resumes(lambda: walk(BACKENDS[backend], **changes), 5, 4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", ["backprop", "numerical"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_descents_resume(backend: str, schedule: str, method: str, optimizer: str) -> None:
    steps = (5, 4) if method == "backprop" or backend == "cpu" else (2, 1)
    assert_resumes(
        lambda: descent(BACKENDS[backend], method, optimizer=optimizer, **SCHEDULES[schedule]),
        *steps,
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", ["backprop", "numerical", "synthetic"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_layered_networks_resume(backend: str, schedule: str, method: str, optimizer: str) -> None:
    steps = (2, 1) if method == "numerical" else (5, 4)
    assert_resumes(lambda: layered(BACKENDS[backend], method, optimizer=optimizer, **SCHEDULES[schedule]), *steps)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        *((one.configuration.method, {}) for one in FEEDBACK),
        ("sign-symmetry", {"magnitudes": "fixed"}),
        ("sign-symmetry", {"magnitudes": "batchwise"}),
        ("kolen-pollack", {"weight_decay": 0.01}),
    ],
)
def test_rules_with_feedback_resume(method: str, changes: dict[str, Any]) -> None:
    assert_resumes(lambda: layered(BACKENDS["cpu"], method, optimizer="adam", **changes), 4, 3)
    kept = {"feedback_0", "feedback_1"} if method == "kolen-pollack" else set()
    names = {name for name in layered(BACKENDS["cpu"], method).state() if "feedback" in name}
    assert names == kept, "what the seed gives again is not stored"


@pytest.mark.parametrize("predictor", ["linear", "bias", "input", "conditioned", "context"])
def test_every_predictor_resumes(predictor: str) -> None:
    assert_resumes(lambda: layered(BACKENDS["cpu"], "synthetic", predictor=predictor), 4, 3)
    for backend in BACKENDS.values():
        assert_resumes(lambda b=backend: descent(b, "synthetic", predictor=predictor, optimizer="adam"), 4, 3)  # type: ignore[misc]
    names = layered(BACKENDS["cpu"], "synthetic", predictor=predictor).state().keys()
    assert {"predictor_0", "predictor_1"} <= names, "one for each hidden layer"


def test_threads_and_masks_resume() -> None:
    mask = np.random.default_rng(0).random((SUMS.network(4).n_from, SUMS.network(4).n_to)) < 0.7

    def make() -> Trainer:
        trainer = walk(BACKENDS["cpu"], mask=mask, optimizer="adam", batch_size=300)
        assert isinstance(trainer, CpuWalk)
        trainer.use_threads(2)
        return trainer

    assert_resumes(make, 3, 3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_backend_understands_the_state(optimizer: str) -> None:
    """Not to the same bits, but the same optimiser in the same place: float32 losses give updates right to 1e-4."""
    cpu, reference = (walk(backend, optimizer=optimizer) for backend in BACKENDS.values())
    cpu.train(6)
    reference.restore(stored(cpu.state()))
    start = reference.weights
    np.testing.assert_array_equal(start, cpu.weights)
    cpu.train(4)
    reference.train(4)
    moved = np.abs(reference.weights - start).max()
    np.testing.assert_allclose(cpu.weights, reference.weights, rtol=0, atol=1e-4 * moved)


def test_a_state_is_a_copy() -> None:
    for trainer in (walk(BACKENDS["cpu"], optimizer="adam"), layered(BACKENDS["cpu"], "synthetic", optimizer="adam")):
        trainer.train(2)
        state = trainer.state()
        kept = {name: array.copy() for name, array in state.items()}
        trainer.train(2)
        for name, array in kept.items():
            np.testing.assert_array_equal(state[name], array)
        trainer.restore(state)
        trainer.train(2)
        for name, array in kept.items():
            np.testing.assert_array_equal(state[name], array)


TRAINERS: dict[str, Callable[..., Trainer]] = {
    **{f"{name} walk": lambda b=backend, **changes: walk(b, **changes) for name, backend in BACKENDS.items()},
    **{f"{name} descent": lambda b=backend, **c: descent(b, "backprop", **c) for name, backend in BACKENDS.items()},
    **{f"{name} layered": lambda b=backend, **c: layered(b, "backprop", **c) for name, backend in BACKENDS.items()},
}
SMALLER = LayeredNetwork((6, 5, 3))


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_state_of_another_trial_is_refused(kind: str) -> None:
    make = TRAINERS[kind]
    trainer = make(optimizer="momentum")
    other = make(optimizer="momentum", **({"layers": SMALLER} if "layered" in kind else {"hidden": 3}))
    before = trainer.weights
    good = trainer.state()
    for state, message in (
        (make(optimizer="adam").state(), "optimizer adam, this one has optimizer momentum"),
        (other.state(), r"weights of the state has shape \(\d+, \d+\), this trial's has shape \(\d+, \d+\)"),
        ({**good, "method": np.array("numerical")}, "method numerical, this one has method (walk|backprop)"),
        ({name: array for name, array in good.items() if name != "velocity"}, "the state has no 'velocity'"),
        ({name: array for name, array in good.items() if name != "optimizer"}, "the state has no 'optimizer'"),
        ({**good, "predictor_0": np.zeros(3)}, "'predictor_0', which this trial has not"),
        ({**good, "step": np.array(-1)}, "step of a state must be an integer of at least 0, got -1"),
        ({**good, "step": np.array(1.5)}, "integer of at least 0, got 1.5"),
        ({**good, "weights": np.full(good["weights"].shape, "x")}, "must hold numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer.restore(state)
    assert trainer.step == 0
    np.testing.assert_array_equal(trainer.weights, before)
    trainer.restore(good)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_of_another_mask_is_refused(backend: str) -> None:
    state = walk(BACKENDS[backend]).state()
    masked = walk(BACKENDS[backend], mask=np.tri(*state["weights"].shape, dtype=np.bool_))
    with pytest.raises(ValueError, match="another mask"):
        masked.restore(state)


def test_a_state_of_other_layers_is_refused() -> None:
    """As many neurons in all, otherwise arranged: the shape of the matrix is the same."""
    state = layered(BACKENDS["cpu"], "backprop", layers=LayeredNetwork((6, 5, 7, 3))).state()
    for backend in BACKENDS.values():
        with pytest.raises(ValueError, match="another mask"):
            layered(backend, "backprop").restore(state)
