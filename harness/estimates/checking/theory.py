"""The second moment of a right estimate, of each kind of perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from freewalk.harness.estimates.checking.observed import Observed


def expected_second_moment(
    seen: Observed, shapes: Sequence[tuple[int, ...]], shares: Sequence[float], *, others_subtracted: bool = False
) -> float | None:
    """Return E|g^|^2 / |g|^2 of an unbiased estimate on a linear loss; None where it is not known.

    With K independent perturbations it is 1 + (P + 1) / K + x / K. x is what the fourth moments of the noise have more
    than Gaussian ones of full rank: 0 for these, -2 for signs and for directions of one length.

    Parameters
    ----------
    seen
        What the perturbations are.
    shapes
        Of the weights' arrays.
    shares
        Of |g|^2, which lies in each.
    others_subtracted
        Whether each loss is compared with the mean of the other K - 1, which costs one perturbation.
    """
    k = seen.perturbations
    if k is None or seen.noise not in ("gaussian", "rademacher", "sphere"):
        return None
    size = sum(math.prod(shape) for shape in shapes)
    if seen.orthogonal:
        return size / k if k <= size and not others_subtracted else None
    excess = -2.0 / (seen.rank or 1) if seen.noise != "gaussian" else 0.0
    if seen.rank is not None:
        matrices = [(shape[0], shape[1]) for shape in shapes if len(shape) == 2 and min(shape) > 1]
        if len(matrices) < len(shapes):
            return None
        if seen.noise == "gaussian":
            excess = sum(
                share * ((n + 2) * (m + 2) - n * m - 2) / seen.rank
                for share, (n, m) in zip(shares, matrices, strict=True)
            )
    independent = k - 1 if others_subtracted else k
    return 1 + (size + 1) / independent + excess / k if independent else None
