"""The addition programs' own traces, computed by them in float64: the trainers' passes under the programs' rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from addition_programs import PROGRAMS, Case, drawn_again, errors_noted, program_of
from original_programs import Program
from threadpoolctl import threadpool_limits

FOLDER = Path(__file__).parents[2] / "golden"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1, user_api="blas"):
        yield


def _load(program: Program) -> Case:
    with np.load(FOLDER / f"addition_{program}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("seed", [None, 1, 2, 3], ids=lambda seed: "golden" if seed is None else str(seed))
@pytest.mark.parametrize("program", PROGRAMS)
def test_it_is_the_program_written_out_to_the_last_bit(program: Program, seed: int | None) -> None:
    """On any machine: both take the same matrix products of the same library."""
    case = _load(program) if seed is None else drawn_again(_load(program), seed)
    made = program_of(program, case)
    wanted, wanted_of_predictor = errors_noted(program, case, 50 if seed is None else 12)
    for step, (error, of_predictor) in enumerate(zip(wanted, wanted_of_predictor, strict=True)):
        assert made.iterate(case["x"], case["y"]) == error, step
        if program == "synthetic_bias":
            assert made.predictor_error == of_predictor, step
    assert wanted[-1] != pytest.approx(wanted[0], rel=1e-4), "a trace that stands still would compare nothing"


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_first_fifty_iterations(program: Program) -> None:
    """Every bit where the matrix products round as they did then (OpenBLAS for AVX-512).

    Elsewhere their rounding grows, to 3e-13 in 50 iterations with OpenBLAS's kernels for other processors.
    """
    case = _load(program)
    made = program_of(program, case)
    noted, predictor = [], []
    for _ in range(50):
        noted.append(made.iterate(case["x"], case["y"]))
        predictor.append(made.predictor_error)
    np.testing.assert_allclose(noted, case["loss"][:50], rtol=1e-10)
    if program == "synthetic_bias":
        np.testing.assert_allclose(predictor, case["synthetic_loss"][:50], rtol=1e-10)


def test_the_last_program_saturates() -> None:
    """Its own error falls to a seventh while half of the bits and every row are wrong: outputs near 0."""
    case = _load("synthetic_all_layers")
    made = program_of("synthetic_all_layers", case)
    noted = [made.iterate(case["x"], case["y"]) for _ in range(60)]
    outputs = made.outputs(case["x"])
    right = (outputs > 0.5) == (case["y"] > 0.5)
    assert noted[-1] < noted[0] / 7
    assert 0.45 < right.mean() < 0.55
    assert right.all(axis=1).mean() == float(case["final_row_accuracy"]) == 0
    assert (outputs < 0.1).mean() > 0.9
