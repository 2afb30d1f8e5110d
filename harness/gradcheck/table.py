"""The result of a gradient check on the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from freewalk.harness.gradcheck.cell import CellCheck
from freewalk.harness.gradcheck.estimate import EstimateReport
from freewalk.harness.gradcheck.report import Report

EXACT = "analytic against central differences, float64"


def print_check(check: CellCheck, console: Console, stepped: str, estimated: str) -> None:
    """Print the tables, the worst weights and the faults.

    Parameters
    ----------
    check
        What was found.
    stepped, estimated
        Headings for the training steps' gradient and estimates.
    """
    _print_report(check.exact, EXACT, console)
    if check.stepped is not None:
        _print_report(check.stepped, stepped, console)
    if check.estimate is not None:
        _print_estimate(check.estimate, estimated, console, must_pass=check.estimate_must_pass)
    if check.direction is not None:
        console.print(estimated, style="bold", highlight=False, markup=False, soft_wrap=True)
        console.print(f"  {check.direction.sentence}", highlight=False, markup=False, soft_wrap=True)


def as_json(check: CellCheck) -> dict[str, Any]:
    """Return everything as JSON holds it; numbers that are not finite as text."""
    found = {
        "passed": check.passed,
        "exact": check.exact.as_dict(),
        "stepped": None if check.stepped is None else check.stepped.as_dict(),
        "estimate": None if check.estimate is None else check.estimate.as_dict(),
        "direction": None if check.direction is None else check.direction.as_dict(),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _print_report(report: Report, heading: str, console: Console) -> None:
    table = _table(
        heading, ("layer", "weights", "missed", "largest error", "distance", "cosine", "length ratio"), console
    )
    for layer in report.layers:
        table.add_row(
            layer.name,
            f"{layer.n_weights:,}",
            f"{layer.n_missed:,}",
            f"{layer.max_error:.1e}",
            f"{layer.distance:.1e}",
            _figure(layer.cosine),
            _figure(layer.norm_ratio),
        )
    console.print(table, highlight=False)
    if report.passed:
        console.print(f"  {report}", highlight=False, markup=False)
        return
    for line in str(report).splitlines():
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _print_estimate(report: EstimateReport, heading: str, console: Console, *, must_pass: bool) -> None:
    titles = ("layer", "weights", "cosine", "if unbiased", "length ratio", "bias along the gradient")
    table = _table(heading, titles, console)
    for layer in (*report.layers, report.whole):
        table.add_row(
            layer.name,
            f"{layer.n_weights:,}",
            _figure(layer.cosine),
            _figure(layer.expected_cosine),
            _figure(layer.norm_ratio),
            f"{layer.bias:+.4f} ± {layer.standard_error:.4f}" if math.isfinite(layer.bias) else "-",
        )
    console.print(table, highlight=False)
    console.print(f"  {estimate_sentence(report, must_pass=must_pass)}", highlight=False, soft_wrap=True)


def estimate_sentence(report: EstimateReport, *, must_pass: bool) -> str:
    """Say what the estimates' bias means."""
    whole = report.whole
    errors = abs(whole.bias) / whole.standard_error if whole.standard_error > 0 else math.inf
    bias = f"{whole.bias:+.3g}, {errors:.1f} standard errors"
    if report.exact_is_zero:
        return "the exact gradient is zero here, so a bias along it cannot be told"
    if not must_pass:
        return f"synthetic gradients are guesses: what they lack along the exact gradient ({bias}) is no fault"
    if report.passed:
        return f"no bias along the gradient beyond chance or 2 % ({bias}, {report.n_samples:,} samples)"
    return (
        f"biased along the gradient ({bias}, {report.n_samples:,} samples): too large a stddev smooths the loss;"
        " if a smaller one does not help, a factor or a sign is wrong"
    )


def _table(heading: str, titles: Sequence[str], console: Console) -> Table:
    console.print(heading, style="bold", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for title in titles:
        table.add_column(title, justify="left" if title == "layer" else "right", no_wrap=True)
    return table


def _figure(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else "-"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
