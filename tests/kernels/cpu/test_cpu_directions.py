"""Perturbations as plain arrays are those of `freewalk.kernels.model.directions`."""

from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose

from freewalk.kernels.cpu.directions import factors, full
from freewalk.kernels.model import directions as reference
from freewalk.kernels.model.directions import Block
from freewalk.kernels.model.noise import NOISES, Kind
from freewalk.kernels.model.walk import Directions

SHAPES = ((5, 3), (130, 7), (4, 1), (2, 40))
ROWS, COLUMNS = (np.cumsum([0, *sizes]) for sizes in zip(*SHAPES, strict=True))
BLOCKS = tuple(
    Block(np.arange(ROWS[k], ROWS[k + 1]), np.arange(COLUMNS[k], COLUMNS[k + 1])) for k in range(len(SHAPES))
)
WHERE = {"seed": 2**40 + 3, "step": 7}


@pytest.mark.parametrize("rank", [None, 1, 4])
@pytest.mark.parametrize("directions", get_args(Directions))
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("first", "last"), [(0, 3), (16, 49)])
def test_the_numbers_are_those_of_the_reference(
    rank: int | None, directions: Directions, noise: Kind, first: int, last: int
) -> None:
    if NOISES[noise].rows == 64 and directions == "orthogonal":
        pytest.skip("orthogonal perturbations have no generator")
    kind = {"noise": noise, "directions": directions, **WHERE}
    wanted = reference.unit_directions(
        BLOCKS, (ROWS[-1], COLUMNS[-1]), rank=rank, indices=np.arange(first, last), **kind
    )
    found = np.zeros_like(wanted)
    if rank is not None:
        a, b = factors(BLOCKS, rank=rank, first=first, last=last, **kind)
        products = np.einsum("kin,kim->knm", a.astype(float), b) / np.sqrt(rank)
    for number, (rows, columns) in enumerate(BLOCKS):
        where = np.ix_(np.arange(last - first), rows, columns)
        found[where] = products[where] if rank else full(BLOCKS, number, first=first, last=last, **kind)
    assert_allclose(found, wanted, atol=2e-5)  # of the logarithm of a number near 1, in float32
