"""The floor, counted by hand."""

from __future__ import annotations

import dataclasses

import pytest
from bench_standins import H200

from freewalk.harness.bench.floor import (
    Operations,
    floor_of,
    floor_row,
    live_activations,
    live_multiply_adds,
    operations,
)
from freewalk.harness.bench.rows import TimingRow
from freewalk.harness.bench.workloads import DEFAULT, Workload

TINY = Workload("default", hidden=1, timesteps=2, batch_size=10)
"""7 rows (3 inputs, bias, 2 outputs, 1 hidden), 3 columns (2 outputs, 1 hidden): 21 weights, 2 blocks a column."""


def test_live_multiply_adds_by_hand() -> None:
    # t = 0: 4 rows (inputs, bias) into 3 columns; t = 1, the last: 7 rows into 2 output columns
    assert live_multiply_adds(TINY.network, 2) == 4 * 3 + 7 * 2
    assert live_multiply_adds(TINY.network, 1) == 4 * 2
    assert live_activations(TINY.network, 2) == 3 + 2


def test_the_example_s_figures() -> None:
    """design: 46 % of the multiply-adds of a pass are dead, and 6.2 million live ones make a step with its update."""
    live = live_multiply_adds(DEFAULT.network, 4)
    assert 1 - live / (4 * 36 * 32) == pytest.approx(0.46, abs=0.005)
    assert 2 * 1000 * live + 1000 * 1152 == pytest.approx(6.2e6, rel=0.01)


def test_operations_by_hand() -> None:
    blocks = 10 * 3 * 2
    pairs = 2 * blocks
    multiply_adds = 2 * 10 * 21 + 2 * 10 * 26
    sigmoids = 2 * 10 * 5
    assert operations(TINY) == Operations(
        floats=pairs * 26 + multiply_adds + 2 * sigmoids,
        integers=blocks * 40 + pairs * 15,
        conversions=pairs * 3,
        specials=pairs * 1 + 2 * sigmoids,
    )
    assert operations(TINY) == Operations(4260, 4200, 360, 320)
    assert operations(TINY).total == 9140


def test_seconds_by_hand() -> None:
    """9,140 instructions at 128 a clock are 71.4 clocks; floats 33.3, integers 65.6, specials 20."""
    floor = floor_of(TINY, H200)
    assert floor is not None
    assert floor.bound == "issue"
    assert floor.seconds == pytest.approx(9140 / 128 / (132 * 1.98e9))
    three = floor_of(dataclasses.replace(TINY, n_trials=3), H200)
    assert three is not None
    assert three.seconds == pytest.approx(3 * floor.seconds)


def test_half_the_float_units_bind_where_networks_are_deep() -> None:
    """On compute capability 8.0, 64 floats a clock: at T 100 the network's multiply-adds are the larger part."""
    deep = Workload("timesteps", timesteps=100)
    a100 = dataclasses.replace(H200, compute_capability=(8, 0), multiprocessors=108, clock_mhz=1410.0)
    floor = floor_of(deep, a100)
    assert floor is not None
    assert floor.bound == "floats"
    assert floor.seconds == pytest.approx(operations(deep).floats / 64 / (108 * 1.41e9))


def row(median: float | None) -> TimingRow:
    return TimingRow(
        "trials", "freewalk", "cuda", 3, 10, 1, 2, "ms", median, None, None, None, 9, 1, None, None, None
    )  # fmt: skip


def test_a_row() -> None:
    found = floor_row(row(0.001), H200)
    assert found is not None
    assert (found.normals, found.multiply_adds, found.instructions) == (3 * 210, 3 * 940, 3 * 9140)
    assert found.floor == pytest.approx(3000 * 9140 / 128 / (132 * 1.98e9))
    assert found.share == pytest.approx(found.floor / 0.001)
    assert floor_row(row(None), H200) is None
    assert floor_row(row(0.001), dataclasses.replace(H200, compute_capability=(99, 0))) is None
