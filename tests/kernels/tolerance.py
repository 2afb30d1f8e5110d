"""The one comparison of floating-point arrays: |found - wanted| <= atol + k * eps * |wanted|, eps that of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPS = float(np.finfo(np.float32).eps)


def largest_difference(found: ArrayLike, wanted: ArrayLike) -> float:
    return float(np.abs(np.asarray(found, np.float64) - np.asarray(wanted, np.float64)).max(initial=0.0))


def assert_close(found: ArrayLike, wanted: ArrayLike, *, atol: float, k: float = 0.0, what: str = "values") -> None:
    """Fail, naming the worst element, unless shapes agree and every difference is within the bound; NaN fails."""
    a: NDArray[Any] = np.asarray(found, np.float64)
    b: NDArray[Any] = np.asarray(wanted, np.float64)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, wanted {b.shape}"
    excess = np.abs(a - b) - (atol + k * EPS * np.abs(b))
    if a.size == 0 or (excess <= 0).all():
        return
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(excess), np.inf, excess))), a.shape)
    raise AssertionError(
        f"{what}: {a[worst]!r} instead of {b[worst]!r} at {tuple(map(int, worst))}:"
        f" off by {abs(a[worst] - b[worst]):.3g}, allowed {atol + k * EPS * abs(b[worst]):.3g}"
        f" (atol {atol:g}, k {k:g}); {int((~(excess <= 0)).sum())} of {a.size} beyond the bound"
    )
