"""The plug-ins with the two faulty gradient programs, and with the task whose answer is an input."""

from __future__ import annotations

import pytest

from freewalk.harness.gradcheck.cell import CellCheck, check_cell
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.plugins import load_plugins
from freewalk.harness.reproducing.document import FOLDER
from freewalk.harness.reproducing.run import _rows_of
from freewalk.kernels.backend import resolve_backend
from freewalk.tasks.registry import TASKS
from freewalk.testing import check_task


def _checked(method: str, architecture: str = "2-3-1", task: str = "xor", seed: int = 0) -> CellCheck:
    load_plugins([str(FOLDER / "gradient_programs.py")])
    problem = resolve_problem(task, method, {"architecture": architecture, "batch_size": 16})
    return check_cell(problem, resolve_backend("cpu"), seed=seed, samples=2)


@pytest.mark.parametrize(("task", "architecture"), [("and", "2-1"), ("xor", "2-3-1"), ("sign", "1-4-4-1")])
def test_the_program_without_a_fault_passes(task: str, architecture: str) -> None:
    assert _checked("backprop-written-out", architecture, task).passed


def test_a_division_too_many_is_named_with_its_factor() -> None:
    found = _checked("backprop-divided").stepped
    assert found is not None
    (fault,) = found.faults
    assert fault.kind == "factor"
    assert fault.value == pytest.approx(1 / 16)
    assert "1 / 16 (cases)" in fault.sentence


@pytest.mark.parametrize("seed", range(4))
def test_derivatives_of_activations_with_the_wrong_sign_are_both_named(seed: int) -> None:
    found = _checked("backprop-of-activations", seed=seed).stepped
    assert found is not None
    assert sorted(fault.kind for fault in found.faults) == ["derivative", "sign"]
    assert any("derivative is taken of activations" in fault.sentence for fault in found.faults)


def test_the_task_whose_answer_is_an_input_is_sound() -> None:
    load_plugins([str(FOLDER / "bounded_input.py")])
    check_task(TASKS["second-alone"])


def test_a_commands_answer_is_flattened_into_tables() -> None:
    answer = {
        "task": "xor",
        "passed": False,
        "input": [0.0, 1.0],
        "stepped": {"n_missed": 2, "faults": [{"kind": "sign"}, {"kind": "factor", "value": 0.5}], "layers": []},
        "estimate": None,
    }
    assert _rows_of(answer) == {
        "command": [{"task": "xor", "passed": False, "input_0": 0.0, "input_1": 1.0, "stepped_n_missed": 2}],
        "stepped_faults": [{"task": "xor", "kind": "sign"}, {"task": "xor", "kind": "factor", "value": 0.5}],
    }
