"""The walk on a function of JAX: its estimates are those of the reference, low rank without forming weights."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk import check_estimator
from freewalk.harness.frameworks.population import Arrays, blocks_of_arrays
from freewalk.kernels.model.directions import unit_directions
from freewalk.kernels.reference.reference import shaped

jax = pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("freewalk.jax")
importlib.import_module("jax.extend.core")

jnp = jax.numpy
STDDEV = 0.02
RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def dense(p: Any, x: Any, y: Any) -> Any:
    hidden = jnp.tanh(x @ p["one"]["w"] + p["one"]["b"])
    return ((hidden @ p["two"].T * p["scale"] - y) ** 2).mean()


def recurrent(p: Any, x: Any, y: Any) -> Any:
    def cell(h: Any, now: Any) -> Any:
        return jnp.tanh(now @ p["in"] + p["own"] @ h + p["b"]), h

    def last(x: Any) -> Any:
        return jax.lax.scan(cell, jnp.zeros(4), x)[0]

    return ((jax.vmap(last)(x) - y) ** 2).sum(-1)


def embedded(p: Any, x: Any, y: Any) -> Any:
    hidden = jax.nn.relu(p["table"][x].mean(1))
    product = jax.jit(lambda w, h: w @ h.T)(p["w"], hidden)
    return jax.checkpoint(lambda out: jnp.sum((out.T - y) ** 2, -1))(product)


def attending(p: Any, x: Any, y: Any) -> Any:
    heads = jax.nn.gelu(jnp.einsum("btd,dhe->bthe", x, p["heads"]))
    out = jnp.einsum("bthe,heo->bto", heads, p["out"]) + jnp.sum(p["heads"] ** 2)
    return (out.sum(1) - y) ** 2 @ jnp.ones(2)


VECTORS, SEQUENCES, INDICES = normal(6, 3), normal(6, 5, 3), jnp.asarray(RANDOM.integers(0, 10, (6, 3)))
LOSSES: dict[str, tuple[Any, Any, Any, Any]] = {
    "dense": (
        dense,
        {"one": {"w": normal(3, 4), "b": normal(4)}, "two": normal(2, 4), "scale": jnp.ones(())},
        VECTORS,
        normal(6, 2),
    ),
    "recurrent": (recurrent, {"in": normal(3, 4), "own": normal(4, 4), "b": normal(4)}, SEQUENCES, normal(6, 4)),
    "embedded": (embedded, {"table": normal(10, 4), "w": normal(4, 4)}, INDICES, normal(6, 4)),
    "attending": (attending, {"heads": normal(3, 2, 2), "out": normal(2, 2, 2)}, SEQUENCES, normal(6, 2)),
}


def reference_estimate(loss: Any, params: Any, x: Any, y: Any, k: int, each: int | None, **kind: Any) -> Any:
    sides, shaping = kind.pop("sides"), kind.pop("shaping")
    leaves, tree = jax.tree.flatten(params)
    blocks = blocks_of_arrays([leaf.shape for leaf in leaves])
    shape = tuple(sum(sizes) for sizes in zip(*(block.shape for block in blocks), strict=True))
    units = unit_directions(blocks, shape, indices=np.arange(k), **kind)
    own = [
        [
            jnp.asarray(u[np.ix_(*block)], jnp.float32).reshape(leaf.shape)
            for leaf, block in zip(leaves, blocks, strict=True)
        ]
        for u in units
    ]

    def value(k: int, side: float) -> float:
        rows = slice(None) if each is None else slice(k * each, (k + 1) * each)
        moved = [leaf + side * STDDEV * one for leaf, one in zip(leaves, own[k], strict=True)]
        return float(loss(jax.tree.unflatten(tree, moved), x[rows], y[rows]).mean())

    plus, other = (np.array([value(i, side) for i in range(k)]) for side in (1, -1 if sides == "two" else 0))
    by = shaped(plus, other, STDDEV, sides, each is None, shaping) / STDDEV / k
    return jax.tree.unflatten(
        tree, [sum(b * one[i] for b, one in zip(by, own, strict=True)) for i in range(len(leaves))]
    )


@pytest.mark.parametrize(
    ("rank", "noise", "directions", "each", "sides", "shaping"),
    [
        (None, "gaussian", "independent", None, "two", "none"),
        (None, "rademacher", "orthogonal", 3, "one", "none"),
        (1, "rademacher", "independent", None, "one", "ranks"),
        (4, "gaussian", "independent", 3, "two", "none"),
        (2, "rademacher", "orthogonal", None, "two", "std"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_the_estimate_is_the_one_that_is_written(
    name: str, rank: int | None, noise: Any, directions: Any, each: int | None, sides: Any, shaping: Any
) -> None:
    loss, params, x, y = LOSSES[name]
    kind = {"rank": rank, "noise": noise, "directions": directions, "sides": sides, "shaping": shaping, "seed": 7}
    k = 2 if each else 5
    counts: dict[str, Any] = {"datapoints": each} if each else {"perturbations": k}
    walk = freewalk.jax.walk(loss, stddev=STDDEV, **kind, **counts)
    found, _ = walk.gradient(params, x, y, step=3)
    wanted = reference_estimate(loss, params, x, y, k, each, step=3, **kind)
    size = max(float(jnp.abs(one).max()) for one in jax.tree.leaves(wanted))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert one.shape == other.shape
        assert float(jnp.abs(one - other).max()) < 2e-3 * size


WIDE: dict[str, Any] = {
    "dense": {"one": {"w": normal(3, 64), "b": normal(64)}, "two": normal(64, 64), "scale": jnp.ones(())},
    "embedded": {"table": normal(1000, 4), "w": normal(4, 4)},
}


def sizes(jaxpr: Any) -> Iterator[int]:
    """Yield how many numbers each array of a program has."""
    for equation in jaxpr.eqns:
        yield from (int(np.prod(variable.aval.shape)) for variable in equation.outvars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from sizes(inner)


@pytest.mark.parametrize("name", WIDE)
def test_low_rank_forms_nothing_of_perturbations_times_weights(name: str) -> None:
    k, params = 8, WIDE[name]
    loss, _, x, _ = LOSSES[name]
    y = normal(6, 64 if name == "dense" else 4)
    arrays = Arrays({str(i): leaf.shape for i, leaf in enumerate(jax.tree.leaves(params))})
    largest = {}
    for rank in (None, 1):
        walk = freewalk.jax.walk(loss, stddev=STDDEV, rank=rank, perturbations=k)
        noise = list(arrays.draw(walk._settings, 0, 0, k).values())
        run = partial(walk._perturbed_losses, sides=(1.0,), dealt=False)
        largest[rank] = max(sizes(jax.make_jaxpr(run)(params, noise, x, y).jaxpr))
    matrix = max(leaf.size for leaf in jax.tree.leaves(params))
    assert largest[1] < k * matrix <= largest[None]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_state_goes_on_to_the_same_bits(optimizer: Any) -> None:
    loss, params, x, y = LOSSES["dense"]
    walk = freewalk.jax.walk(loss, stddev=STDDEV, optimizer=optimizer, perturbations=16)
    first = walk.init(params)
    middle, _ = walk.train(first, [(x, y)] * 3)
    end, progress = walk.train(middle, [(x, y)] * 9, steps=4)
    assert (end["step"], progress.steps, first["step"]) == (7, 4, 0)
    assert jax.tree.structure(first) == jax.tree.structure(end)
    again = freewalk.jax.walk(loss, stddev=STDDEV, optimizer=optimizer, perturbations=16)
    copied = jax.tree.map(lambda one: jnp.array(np.asarray(one)) if hasattr(one, "shape") else one, middle)
    other, _ = again.train(copied, [(x, y)] * 4)
    assert all(
        bool((a == b).all())
        for a, b in zip(jax.tree.leaves(end["params"]), jax.tree.leaves(other["params"]), strict=True)
    )
    assert progress.loss < float(dense(params, x, y))


def test_it_passes_the_check_of_estimators() -> None:
    walks: dict[int, Any] = {}

    def estimator(loss: Any, weights: Any, seed: int) -> Any:
        if id(loss) not in walks:  # compiled once
            walks[id(loss)] = freewalk.jax.walk(lambda w, x, y: loss(w), stddev=0.01, rank=1, perturbations=8)
            walks[id(loss)]._check = lambda *_: None  # without an evaluation that only looks whether it can run
        return walks[id(loss)].gradient(weights, jnp.zeros(1), jnp.zeros(1), step=seed)[0]

    weights = {"b": jnp.ones(5), "w": jnp.ones((6, 5))}
    report = check_estimator(estimator, weights, stddev=0.01, perturbations=8, sides="two", rank=1, calls=100)
    assert report.passed, str(report)
    assert (report.observed.perturbations, report.observed.sides) == (8, "two")


def test_a_loss_out_of_range_moves_nothing() -> None:
    loss, params, x, y = LOSSES["dense"]
    walk = freewalk.jax.walk(loss, stddev=STDDEV)
    state, progress = walk.train(walk.init(params), [(x * jnp.nan, y), (x, y)])
    assert progress.steps == 1
    assert np.isnan(progress.loss)
    assert all(
        bool((a == b).all()) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state["params"]), strict=True)
    )


def _raises(*_: Any) -> Any:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (_raises, r"KeyError: 'no such thing' \(test_jax_walk.py, line \d+\)"),
        (lambda p, x: x, "takes 2 positional arguments"),
        (lambda p, x, y: {"loss": x.mean()}, "one for each of 6 datapoints, got dict"),
        (lambda p, x, y: x, r"got shape \(6, 3\)"),
        (lambda p, x, y: (x @ p).mean(), "the loss failed"),
    ],
)
def test_mistakes_end_in_one_line(loss: Any, words: str) -> None:
    walk = freewalk.jax.walk(loss, stddev=0.1)
    with pytest.raises(ValueError, match=words) as caught:
        walk.step(walk.init(jnp.ones((4, 2))), VECTORS, jnp.zeros(6))
    assert "\n" not in str(caught.value)


def test_states_and_parameters_of_another_kind_are_named() -> None:
    walk = freewalk.jax.walk(dense, stddev=0.1)
    with pytest.raises(ValueError, match="real numbers"):
        walk.init({"w": jnp.arange(3)})
    with pytest.raises(ValueError, match="no parameters"):
        freewalk.jax.walk(lambda p, x, y: x.mean(), stddev=0.1).gradient({}, VECTORS, VECTORS, step=0)
    with pytest.raises(ValueError, match="params, step and moments"):
        walk.step({"params": jnp.ones(3)}, VECTORS, VECTORS)
