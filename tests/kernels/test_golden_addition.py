"""The addition programs' own traces, computed by them in float64: the trainers' passes under the programs' rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.original_programs import AdditionProgram, Program

FOLDER = Path(__file__).parents[1] / "golden"
PROGRAMS: list[Program] = ["backprop", "layers", "synthetic_bias", "synthetic_all_layers"]


def _load(program: Program) -> tuple[AdditionProgram, dict[str, NDArray[Any]]]:
    with np.load(FOLDER / f"addition_{program}.npz") as arrays:
        case = dict(arrays)

    def each(name: str) -> list[NDArray[np.float64]]:
        return [case[f"{name}_{layer}"] for layer in range(3) if f"{name}_{layer}" in case]

    made = AdditionProgram(
        program,
        each("weights"),
        float(case["alpha"]),
        int(case["batch_size"]),
        biases=each("bias"),
        predictors=each("synthetic"),
        predictor_biases=each("synthetic_bias"),
    )
    return made, case


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_first_fifty_iterations(program: Program) -> None:
    """Rounding alone differs: 1e-12 at first, growing through training."""
    made, case = _load(program)
    noted, predictor = [], []
    for _ in range(50):
        noted.append(made.iterate(case["x"], case["y"]))
        predictor.append(made.predictor_error)
    np.testing.assert_allclose(noted[:5], case["loss"][:5], rtol=1e-12)
    np.testing.assert_allclose(noted, case["loss"][:50], rtol=1e-6)
    assert noted[-1] != pytest.approx(noted[0], rel=1e-4), "a trace that stands still would compare nothing"
    if program == "synthetic_bias":
        np.testing.assert_allclose(predictor[:5], case["synthetic_loss"][:5], rtol=1e-12)
        np.testing.assert_allclose(predictor, case["synthetic_loss"][:50], rtol=1e-6)


def test_the_last_program_saturates() -> None:
    """Its own error falls to a seventh while half of the bits and every row are wrong: outputs near 0."""
    made, case = _load("synthetic_all_layers")
    noted = [made.iterate(case["x"], case["y"]) for _ in range(60)]
    outputs = made.outputs(case["x"])
    right = (outputs > 0.5) == (case["y"] > 0.5)
    assert noted[-1] < noted[0] / 7
    assert 0.45 < right.mean() < 0.55
    assert right.all(axis=1).mean() == float(case["final_row_accuracy"]) == 0
    assert (outputs < 0.1).mean() > 0.9
