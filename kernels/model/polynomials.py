"""Coefficients of the elementary functions that the kernels compute themselves, for every backend.

They are minimax fits for the relative error (Lawson's reweighted least squares at Chebyshev points), rounded to
float32; tests/kernels/cpu/test_functions.py measures the errors of the functions made of them against float64.
"""

from __future__ import annotations

LN2 = 0.6931471805599453
SQRT_HALF_BITS = 0x3F3504F3
"""Bits of sqrt(1/2) as a float32."""

EXP = (
    0.49999991059303284,
    0.16666410863399506,
    0.04166828840970993,
    0.00837564468383789,
    0.0013835798017680645,
)
"""exp(r) = 1 + r + EXP[0] r**2 + ... for |r| <= ln(2)/2: relative error 2e-9 before rounding."""

LOG = (
    -0.49999988079071045,
    0.3333418667316437,
    -0.25002074241638184,
    0.19956833124160767,
    -0.16562402248382568,
    0.1495228260755539,
    -0.14366787672042847,
    0.08722243458032608,
)
"""ln(1 + f) / f = 1 + LOG[0] f + ... for sqrt(1/2) - 1 <= f <= sqrt(2) - 1: relative error 2.6e-8."""

SINE = (1.5707963705062866, -0.6459634900093079, 0.07968003302812576, -0.00460165785625577)
"""sin(pi/2 v) / v as a polynomial in v squared for |v| <= 1/2: relative error 3e-9."""

COSINE = (0.9999999403953552, -1.233696699142456, 0.25359493494033813, -0.02039858140051365)
"""cos(pi/2 v) as a polynomial in v squared for |v| <= 1/2: relative error 3e-8."""
