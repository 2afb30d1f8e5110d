"""Presets of the field: a step of each is the step of its paper, written out here from the paper or its program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from commanded import Harness
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.parameters.presets.relatives import RELATIVES
from freewalk.harness.plan.plan import Plan
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.directions import blocks_of, unit_directions
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.variance import variance_constant
from freewalk.kernels.reference import reference

Array = NDArray[np.float64]
Loss = Callable[[Array], float]
MakePlan = Callable[..., Plan]

SEED = 11
TOLERANCES = {"reference": 1e-9, "cpu": 5e-3}
"""Of a step's length: float32 losses, whose differences at stddev 0.001 carry an error of some 1e-4 of theirs."""


def spsa(theta: Array, loss: Loss, deltas: Array, c: float, a: float) -> Array:
    """Spall (1992): g_i = (y(theta + c delta) - y(theta - c delta)) / (2 c delta_i); theta - a g."""
    (delta,) = deltas
    return theta - a * (loss(theta + c * delta) - loss(theta - c * delta)) / (2 * c * delta)


def mezo(theta: Array, loss: Loss, zs: Array, epsilon: float, eta: float) -> Array:
    """Malladi et al. (2023), algorithm 1: theta is moved to and fro in place, along the same z."""
    (z,) = zs
    theta = theta + epsilon * z
    plus = loss(theta)
    theta = theta - 2 * epsilon * z
    minus = loss(theta)
    theta = theta + epsilon * z
    projected_gradient = (plus - minus) / (2 * epsilon)
    return theta - eta * projected_gradient * z


def fzoo(theta: Array, loss: Loss, u: Array, epsilon: float, eta: float) -> Array:
    """Dang et al. (2025): each direction by its own difference, over N times the losses' standard deviation."""
    n = len(u)
    losses = [loss(theta + epsilon * each) for each in u]
    mean = sum(losses) / n
    sigma = (sum((one - mean) ** 2 for one in losses) / (n - 1)) ** 0.5
    at_centre, moved = loss(theta), theta
    for each, one in zip(u, losses, strict=True):
        moved = moved - eta * (one - at_centre) / (n * sigma) * each
    return moved


def openai_es(theta: Array, loss: Loss, epsilon: Array, sigma: float, stepsize: float) -> Array:
    """Salimans et al. (2017), and the program beside it: returns, centred ranks, a weighted sum; Adam by its paper."""
    returns = np.array([[-loss(theta + sigma * e), -loss(theta - sigma * e)] for e in epsilon])
    ranks = np.empty(returns.size)
    ranks[returns.ravel().argsort()] = np.arange(returns.size)
    processed = (ranks / (returns.size - 1) - 0.5).reshape(returns.shape)
    g = -np.tensordot(processed[:, 0] - processed[:, 1], epsilon, axes=1) / returns.size
    m, v = (1 - 0.9) * g, (1 - 0.999) * g * g
    return theta - stepsize * (m / (1 - 0.9)) / (np.sqrt(v / (1 - 0.999)) + 1e-8)


def forward_gradient(theta: Array, loss: Loss, vs: Array, h: float, eta: float) -> Array:
    """Baydin et al. (2022), algorithm 1; the directional derivative by central differences, of which two steps."""
    (v,) = vs

    def slope(step: float) -> float:
        return (loss(theta + step * v) - loss(theta - step * v)) / (2 * step)

    return theta - eta * (4 * slope(1e-4) - slope(2e-4)) / 3 * v


PAPERS = {"forward-gradient": forward_gradient, "spsa": spsa, "mezo": mezo, "fzoo": fzoo, "openai-es": openai_es}


def problem_of(plan: MakePlan, name: str, *specs: str) -> ResolvedProblem:
    (cell,) = plan(name, "hidden=3", "timesteps=3", *specs, tasks=["shifted-sums"], seeds=[SEED]).cells
    return resolve_problem(cell.task, cell.method, cell.parameters)


def first_step(problem: ResolvedProblem, backend: str) -> tuple[Array, Array, Array, Loss]:
    """Return the weights before and after a step, the perturbations, and the loss of the data that all of them see."""
    chosen, walk, network = resolve_backend(backend), problem.configuration, problem.network
    trainer = problem.start(chosen, seed=SEED, evaluation_points=1)
    before = trainer.weights
    trainer.train(1)
    where: dict[str, Any] = {"seed": SEED, "stream": Stream.DATA, "step": 0, "n_datapoints": walk.data_per_step}
    x, y = draw(network, problem.data(), problem.timesteps, **where)
    kind = {name: getattr(walk, name) for name in ("noise", "rank", "directions")}
    k, blocks = walk.n_perturbations, blocks_of(network, problem.mask)  # type: ignore[attr-defined]
    units = unit_directions(blocks, before.shape, seed=SEED, step=0, indices=np.arange(k), **kind)

    def loss(weights: Array) -> float:
        return float(reference.losses(network, reference.forward(network, weights, x, problem.timesteps), y).mean())

    return before, trainer.weights, units, loss


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", PAPERS)
def test_a_step_is_that_of_the_paper(plan: MakePlan, name: str, backend: str) -> None:
    problem = problem_of(plan, name)
    before, after, units, loss = first_step(problem, backend)
    walk: Any = problem.configuration
    expected = PAPERS[name](before, loss, units, walk.stddev, walk.learning_rate)
    length = float(np.abs(expected - before).max())
    assert length > 1e-4
    np.testing.assert_allclose(after, expected, rtol=0, atol=TOLERANCES[backend] * length)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["eggroll", "eggroll-signs"])
def test_a_step_of_eggroll_points_where_its_program_goes(plan: MakePlan, name: str, backend: str) -> None:
    """Sarkar et al. (2025): fitnesses of pairs less their mean, over their standard deviation, weigh a b' sigma."""
    problem = problem_of(plan, name)
    before, after, units, loss = first_step(problem, backend)
    walk: Any = problem.configuration
    assert np.linalg.matrix_rank(units).max() == 1
    fitness = -np.array([loss(before + sign * walk.stddev * unit) for unit in units for sign in (1, -1)])
    scores = (fitness - fitness.mean()) / np.sqrt(fitness.var() + 1e-5)
    moves = np.array([sign * walk.stddev * unit for unit in units for sign in (1, -1)])
    program = (scores[:, None, None] * moves).mean(axis=0)
    step = after - before
    cosine = (program * step).sum() / np.sqrt((program**2).sum() * (step**2).sum())
    assert cosine > 1 - TOLERANCES[backend]


def test_a_step_of_openai_es_is_that_of_evosax(plan: MakePlan) -> None:
    pytest.importorskip("evosax")
    import jax
    import optax
    from evosax.algorithms import Open_ES

    problem = problem_of(plan, "openai-es")
    before, after, units, loss = first_step(problem, "reference")
    walk: Any = problem.configuration
    both = np.concatenate([units, -units]).reshape(2 * len(units), -1)
    population = before.reshape(-1) + walk.stddev * both
    losses = np.array([loss(one.reshape(before.shape)) for one in population])
    with jax.enable_x64(True):
        options = {
            "optimizer": optax.adam(walk.learning_rate),
            "std_schedule": optax.constant_schedule(walk.stddev),
        }
        strategy = Open_ES(len(population), jax.numpy.zeros(before.size), **options)
        key = jax.random.key(0)
        state = strategy.init(key, jax.numpy.asarray(before.reshape(-1)), strategy.default_params)
        told = jax.numpy.asarray(population), jax.numpy.asarray(losses)
        state, _ = strategy.tell(key, *told, state, strategy.default_params)
        moved = np.asarray(state.mean)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after.reshape(-1), moved, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RELATIVES)
def test_a_preset_is_its_settings_on_any_task(plan: MakePlan, name: str) -> None:
    settings = RELATIVES[name].settings
    for cell in plan(name, tasks=["xor", "parity"]).cells:
        assert {key: cell.parameters[key] for key in settings} == settings
    (cell,) = plan(name, "learning_rate=0.5", "batch_size=64", tasks=["xor"]).cells
    assert {**cell.parameters, **settings, "learning_rate": 0.5, "batch_size": 64} == cell.parameters


def test_several_stand_beside_each_other_but_not_beside_a_sweep(plan: MakePlan) -> None:
    made = plan("mezo", "spsa", "mezo", "hidden=4", tasks=["xor"])
    assert [cell.parameters["noise"] for cell in made.cells] == ["gaussian", "rademacher"]
    with pytest.raises(UsageError, match="give one preset or file, not both"):
        plan("mezo", "quickstart")


def test_an_axis_that_leaves_a_setting_without_effect_takes_it_away(plan: MakePlan) -> None:
    (cell,) = plan("eggroll", "directions=orthogonal", tasks=["xor"]).cells
    assert (cell.parameters["noise"], cell.parameters["rank"]) == (None, 1)
    assert {one.method for one in plan("fzoo", tasks=["xor"], methods=["backprop", "walk"]).cells} == {
        "backprop",
        "walk",
    }


@pytest.mark.parametrize("name", RELATIVES)
def test_the_card_says_what_a_step_costs_and_how_long_its_estimate_is(name: str) -> None:
    relative = RELATIVES[name]
    walk = relative.walk
    n, m = 12, 9
    k, each = walk.n_perturbations, walk.datapoints
    words = {"P": n * m, "P + 2": n * m + 2, "P + 2 (n + m + 2)": n * m + 2 * (n + m + 2)}
    assert variance_constant(walk, [(n, m)]) == pytest.approx(words[relative.constant])
    passes = {"2 K": 2 * k, "K + 1": k + 1}[relative.cost.split(": ")[1].split(" passes")[0]]
    assert walk.evaluations_per_step() == passes * each
    assert relative.cost.startswith(f"{passes * each:,} evaluations")


def test_presets_are_listed_and_told(harness: Harness, refused: Callable[..., str]) -> None:
    listed = harness("presets").out
    assert all(name in listed for name in (*RELATIVES, "quickstart", "digits"))
    told = harness("presets", "fzoo").out
    for heading in ("settings", "equation", "estimates", "variance constant c", "cost of a step", "differs in"):
        assert f"\n  {heading} " in told
    assert "arXiv:2506.09034" in told
    assert "did you mean 'spsa'" in refused("presets", "spas")
    assert "did you mean 'mezo'" in refused("train", "--task", "xor", "--preset", "mzo")


def test_train_takes_a_preset(harness: Harness) -> None:
    small = ("--hidden", 3, "--epochs", 2, "--steps-per-epoch", 2, "--backend", "reference", "--quiet", "--json")
    result = harness("train", "--task", "xor", "--preset", "fzoo", *small, "--save", "a.npz")
    assert result.code == 0, result.err
    assert '"evaluations": 576' in result.out
    result = harness("train", "--weights", "a.npz", "--preset", "mezo", *small, "--save", "b.npz")
    assert result.code == 0, result.err
    assert '"evaluations": 128' in result.out
