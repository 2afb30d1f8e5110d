"""Rungs that check gradients: of one neuron, of its weights, of a hidden layer."""

from __future__ import annotations

from collections.abc import Mapping

from freewalk.harness.base.text import counted
from freewalk.harness.gradcheck.cell import CellCheck, batch_of, check_cell, exact_gradient, judge_gradient, layers_of
from freewalk.harness.gradcheck.report import Report
from freewalk.harness.ladder.rung import Attempt, Setting
from freewalk.harness.ladder.tasks import checked_values, options_of
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import Scalar

NEURON, HIDDEN_LAYER = "2-1", "2-3-1"
_SAMPLES = 200


def neuron_gradient(setting: Setting) -> Attempt:
    """Check the derivative by the weighted sum of one neuron, which is that by its bias."""
    problem = _problem(BACKPROP.name, NEURON, {})
    weights = problem.initial_weights(setting.seed)
    data = batch_of(problem, setting.seed, 0)
    analytic = exact_gradient(problem, weights, data)
    biases = [layer for layer in layers_of(problem) if layer.is_bias]
    report = judge_gradient(problem, weights, data, analytic, biases)
    return Attempt(report.passed, _figures(report), _faults(report))


def weight_gradient(setting: Setting) -> Attempt:
    """Check the gradient of one neuron weight by weight, and what a step of the method takes for it."""
    return _check(setting, NEURON)


def hidden_gradient(setting: Setting) -> Attempt:
    """Check the gradient of a network with a hidden layer, and what a step of the method takes for it."""
    return _check(setting, HIDDEN_LAYER)


def _problem(method: str, architecture: str, own: Mapping[str, str]) -> ResolvedProblem:
    parameters: dict[str, Scalar] = {"batch_size": 16, **METHODS[method].checked_with}
    return resolve_problem("and", method, {**parameters, **checked_values({**options_of(architecture, method), **own})})


def _check(setting: Setting, architecture: str) -> Attempt:
    problem = _problem(setting.method, architecture, setting.own)
    found = check_cell(problem, setting.backend, seed=setting.seed, samples=_SAMPLES)
    return Attempt(found.passed, _all_figures(found), _all_faults(found))


def _figures(report: Report) -> str:
    largest = max((layer.max_error for layer in report.layers), default=0.0)
    return f"{counted(report.n_weights, 'derivative')}, largest relative error {largest:.1e}"


def _all_figures(found: CellCheck) -> str:
    parts = [_figures(found.exact)]
    if found.stepped is not None:
        parts.append(f"a step's gradient off by {max(layer.distance for layer in found.stepped.layers):.1e}")
    if found.estimate is not None:
        whole = found.estimate.whole
        parts.append(f"estimate's cosine {whole.cosine:.3f}, bias {whole.bias:+.3f} ± {whole.standard_error:.3f}")
    if found.direction is not None:
        parts.append(found.direction.sentence)
    return "; ".join(parts)


def _faults(report: Report) -> str:
    return "; ".join(fault.sentence for fault in report.faults)


def _all_faults(found: CellCheck) -> str:
    parts = [_faults(found.exact)]
    if found.stepped is not None and not found.stepped.passed:
        parts.append(f"in a training step: {_faults(found.stepped)}")
    if found.estimate is not None and found.estimate_must_pass and not found.estimate.passed:
        parts.append(f"the estimate is biased by {found.estimate.whole.bias:+.2f} along the gradient")
    if found.direction is not None and not found.direction.passed:
        parts.append(found.direction.sentence)
    return "; ".join(part for part in parts if part)
