"""The perturbation family on a GPU, or in the emulator: packs of trials, each moving as the float64 reference does.

A pack's trials share kernels, so each pack below mixes all that is not compiled in: batch sizes that no tile divides,
timesteps, datapoints of a perturbation, shaping and optimiser.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from freewalk.kernels.cuda.device import why_unusable
from freewalk.kernels.data.task_functions import compiled_fill, data_words, uniform
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.trainers.node import NODE, NodeConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

POINTS = 20
_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_FIRST_TARGET_BLOCK, _AN_EIGHTH, _NAN = 1 << 20, 1 << 29, np.float32(np.nan)


def random_datapoint(
    seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
) -> None:
    """Write inputs in [-1, 1) and targets in [0, 1), an eighth of them NaN, of whatever shape the network has."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            words = data_words(seed, stream, step, index, row * x.shape[1] + column)
            x[row, column] = _TWO * uniform(words[0]) - _ONE
    for row in range(y.shape[0]):
        for column in range(y.shape[1]):
            words = data_words(seed, stream, step, index, _FIRST_TARGET_BLOCK + row * y.shape[1] + column)
            y[row, column] = uniform(words[0])
            if words[1] < _AN_EIGHTH:
                y[row, column] = _NAN


def data() -> Data:
    return Data(int(compiled_fill(random_datapoint).address), 0, random_datapoint)


BASE = WalkConfiguration(
    stddev=0.1, batch_size=24, timesteps=3, update="normalised", optimizer="momentum", learning_rate=0.3
)
FREE = FreeNetwork(4, 3, 9)
LEAKY = replace(FREE, hidden_activation="relu", output_activation="linear", leak=0.4)
SEQUENCES = FreeNetwork(3, 4, 6, True, True, True, "categorical_crossentropy", "tanh", "linear", leak=0.7)
LAYERED = LayeredNetwork((5, 7, 4, 3), hidden_activation="tanh", output_activation="linear")


def some_mask(network: FreeNetwork) -> Any:
    """Return a mask of which many columns have rows of their own, some the same, and one none at all."""
    mask = np.random.default_rng(5).random((network.n_from, network.n_to)) < 0.6
    mask[:, 2] = mask[:, 5]
    mask[:, 7] = False
    return mask


def trials_of(shared: dict[str, Any], *others: dict[str, Any]) -> list[PackTrial]:
    return [PackTrial(replace(BASE, **shared | more), seed) for seed, more in enumerate(others, 3)]


ADAM = {"optimizer": "adam", "learning_rate": 0.05}
SIGNS = {"noise": "rademacher"}
TANGENT = {"tangent": "exact"}
ORTHOGONAL = {"directions": "orthogonal"}
TWO = {"sides": "two"}
SHARED = {"share_data": True}
STD, RANKS = {"shaping": "std"}, {"shaping": "ranks"}
PACKS: dict[str, tuple[FreeNetwork, Any, list[PackTrial]]] = {
    "rank 1": (
        FREE,
        None,
        trials_of(
            {"rank": 1},
            {"batch_size": 21, "timesteps": 5, "update": "raw"},
            {"datapoints": 3, **STD, **ADAM},
            {"datapoints": 8, "batch_size": 40, **RANKS, "schedule": "cosine", "schedule_steps": 3},
            {"batch_size": 1, "timesteps": 1, "optimizer": "sgd"},
            {"datapoints": 300, "batch_size": 600, "timesteps": 2},
            {"batch_size": 300, **RANKS},
            {"batch_size": 300, **STD},
        ),
    ),
    "rank 3, signs, two sides, sequences": (
        SEQUENCES,
        None,
        trials_of(
            {"rank": 3, **SIGNS, **TWO},
            {"timesteps": 4},
            {"datapoints": 3, **SHARED, **RANKS},
            {"datapoints": 8, "timesteps": 1, **RANKS},
            {"datapoints": 2, "batch_size": 14, **SHARED, **STD, **ADAM},
        ),
    ),
    "rank 1, signs, shared data, layers": (
        LAYERED.free_network,
        LAYERED.mask,
        trials_of(
            {"rank": 1, **SIGNS, **SHARED},
            {},
            {"datapoints": 3, "batch_size": 27, **STD, **ADAM},
            {"datapoints": 12, **RANKS, "update": "normalised"},
            {"timesteps": 5, "update": "raw"},
        ),
    ),
    "rank 2, a mask": (
        LEAKY,
        some_mask(LEAKY),
        trials_of({"rank": 2}, {}, {"datapoints": 8, **STD, "timesteps": 2}, {"timesteps": 1, **RANKS}),
    ),
    "full, 3 or 4 datapoints": (
        SEQUENCES,
        None,
        trials_of({}, {"datapoints": 3, "batch_size": 27}, {"datapoints": 4, **RANKS, **ADAM, "timesteps": 5}),
    ),
    "tangents, rank 2, shared data, sequences": (
        SEQUENCES,
        None,
        trials_of({"rank": 2, **TANGENT, **SHARED}, {}, {"datapoints": 4, **RANKS, "timesteps": 4}),
    ),
    "tangents, full, layers": (
        LAYERED.free_network,
        LAYERED.mask,
        trials_of({**TANGENT, "datapoints": 4}, {}, {"batch_size": 28, "timesteps": 4}),
    ),
    "full, shared data": (LEAKY, None, trials_of(SHARED, {}, {**STD, "batch_size": 13, "timesteps": 1, **ADAM})),
    "full, signs, two sides, many datapoints, layers": (
        LAYERED.free_network,
        LAYERED.mask,
        trials_of(
            {**SIGNS, **TWO},
            {"datapoints": 12, **SHARED},
            {"datapoints": 6, **RANKS},
            {"datapoints": 8, "timesteps": 4},
        ),
    ),
    "full, two sides, ranks, a mask": (FREE, some_mask(FREE), trials_of(TWO | RANKS, {}, {**SHARED, "timesteps": 4})),
    "orthogonal, layers": (
        LAYERED.free_network,
        LAYERED.mask,
        trials_of(ORTHOGONAL, {"datapoints": 3, "batch_size": 150}, {"datapoints": 4, **STD}),
    ),
    "orthogonal, full, two sides": (
        replace(FREE, n_hidden=140),
        None,
        trials_of({**ORTHOGONAL, **TWO}, {}, {**RANKS, "batch_size": 10, "timesteps": 2}),
    ),
    "orthogonal, rank 2, a mask": (
        FREE,
        some_mask(FREE),
        trials_of(
            {**ORTHOGONAL, "rank": 2}, {"batch_size": 80}, {"datapoints": 3, **RANKS}, {"datapoints": 8, "timesteps": 1}
        ),
    ),
    "rank 1, too large for shared memory": (
        LayeredNetwork((600, 150, 20, 10)).free_network,
        LayeredNetwork((600, 150, 20, 10)).mask,
        trials_of({"rank": 1, **TWO}, {"learning_rate": 0.01}),
    ),
}
"""Between them they reach every branch of the kernels."""


def make_pack(network: FreeNetwork, mask: Any, trials: list[PackTrial]) -> Any:
    from freewalk.kernels.cuda.walk import CudaPack

    return CudaPack(network, data(), trials, evaluation_points=POINTS, mask=mask)


@pytest.mark.parametrize("name", PACKS)
def test_each_trial_of_a_pack_is_the_reference_s(name: str) -> None:
    network, mask, trials = PACKS[name]
    pack = make_pack(network, mask, trials)
    progress = pack.train(3)
    for k, (trial, made) in enumerate(zip(trials, progress, strict=True)):
        options: dict[str, Any] = {"seed": trial.seed, "evaluation_points": POINTS, "mask": mask}
        judge = ReferenceWalk(network, trial.configuration, data(), **options)
        start = judge.weights
        wanted = judge.train(3)
        change = judge.weights - start
        assert np.abs(change).max() > 0
        tolerance = 1e-3 if trial.configuration.optimizer == "adam" else 3e-5  # adam divides by small moments
        np.testing.assert_allclose(pack.weights(k) - start, change, rtol=0, atol=tolerance * np.abs(change).max())
        assert made.steps == 3
        assert made.loss == pytest.approx(wanted.loss, rel=1e-5)
        if mask is not None:
            assert (pack.weights(k)[~mask] == 0).all()


NODES: dict[str, tuple[Network, dict[str, Any]]] = {
    "free, sequences, two sides, signs": (SEQUENCES, {"sides": "two", "noise": "rademacher", "optimizer": "momentum"}),
    "free, a leak, activity": (LEAKY, {"activity": True, "optimizer": "adam"}),
    "layers": (LAYERED, {}),
    "layers, activity": (LAYERED, {"activity": True}),
}


@pytest.mark.parametrize("name", NODES)
def test_node_perturbation_is_the_reference_s(name: str) -> None:
    from freewalk.kernels.cuda.node import CudaNode

    network, own = NODES[name]
    timesteps = network.depth if isinstance(network, LayeredNetwork) else 4
    configuration = NodeConfiguration(batch_size=37, timesteps=timesteps, stddev=0.1, learning_rate=0.05, **own)
    options: dict[str, Any] = {"seed": 5, "evaluation_points": POINTS}
    device = CudaNode(network, configuration, data(), **options)
    judge: Any = NODE.start(network, configuration, data(), float64=True, **options)
    start = judge.weights
    np.testing.assert_array_equal(device.weights, start)
    found, wanted = device.train(3), judge.train(3)
    assert (found.steps, found.loss) == (3, pytest.approx(wanted.loss, rel=1e-5))
    change = judge.weights - start
    tolerance = 2e-3 if configuration.optimizer == "adam" else 3e-4
    np.testing.assert_allclose(device.weights - start, change, rtol=0, atol=tolerance * np.abs(change).max())
    np.testing.assert_allclose(device.evaluate(), judge.evaluate(), rtol=0, atol=1e-3)
    again = CudaNode(network, configuration, data(), **options)
    again.restore(device.state())
    again.train(1)
    device.train(1)
    np.testing.assert_array_equal(again.weights, device.weights)


@pytest.mark.parametrize("name", ["rank 1", "orthogonal, layers"])
def test_the_same_bits_alone_in_parts_and_in_rounds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of a few perturbations at a time change the order of sums, and nothing else."""
    from freewalk.kernels.cuda import family, slots
    from freewalk.kernels.cuda.walk import CudaWalk

    network, mask, trials = PACKS[name]
    pack = make_pack(network, mask, trials)
    pack.train(4)
    options: dict[str, Any] = {"seed": trials[1].seed, "evaluation_points": POINTS, "mask": mask}
    walks = [CudaWalk(network, trials[1].configuration, data(), **options) for _ in range(2)]
    walks[0].train(3)
    walks[1].restore(walks[0].state())
    walks[1].train(1)
    np.testing.assert_array_equal(walks[1].weights, pack.weights(1))
    assert walks[1].step == 4

    with monkeypatch.context() as patch:
        patch.setattr(slots, "_MOST_BYTES", 1)
        in_turn = make_pack(network, mask, trials)
        in_turn.train(4)
        assert in_turn.evaluate() == pack.evaluate()
        patch.setattr(family, "_MOST_VECTORS", 7 * 4 * pack._trials._family.width)
        in_rounds = make_pack(network, mask, trials)
        assert in_rounds._trials._family.most == 7
        in_rounds.train(4)
    for k in range(len(trials)):
        np.testing.assert_array_equal(in_turn.weights(k), pack.weights(k))
        np.testing.assert_allclose(in_rounds.weights(k), pack.weights(k), rtol=0, atol=2e-6)


def test_a_trial_stops_at_a_loss_that_is_not_finite_and_the_others_go_on() -> None:
    _, _, (first, second, *_) = PACKS["rank 1"]
    broken = np.full((FREE.n_from, FREE.n_to), 0.1)
    broken[0, 0] = np.nan
    pack = make_pack(FREE, None, [first, PackTrial(second.configuration, 1, broken)])
    good, bad = pack.train(3)
    assert good.steps == 3
    assert np.isfinite(good.loss)
    assert bad.steps == 1
    assert np.isnan(bad.loss)
    assert np.count_nonzero(pack.weights(1) == 0.1) == broken.size - 1


def test_arguments_of_launches_are_made_once() -> None:
    """Otherwise the host takes ten times as long as a small network's step: parts of numba-cuda have other names."""
    from freewalk.kernels.cuda.launching import _Prepared

    network, mask, trials = PACKS["rank 1"]
    with mock.patch.object(_Prepared, "__call__", autospec=True, side_effect=_Prepared.__call__) as launch:
        make_pack(network, mask, trials).train(2)
    assert launch.call_count == 2 * len({"draw", "losses", "judge", "rank", "accumulate", "finish"})


def test_a_pack_says_what_its_trials_must_agree_in() -> None:
    trials = trials_of({"rank": 1}, {}, {**SIGNS, "rank": 2})
    with pytest.raises(ValueError, match=r"must agree in what is compiled in; these differ in noise, rank$"):
        make_pack(FREE, None, trials)
