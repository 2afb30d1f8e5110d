"""The CPU kernels against the float64 reference, over shapes nobody chose by hand.

Tolerances: float32 outputs after up to 7 timesteps carry a few eps; a loss, a few eps of itself; an update is a
mean of perturbation times loss difference, so losses off by 5 eps move it by 5 eps * stddev * (mean |loss| + 1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from on_arrays import raw_step, step_on_arrays
from tolerance import EPS, assert_close, largest_difference

from freewalk.kernels.cpu.evaluate import run_network
from freewalk.kernels.cpu.layout import shape_of, tiling_of
from freewalk.kernels.cpu.trial import run_on_arrays
from freewalk.kernels.cpu.walk import train, train_parallel
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.walk import Sides, WalkConfiguration
from freewalk.kernels.reference import reference


class Case(NamedTuple):
    network: FreeNetwork
    configuration: WalkConfiguration
    scale: float = 1.0
    masked: bool = False
    seed: int = 1
    step: int = 0
    threads: int = 1


@st.composite
def cases(draw: st.DrawFn) -> Case:
    network = FreeNetwork(
        draw(st.integers(1, 6)),
        draw(st.integers(1, 5)),
        draw(st.integers(0, 20)),
        sequence_input=draw(st.booleans()),
        sequence_output=draw(st.booleans()),
        softmax=draw(st.booleans()),
        loss=draw(st.sampled_from(["mean_squared_error", "categorical_crossentropy"])),
    )
    configuration = WalkConfiguration(
        stddev=draw(st.sampled_from([0.01, 0.1, 0.5])),
        batch_size=draw(st.integers(1, 130)),
        timesteps=draw(st.integers(1, 7)),
        sides=draw(st.sampled_from(["one", "two"])),
        **draw(st.sampled_from([{"noise": "gaussian"}, {"noise": "rademacher"}, {"generator": "xoshiro"}])),
    )
    return Case(
        network,
        configuration,
        scale=draw(st.sampled_from([1.0, 3.0])),
        masked=draw(st.booleans()),
        seed=draw(st.integers(0, 2**64 - 1)),
        step=draw(st.integers(0, 2**32 - 1)),
        threads=draw(st.integers(1, 3)),
    )


class Arrays(NamedTuple):
    weights: NDArray[np.float64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


def _arrays(case: Case) -> Arrays:
    """Return weights that float32 holds exactly, inputs in [-1, 1], targets in [0, 1] and perhaps a mask."""
    network, configuration = case.network, case.configuration
    random = np.random.default_rng(case.seed % 2**32)
    batch, timesteps = configuration.batch_size, configuration.timesteps
    x_rows = (timesteps,) if network.sequence_input else ()
    y_rows = (timesteps,) if network.sequence_output else ()
    weights = random.uniform(-case.scale, case.scale, (network.n_from, network.n_to))
    mask = random.random(weights.shape) < 0.7 if case.masked else None
    return Arrays(
        (weights if mask is None else weights * mask).astype(np.float32).astype(np.float64),
        random.uniform(-1, 1, (batch, *x_rows, network.n_input)).astype(np.float32),
        random.uniform(0, 1, (batch, *y_rows, network.n_output)).astype(np.float32),
        mask,
    )


def _check(case: Case) -> None:
    network, configuration = case.network, case.configuration
    weights, x, y, mask = _arrays(case)

    outputs, losses = run_on_arrays(network, weights, x, y, configuration.timesteps)
    wanted_outputs = reference.forward(network, weights, x, configuration.timesteps)
    wanted_losses = reference.losses(network, wanted_outputs, y)
    rounding = 5 * EPS * max(1.0, case.scale)  # sums of larger weights round more, and every timestep adds to it
    assert_close(outputs, wanted_outputs, atol=rounding, what="outputs")
    assert_close(losses, wanted_losses, atol=rounding, k=5, what="losses")

    batch = np.arange(configuration.batch_size)
    noise = unit_perturbations(
        network.n_from, network.n_to, seed=case.seed, step=case.step, datapoints=batch, noise=configuration.kind
    )
    wanted = raw_step(
        network,
        weights,
        x,
        y,
        configuration.timesteps,
        noise,
        configuration.stddev,
        sides=configuration.sides,
        mask=mask,
    )
    found = step_on_arrays(
        network, configuration, weights, x, y, seed=case.seed, step=case.step, threads=case.threads, mask=mask
    )
    size_of_noise = max(1.0, np.abs(noise).mean(axis=0).max())  # each loss moves a weight by its own perturbation
    atol = rounding * configuration.stddev * size_of_noise * (np.abs(wanted_losses).mean() + 1)
    assert_close(found, wanted, atol=atol, what="weights after one step")
    can_learn = mask is None and not (network.softmax and network.n_output == 1)  # one class is always certain
    if can_learn and configuration.stddev >= 0.1 and case.scale == 1 and configuration.batch_size >= 8:
        moved = np.abs(wanted - weights).max()
        assert moved > 40 * atol, "the step is too small for this comparison to mean anything"


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(cases())
def test_any_shape(case: Case) -> None:
    _check(case)


SEVERAL_TILES = Case(
    FreeNetwork(3, 2, 6, sequence_input=True),
    WalkConfiguration(stddev=0.1, batch_size=4100, timesteps=3),
    threads=2,
)
HIDDEN_130 = Case(
    FreeNetwork(3, 2, 130), WalkConfiguration(stddev=0.05, batch_size=200, timesteps=3), scale=0.2, threads=2
)
HIDDEN_130_XOSHIRO = HIDDEN_130._replace(configuration=replace(HIDDEN_130.configuration, generator="xoshiro"))
HIDDEN_130_SIGNS = Case(
    FreeNetwork(3, 2, 130, sequence_output=True),
    WalkConfiguration(stddev=0.05, batch_size=65, timesteps=2, noise="rademacher", sides="two"),
    scale=0.2,
    masked=True,
)


@pytest.mark.parametrize(
    "case",
    [SEVERAL_TILES, HIDDEN_130, HIDDEN_130_SIGNS, HIDDEN_130_XOSHIRO],
    ids=["several tiles", "130 hidden", "130 hidden, signs", "130 hidden, xoshiro"],
)
def test_large(case: Case) -> None:
    _check(case)


def test_the_large_cases_cover_several_tiles_chunks_and_tilings() -> None:
    many = tiling_of(shape_of(SEVERAL_TILES.network, 3), 4100)
    wide = tiling_of(shape_of(HIDDEN_130.network, 3), 200)
    assert many.n_tiles > many.n_chunks > 1
    assert many.groups > wide.groups == 1
    assert wide.n_tiles > 2


def test_shapes_are_runtime_values_and_recompile_nothing() -> None:
    _check(SEVERAL_TILES)
    _check(Case(FreeNetwork(1, 1, 0), WalkConfiguration(stddev=0.1, batch_size=1, timesteps=1)))
    _check(Case(FreeNetwork(6, 5, 20, softmax=True), WalkConfiguration(stddev=0.1, batch_size=99, timesteps=7)))
    for dispatcher in (train, train_parallel, run_network):
        assert len(dispatcher.signatures) == 1, dispatcher


def test_columns_of_a_table_recompile_nothing() -> None:
    """They may come transposed, read-only or strided: all the kernels see is rows."""
    network = FreeNetwork(3, 2, 5)
    random = np.random.default_rng(4)
    weights = random.uniform(-1, 1, (network.n_from, network.n_to))
    x, y = random.uniform(0, 1, (20, 3)), random.uniform(0, 1, (20, 2))
    expected = run_on_arrays(network, weights, x, y, 4)
    fixed = x.astype(np.float32)
    fixed.flags.writeable = False
    spread = np.zeros((40, 6))
    spread[::2, ::2] = x
    for other in (np.asfortranarray(x), spread[::2, ::2]):
        outputs, losses = run_on_arrays(network, weights, other, np.asfortranarray(y), 4)
        np.testing.assert_array_equal(outputs, expected[0])
        np.testing.assert_array_equal(losses, expected[1])
    run_on_arrays(network, weights, fixed, y, 4)
    assert len(run_network.signatures) == 1


def test_one_hot_integers_are_the_dense_input_and_target() -> None:
    network = FreeNetwork(
        4, 3, 5, sequence_input=True, sequence_output=True, softmax=True, loss="categorical_crossentropy"
    )
    random = np.random.default_rng(2)
    x, y = random.integers(0, 4, (20, 6)), random.integers(0, 3, (20, 6))
    weights = random.uniform(-1, 1, (network.n_from, network.n_to))
    outputs, losses = run_on_arrays(network, weights, x, y, 6)
    dense_outputs, dense_losses = run_on_arrays(network, weights, np.eye(4)[x], np.eye(3)[y], 6)
    np.testing.assert_array_equal(outputs, dense_outputs)
    np.testing.assert_array_equal(losses, dense_losses)
    with pytest.raises(ValueError, match=r"one-hot indices must lie in 0\.\.3"):
        run_on_arrays(network, weights, x + 1, y, 6)


@pytest.mark.parametrize("sides", ["one", "two"])
def test_given_noise_and_drawn_noise_are_the_same_step(sides: Sides) -> None:
    """Normals given as float32 differ from drawn ones by an ulp, so the updates do by some eps of their size."""
    case = Case(
        FreeNetwork(3, 2, 9), WalkConfiguration(stddev=0.1, batch_size=100, timesteps=3, sides=sides), seed=8, step=5
    )
    network, configuration = case.network, case.configuration
    weights, x, y, _ = _arrays(case)
    noise = unit_perturbations(network.n_from, network.n_to, seed=8, step=5, datapoints=np.arange(100))
    drawn = step_on_arrays(network, configuration, weights, x, y, seed=8, step=5)
    given_ = step_on_arrays(network, configuration, weights, x, y, unit_noise=noise)
    other = step_on_arrays(network, configuration, weights, x, y, seed=8, step=6)
    size = largest_difference(drawn, weights)
    assert_close(given_, drawn, atol=1e-4 * size)
    assert largest_difference(other, drawn) > 0.1 * size


def test_a_permutation_of_datapoints_with_their_noise_changes_rounding_only() -> None:
    """The sums run in another order: an update of size u changes by some eps * u; without its noise it is another."""
    case = Case(FreeNetwork(3, 2, 9), WalkConfiguration(stddev=0.1, batch_size=333, timesteps=3))
    network, configuration = case.network, case.configuration
    weights, x, y, _ = _arrays(case)
    noise = unit_perturbations(network.n_from, network.n_to, seed=4, step=0, datapoints=np.arange(333))
    order = np.random.default_rng(0).permutation(333)
    before = step_on_arrays(network, configuration, weights, x, y, unit_noise=noise)
    after = step_on_arrays(network, configuration, weights, x[order], y[order], unit_noise=noise[order])
    torn = step_on_arrays(network, configuration, weights, x[order], y[order], unit_noise=noise)
    size = largest_difference(before, weights)
    assert_close(after, before, atol=1e-5 * size)
    assert largest_difference(torn, before) > 1e-2 * size


@pytest.mark.parametrize("threads", [1, 3])
def test_no_perturbation_moves_nothing(threads: int) -> None:
    case = Case(FreeNetwork(3, 2, 9), WalkConfiguration(stddev=0.0, batch_size=130, timesteps=3))
    weights, x, y, _ = _arrays(case)
    after = step_on_arrays(case.network, case.configuration, weights, x, y, threads=threads)
    np.testing.assert_array_equal(after, weights)


NETWORK = FreeNetwork(3, 2, 1)
ZEROS: dict[str, Any] = {
    "weights": np.zeros((7, 3)),
    "x": np.zeros((4, 3)),
    "y": np.zeros((4, 2)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((4, 2))}, r"x must have shape \(B, 3\), got \(4, 2\)"),
        ({"x": np.zeros((4, 5, 3))}, r"x must have shape \(B, 3\), got \(4, 5, 3\)"),
        ({"y": np.zeros((4, 3))}, r"y must have shape \(B, 2\), got \(4, 3\)"),
        ({"y": np.zeros((5, 2))}, "as many datapoints, got 4 and 5"),
        ({"unit_noise": np.zeros((3, 7, 3))}, r"unit_noise must have shape \(4, 7, 3\), got \(3, 7, 3\)"),
        ({"mask": np.ones((3, 7), bool)}, r"mask must be boolean of shape \(7, 3\)"),
        ({"mask": np.ones((7, 3))}, "mask must be boolean"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    configuration = WalkConfiguration(stddev=0.1, batch_size=4, timesteps=5)
    with pytest.raises(ValueError, match=message):
        step_on_arrays(NETWORK, configuration, **(ZEROS | change))


def test_a_seed_that_does_not_fit_is_refused() -> None:
    configuration = WalkConfiguration(stddev=0.1, batch_size=4, timesteps=5)
    with pytest.raises(ValueError, match="seed must be between"):
        step_on_arrays(NETWORK, configuration, **ZEROS, seed=-1)


def test_weights_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        run_on_arrays(NETWORK, np.zeros((7, 1)), ZEROS["x"], ZEROS["y"], 5)
