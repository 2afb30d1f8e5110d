"""The result of a gradient check on the terminal, and for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from freewalk.harness.gradcheck.cell import CellCheck
from freewalk.harness.gradcheck.estimate import EstimateReport
from freewalk.harness.gradcheck.report import Report
from freewalk.harness.methods.method import Method
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.kernels.backend import Backend

EXACT = "analytic against central differences, float64"


def print_check(check: CellCheck, method: Method, backend: Backend) -> None:
    """Print the tables, the worst weights and the faults that a check of a method found."""
    console = make_console()
    of = f"of {method.name} ({backend.name}, {backend.dtype}) against the analytic"
    _print_report(check.exact, EXACT, console)
    if check.stepped is not None:
        part = "the last layer's gradient in a step" if method.gradient == "predicted" else "the gradient a step takes"
        _print_report(check.stepped, f"{part} {of} one", console)
    if check.estimate is not None:
        heading = f"the estimate {of} gradient"
        _print_estimate(check.estimate, heading, console, must_pass=check.estimate_must_pass)
    if check.direction is not None:
        print_line(console, f"the steps {of} gradient", style="bold")
        print_line(console, f"  {check.direction.sentence}")
    click.echo("passed" if check.passed else "failed: see above")


def facts_of(check: CellCheck) -> dict[str, Any]:
    """Return everything for JSON."""
    parts = {"exact": check.exact, "stepped": check.stepped, "estimate": check.estimate, "direction": check.direction}
    return {"passed": check.passed, **{name: part and part.as_dict() for name, part in parts.items()}}


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
    for line in str(report).splitlines():
        print_line(console, f"  {line}")


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
        return f"these gradients are guesses: what they lack along the exact one ({bias}) is no fault"
    if report.passed:
        return f"no bias along the gradient beyond chance or 2 % ({bias}, {report.n_samples:,} samples)"
    return (
        f"biased along the gradient ({bias}, {report.n_samples:,} samples): too large a stddev smooths the loss;"
        " if a smaller one does not help, a factor or a sign is wrong"
    )


def _table(heading: str, titles: Sequence[str], console: Console) -> Table:
    print_line(console, heading, style="bold")
    table = make_table()
    for title in titles:
        table.add_column(title, justify="left" if title == "layer" else "right", no_wrap=True)
    return table


def _figure(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else "-"
