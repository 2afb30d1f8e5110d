"""All checks, from the parts to the whole."""

from __future__ import annotations

from collections.abc import Iterator

from freewalk.harness.bench.accelerator import Accelerator
from freewalk.harness.bench.checks.check import Check
from freewalk.harness.bench.checks.noise import noise_checks
from freewalk.harness.bench.checks.sweep import sweep_checks
from freewalk.harness.bench.checks.walks import walk_checks


def all_checks(accelerator: Accelerator, *, quick: bool) -> Iterator[Check]:
    """Yield every check of a device."""
    yield from noise_checks(accelerator, quick=quick)
    yield from walk_checks(accelerator, quick=quick)
    yield from sweep_checks(accelerator, quick=quick)
