"""The second moment of a right estimate, of each kind of perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from freewalk.harness.estimates.checking.observed import Observed
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.variance import variance_constant
from freewalk.kernels.model.walk import WalkConfiguration


def expected_second_moment(
    seen: Observed, shapes: Sequence[tuple[int, ...]], shares: Sequence[float], *, others_subtracted: bool = False
) -> float | None:
    """Return E|g^|^2 / |g|^2 of an unbiased estimate on a linear loss; None where it is not known.

    With K independent perturbations it is (K - 1 + c) / K, with c that of `freewalk.kernels.model.variance`.

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
    matrices = [(shape[0], shape[1]) for shape in shapes if len(shape) == 2 and min(shape) > 1]
    if seen.rank is not None and len(matrices) < len(shapes):
        return None
    # directions of one length have the fourth moments of signs
    noise: Noise = "gaussian" if seen.noise == "gaussian" else "rademacher"
    walk = WalkConfiguration(stddev=1.0, batch_size=k, timesteps=1, noise=noise, rank=seen.rank)
    c = variance_constant(walk, [(size, 1)] if seen.rank is None else matrices, None if seen.rank is None else shares)
    independent = k - 1 if others_subtracted else k
    return 1 + (size + 1) / independent + (c - size - 2) / k if independent else None
