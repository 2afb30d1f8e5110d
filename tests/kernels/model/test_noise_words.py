"""Addresses and integers: every generator gives the same words for the same (seed, stream, step, datapoint, block)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import EXAMPLE, draw, draw_many
from numpy.typing import NDArray
from tolerance import EPS, assert_close

from freewalk.kernels.cpu.layout import NoiseSource, Shape, from_padded, shape_of, to_padded
from freewalk.kernels.data import task_functions as data
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.model import noise
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Kind, Stream

KNOWN_ANSWERS = [
    # counter, key, output: Random123's kat_vectors for philox4x32, 10 rounds
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
XOSHIRO = (641, 1573767, 3222811527, 3517856514, 836907274, 4247214768, 3867114732, 1355841295, 495546011, 621204420)
"""xoshiro128++ from the state 1, 2, 3, 4, by the reference implementation; rand_xoshiro tests these."""
_data_words = data.data_words
ODD_SIZES = [
    FreeNetwork(1, 1, 0),  # 3 rows: one padding row
    FreeNetwork(3, 2, 30),  # 36 rows: no padding
    FreeNetwork(2, 3, 126),  # 132 rows: more than the 128 of a Rademacher block
    FreeNetwork(4, 1, 155),  # 161 rows: 3 padding rows
]
ADDRESSES = [(0, 0, 0), (7, 3, 16), (2**64 - 1, 2**32 - 1, 2**32 - 16), (0x1234_5678_9ABC_DEF0, 12_345, 1_000_000)]


@uncached_kernel
def _words_of(seed: int, stream: int, step: int, datapoint: int, block: int) -> tuple[Any, Any, Any, Any]:
    return _data_words(seed, stream, step, datapoint, block)


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_numpy_philox_known_answers(counter: tuple[int, ...], key: tuple[int, int], output: tuple[int, ...]) -> None:
    assert tuple(noise.philox(counter, key[0] | key[1] << 32).tolist()) == output


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_compiled_philox_known_answers(counter: tuple[int, ...], key: tuple[int, int], output: tuple[int, ...]) -> None:
    block, datapoint, step, stream = (np.uint32(word) for word in counter)
    seed = np.uint64(key[0] | key[1] << 32)
    assert tuple(int(word) for word in _words_of(seed, stream, step, datapoint, block)) == output


def test_key_schedule_starts_with_the_seed_and_adds_the_weyl_constants() -> None:
    keys = noise.key_schedule(0xFFFFFFFF_00000001)
    assert keys[:4].tolist() == [1, 0xFFFFFFFF, 1 + 0x9E3779B9, 0xBB67AE84]
    assert keys.max() < 2**32


def test_xoshiro_known_answers() -> None:
    assert tuple(noise.xoshiro(np.array([1, 2, 3, 4], dtype=np.uint32), len(XOSHIRO)).tolist()) == XOSHIRO


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed must be between"):
        noise.key_schedule(seed)


def test_counters_are_block_datapoint_step_stream() -> None:
    assert noise.counters([5, 6], 7, 8, Stream.DATA).tolist() == [[5, 7, 8, 2], [6, 7, 8, 2]]


def test_uniform_takes_the_top_24_bits() -> None:
    words = np.array([0, 0xFF, 0x100, 0x80000000, 0xFFFFFFFF], dtype=np.uint32)
    expected = np.array([0, 0, 2.0**-24, 0.5, 1 - 2.0**-24])
    np.testing.assert_array_equal(noise.uniform_from_words(words), expected)


def test_signs_come_lowest_bit_first_and_a_set_bit_is_minus() -> None:
    signs = noise.sign_from_words(np.array([0b101, 0x80000000], dtype=np.uint32))
    assert np.flatnonzero(signs < 0).tolist() == [0, 2, 63]
    assert set(signs.tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("network", ODD_SIZES, ids=lambda network: f"{network.n_from}x{network.n_to}")
@pytest.mark.parametrize(("seed", "step", "first"), ADDRESSES)
def test_vector_signs_are_the_reference_signs(network: FreeNetwork, seed: int, step: int, first: int) -> None:
    """Signs show every bit that is used: equal signs are equal integers."""
    found = draw_many(network, 1, seed=seed, step=step, first=first, noise="rademacher")
    wanted = noise.unit_perturbations(
        network.n_from, network.n_to, seed=seed, step=step, datapoints=np.arange(first, first + 16), noise="rademacher"
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("network", ODD_SIZES, ids=lambda network: f"{network.n_from}x{network.n_to}")
@pytest.mark.parametrize(("seed", "step", "first"), ADDRESSES)
@pytest.mark.parametrize("kind", ["gaussian", "gaussian-xoshiro"])
def test_vector_normals_are_the_reference_normals(
    network: FreeNetwork, seed: int, step: int, first: int, kind: Kind
) -> None:
    """Other integers would be off by about 1; the bound is that of test_functions, radii near 0 included."""
    found = draw_many(network, 1, seed=seed, step=step, first=first, noise=kind)
    wanted = noise.unit_perturbations(
        network.n_from, network.n_to, seed=seed, step=step, datapoints=np.arange(first, first + 16), noise=kind
    )
    assert_close(found, wanted, atol=3e-5, k=2)
    assert np.median(np.abs(found - wanted)) < EPS


@pytest.mark.parametrize("kind", noise.NOISES)
def test_a_later_group_draws_what_it_draws_alone(kind: Kind) -> None:
    together = draw_many(EXAMPLE, 3, seed=5, step=2, first=32, noise=kind)
    alone = draw_many(EXAMPLE, 1, seed=5, step=2, first=64, noise=kind)
    np.testing.assert_array_equal(together[32:], alone)


def _draw(shape: Shape, kind: int, mask: NDArray[np.bool_], given: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the unit perturbations of datapoints 0 .. 15, (16, n_from, n_to), written past an offset of one group."""
    size = shape.n_to * shape.n_rows * 16
    drawn = np.full(2 * size, 7.0, dtype=np.float32)
    by_position = to_padded(mask, shape) if mask.size else np.zeros(0, np.bool_)
    draw(shape, NoiseSource(kind, np.uint64(3), noise.key_schedule(3), given, by_position), 0, 1, drawn, size)
    assert (drawn[:size] == 7.0).all()
    lanes = drawn[size:].reshape(-1, 16).T.astype(np.float64)
    return np.stack([from_padded(lane, shape) for lane in lanes])


@pytest.mark.parametrize("name", noise.NOISES)
def test_masked_weights_are_not_perturbed_and_the_others_keep_their_noise(name: Kind) -> None:
    network = FreeNetwork(2, 1, 4)
    mask = np.arange(network.n_weights).reshape(network.n_from, network.n_to) % 3 > 0
    drawn = _draw(shape_of(network, 1), noise.NOISE_CODES[name], mask, np.zeros((0, 0, 0), np.float32))
    wanted = noise.unit_perturbations(
        network.n_from, network.n_to, seed=3, step=1, datapoints=np.arange(16), noise=name
    )
    assert (drawn[:, ~mask] == 0).all()
    assert_close(drawn, wanted * mask, atol=3e-5, k=2)


def test_initial_weights_are_glorot_uniform() -> None:
    """The bound is exact; mean and variance of 40,602 uniform numbers lie within 4 standard errors."""
    n_from, n_to = 202, 201
    weights = noise.initial_weights(n_from, n_to, seed=11)
    bound = np.sqrt(6 / (n_from + n_to))
    n = weights.size
    assert weights.shape == (n_from, n_to)
    assert np.abs(weights).max() <= bound
    assert np.abs(weights).max() > 0.999 * bound
    scaled = weights / bound
    assert abs(scaled.mean()) < 4 * np.sqrt(1 / 3 / n)
    assert abs((scaled**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / n)  # var(u²) = 1/5 - 1/9
    assert not np.array_equal(weights, noise.initial_weights(n_from, n_to, seed=12))
    np.testing.assert_array_equal(weights, noise.initial_weights(n_from, n_to, seed=11))


def test_no_two_purposes_share_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters as the code asks for them; those of data are (0, datapoint, step, stream), checked in tests/tasks."""
    used: list[NDArray[Any]] = []
    words: list[NDArray[np.uint32]] = []
    original = noise.philox

    def recording(counter: NDArray[Any], seed: int) -> NDArray[np.uint32]:
        used.append(np.asarray(counter).reshape(-1, 4))
        words.append(original(counter, seed).reshape(-1, 4))
        return original(counter, seed)

    monkeypatch.setattr(noise, "philox", recording)
    noise.initial_weights(7, 5, seed=1)
    for step in range(4):
        noise.unit_perturbations(7, 5, seed=1, step=step, datapoints=np.arange(6))
        recording(noise.counters(0, np.arange(6), step, Stream.DATA), 1)
    recording(noise.counters(0, np.arange(6), 0, Stream.EVALUATION_DATA), 1)

    n = 5 * 2 + 4 * 6 * (5 * 2) + 4 * 6 + 6  # columns * blocks of a column, steps * datapoints of each, ...
    counters = np.concatenate(used)
    assert len(counters) == n
    assert len(np.unique(counters, axis=0)) == n
    assert len(np.unique(np.concatenate(words), axis=0)) == n


@pytest.mark.parametrize("stream", list(Stream))
def test_streams_give_different_words(stream: Stream) -> None:
    addresses = [noise.counters(0, np.arange(100), 0, other) for other in Stream]
    own = noise.philox(addresses[stream], 9)
    for other in Stream:
        same = noise.philox(addresses[other], 9) == own
        assert same.all() if other == stream else same.mean() < 0.01
