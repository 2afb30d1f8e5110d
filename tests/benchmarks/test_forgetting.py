"""The comparison of gradients by lag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import forgetting
from benchmarks.forgetting import NETWORK, TIMESTEPS, measure


@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_what_a_trace_keeps(leak: float) -> None:
    """Lag 1 is exact with the outputs' own weights; without a leak there is nothing else."""
    found = measure(replace(NETWORK, n_hidden=4, leak=leak), seed=1)
    symmetric = found["RFLO, symmetric"]
    assert symmetric.cosine[0] == pytest.approx(1, abs=1e-12)
    assert symmetric.ratio[0] == pytest.approx(1, abs=1e-12)
    assert symmetric.cosine.shape == (TIMESTEPS - 1,)
    for rule in ("RFLO, symmetric", "RFLO, random"):
        assert (found[rule].ratio[1:] > 0).all() == (leak < 1)
    assert (np.abs(found["UORO"].cosine) < 1).all()
    assert found["UORO"].ratio.min() > 0


def test_parts_add_up() -> None:
    """The parts of all timesteps are what a rule takes for the gradient, without what needs no memory."""
    network, seed = replace(NETWORK, n_hidden=4, leak=0.5), 2
    weights = forgetting.initial_weights(network.n_from, network.n_to, seed)
    ran = forgetting.run_batch(network, weights, seed)
    for make in forgetting.rules(network, weights, seed).values():
        carried = make()
        for entering, slopes in zip(ran.entering[:-1], ran.slopes, strict=True):
            carried.advance(entering, slopes)
        whole = carried.credit(ran.deltas).mean(axis=0)
        np.testing.assert_allclose(np.sum(forgetting.parts_of(ran, make), axis=0), whole, rtol=1e-9, atol=1e-12)
