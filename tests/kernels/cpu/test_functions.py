"""The polynomials of freewalk.kernels.cpu.functions against float64, over dense ranges.

Bounds are in ulp of the float32 result, each what was measured (in brackets) and at most 0.2 on top: a polynomial that
is off by more than half an eps anywhere goes beyond them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.cpu import functions
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES, bits_of, load_f32, store
from freewalk.kernels.model.noise import normal_from_words

_LANES = LANES
LARGEST_NORMAL = np.sqrt(-2 * np.log(2.0**-31))
_exp, _sigmoid, _log, _box_muller = functions.exp, functions.sigmoid, functions.log, functions.box_muller


@uncached_kernel
def _map_exp(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for i in range(0, len(x), _LANES):
        store(out, i, _exp(load_f32(x, i)))


@uncached_kernel
def _map_sigmoid(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for i in range(0, len(x), _LANES):
        store(out, i, _sigmoid(load_f32(x, i)))


@uncached_kernel
def _map_log(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for i in range(0, len(x), _LANES):
        store(out, i, _log(load_f32(x, i)))


@uncached_kernel
def _map_box_muller(
    radius: NDArray[np.float32], angle: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]
) -> None:
    for i in range(0, len(radius), _LANES):
        a, b = _box_muller(bits_of(load_f32(radius, i)), bits_of(load_f32(angle, i)))
        store(first, i, a)
        store(second, i, b)


def _apply(function: Any, x: Any) -> NDArray[np.float32]:
    x = np.asarray(x, dtype=np.float32)
    padded = np.zeros(-(-len(x) // LANES) * LANES, dtype=np.float32)
    padded[: len(x)] = x
    out = np.full_like(padded, np.nan)
    function(padded, out)
    return out[: len(x)]


def _normals(radius_words: Any, angle_words: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (compiled, reference) normals, each (n, 2)."""
    words = np.stack(np.broadcast_arrays(radius_words, angle_words), axis=-1).astype(np.uint32)
    padded = np.zeros((-(-len(words) // LANES) * LANES, 2), dtype=np.uint32)
    padded[: len(words)] = words
    radius, angle = (np.ascontiguousarray(column).view(np.float32) for column in padded.T)
    first, second = np.empty_like(radius), np.empty_like(radius)
    _map_box_muller(radius, angle, first, second)
    return np.stack([first, second], axis=-1)[: len(words)].astype(np.float64), normal_from_words(words)


def _worst_ulp(found: NDArray[np.float32], wanted: NDArray[np.float64]) -> float:
    ulp = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    return float((np.abs(found - wanted) / ulp).max())


def _dense_floats(low: float, high: float, n: int = 1 << 21) -> NDArray[np.float32]:
    """Return floats of either sign spread evenly over the bit patterns from `low` to `high`."""
    ends = np.array([low, high], dtype=np.float32).view(np.uint32)
    return np.linspace(int(ends[0]), int(ends[1]), n).astype(np.uint32).view(np.float32)


@pytest.fixture(scope="module")
def both_signs() -> NDArray[np.float32]:
    magnitudes = _dense_floats(1e-8, 86.9)
    return np.concatenate([magnitudes, -magnitudes, np.linspace(-86.9, 86.9, 1 << 21, dtype=np.float32)])


def test_exp(both_signs: NDArray[np.float32]) -> None:
    assert _worst_ulp(_apply(_map_exp, both_signs), np.exp(both_signs.astype(np.float64))) < 1.15  # [1.06]


def test_exp_is_held_within_its_bounds() -> None:
    found = _apply(_map_exp, [87, 88, 1e30, np.inf, -87, -88, -1e30, -np.inf])
    assert np.isfinite(found).all()
    assert (found[:4] == found[0]).all()
    assert (found[4:] == found[4]).all()
    np.testing.assert_allclose(found[[0, 4]], np.exp([87.0, -87.0]), rtol=2e-7)


def test_sigmoid(both_signs: NDArray[np.float32]) -> None:
    wanted = 1 / (1 + np.exp(-both_signs.astype(np.float64)))
    assert _worst_ulp(_apply(_map_sigmoid, both_signs), wanted) < 2.6  # [2.44]


def test_sigmoid_saturates() -> None:
    found = _apply(_map_sigmoid, [np.inf, 1e30, 100, -np.inf, -1e30, -100])
    assert (found[:3] == 1).all()
    assert ((found[3:] >= 0) & (found[3:] < 2e-38)).all()


@pytest.mark.parametrize("function", [_map_exp, _map_sigmoid, _map_log], ids=["exp", "sigmoid", "log"])
def test_nan_stays_nan(function: Any) -> None:
    found = _apply(function, [np.nan, 1.0, -np.nan, 2.0])
    assert np.isnan(found).tolist() == [True, False, True, False]


def test_log() -> None:
    x = _dense_floats(1.1754943508222875e-38, 3e38)
    x = np.concatenate([x, np.linspace(0.5, 2, 1 << 21, dtype=np.float32)])
    assert _worst_ulp(_apply(_map_log, x), np.log(x.astype(np.float64))) < 2.4  # [2.26]


def test_log_of_one_and_below_the_normal_numbers() -> None:
    found = _apply(_map_log, [1.0, 0.0, 1e-42, 1.1754943508222875e-38])
    assert found[0] == 0
    assert (found[1:] == found[3]).all()
    assert np.isfinite(found).all()


def test_box_muller() -> None:
    """Float32 rounds u and log(u) near 1 by eps / 2 absolutely, which moves a radius r by eps / r: hence the bound."""
    random = np.random.default_rng(1)
    n = 1 << 21
    found, wanted = _normals(*random.integers(0, 2**32, (2, n)))
    radius = np.hypot(*wanted.T)[:, None]
    bound = np.finfo(np.float32).eps * (radius + 1 / radius)
    assert (np.abs(found - wanted) / bound).max() < 1.6  # [1.49]


def test_box_muller_on_the_whole_circle() -> None:
    """At a fixed radius only sine and cosine are left: errors within 1.4 eps of it, zeros in the right places."""
    found, wanted = _normals(0x40000000, np.linspace(0, 2**32 - 1, 1 << 20).astype(np.uint64))
    radius = np.hypot(*wanted.T)[:, None]
    assert (np.abs(found - wanted) / radius).max() < 1.4 * np.finfo(np.float32).eps  # [1.27]
    axes, _ = _normals(0x40000000, np.arange(4) << 30)
    r = axes[0, 0]
    np.testing.assert_array_equal(axes, [[r, 0], [0, r], [-r, 0], [0, -r]])


def test_box_muller_at_the_ends_of_the_radius() -> None:
    """Words 0 and 1 are both u = 2**-31, the largest radius; 2**32 - 1 rounds to u = 1, the radius 0."""
    found, wanted = _normals([0, 1, 2**32 - 1], 0)
    assert found[0, 0] == found[1, 0] <= 6.56
    np.testing.assert_allclose(found[:2, 0], LARGEST_NORMAL, rtol=2e-7)
    np.testing.assert_allclose(wanted[:2, 0], LARGEST_NORMAL, rtol=1e-15)
    assert found[2, 0] == 0
    assert 0 < wanted[2, 0] < 4e-5
