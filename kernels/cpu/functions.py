"""Elementary functions on sixteen lanes: polynomials, no branches, no calls into a mathematics library."""

from __future__ import annotations

import numpy as np

from freewalk.kernels.machine.jit import inline_function
from freewalk.kernels.machine.lanes import (
    F32x16,
    U32x16,
    at_least,
    at_most,
    bits_of,
    choose_by_bit,
    choose_if_above,
    float_from_bits,
    fma,
    shift_left,
    shift_right,
    shift_right_signed,
    signed_to_float,
    splat_f32,
    splat_u32,
    sqrt,
)
from freewalk.kernels.model import polynomials
from freewalk.kernels.model.network import Activation

ACTIVATION_CODES: dict[Activation, int] = {"sigmoid": 0, "tanh": 1, "relu": 2, "linear": 3}
"""How the kernels know an activation."""
SIGMOID, TANH, RELU, LINEAR = range(4)
_E2, _E3, _E4, _E5, _E6 = (np.float32(c) for c in polynomials.EXP)
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (np.float32(c) for c in polynomials.LOG)
_S0, _S1, _S2, _S3 = (np.float32(c) for c in polynomials.SINE)
_C0, _C1, _C2, _C3 = (np.float32(c) for c in polynomials.COSINE)

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_LOG2_E = np.float32(1.4426950408889634)
_MINUS_LN2_HIGH = np.float32(-0.693145751953125)  # few bits, so that its product with an exponent is exact
_MINUS_LN2_LOW = np.float32(-1.428606765330187e-06)
_LN2 = np.float32(polynomials.LN2)
_EXP_BOUND = np.float32(87.0)  # beyond it float32 overflows or leaves the normal numbers
_ROUND_TO_INTEGER = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_SQRT_HALF_BITS = np.uint32(polynomials.SQRT_HALF_BITS)
_SQRT_HALF_BITS_TIMES_2_31 = np.uint32(polynomials.SQRT_HALF_BITS + (31 << 23))
_MANTISSA = np.uint32(0x007FFFFF)
_SIGN = np.uint32(0x80000000)
_ONE_BIT = np.uint32(1)
_2_TO_MINUS_32 = np.float32(2.0**-32)
_MINUS_TWO = np.float32(-2.0)
_SMALLEST_NORMAL = np.float32(1.1754943508222875e-38)


@inline_function
def exp(x: F32x16) -> F32x16:
    """Return e**x, with x held within ±87; NaN stays NaN."""
    x = at_least(at_most(x, splat_f32(_EXP_BOUND)), splat_f32(-_EXP_BOUND))
    shifted = fma(x, splat_f32(_LOG2_E), splat_f32(_ROUND_TO_INTEGER))
    n = shifted - splat_f32(_ROUND_TO_INTEGER)
    r = fma(n, splat_f32(_MINUS_LN2_LOW), fma(n, splat_f32(_MINUS_LN2_HIGH), x))
    p = fma(splat_f32(_E6), r, splat_f32(_E5))
    p = fma(p, r, splat_f32(_E4))
    p = fma(p, r, splat_f32(_E3))
    p = fma(p, r, splat_f32(_E2))
    p = fma(p, r, splat_f32(_ONE))
    p = fma(p, r, splat_f32(_ONE))
    return float_from_bits(bits_of(p) + shift_left(bits_of(shifted), 23))


@inline_function
def sigmoid(x: F32x16) -> F32x16:
    """Return 1 / (1 + e**-x)."""
    one = splat_f32(_ONE)
    return one / (one + exp(splat_f32(_ZERO) - x))


@inline_function
def tanh(x: F32x16) -> F32x16:
    """Return tanh(x) = 2 sigmoid(2x) - 1, to an eps of 1: near 0 the absolute error is small, not the relative one."""
    return fma(splat_f32(_TWO), sigmoid(x + x), splat_f32(-_ONE))


@inline_function
def slope(activation: int, a: F32x16) -> F32x16:
    """Return f'(z) of an activation a = f(z): a (1 - a), for tanh (1 + a) (1 - a), for relu 0 at 0, for linear 1."""
    one = splat_f32(_ONE)
    if activation == SIGMOID:
        return a * (one - a)
    if activation == TANH:
        return (a + one) * (one - a)
    if activation == RELU:
        zero = splat_f32(_ZERO)
        return choose_if_above(a, zero, one, zero)
    return one


@inline_function
def _split(x: F32x16, bits_of_zero_exponent: np.uint32) -> tuple[F32x16, F32x16]:
    """Return (exponent, m - 1) of a positive normal x = m * 2**exponent * scale with m in [sqrt(1/2), sqrt(2)).

    The second argument is the bits of scale * sqrt(1/2), where scale is a power of two.
    """
    above = bits_of(x) - splat_u32(bits_of_zero_exponent)
    exponent = signed_to_float(shift_right_signed(above, 23))
    mantissa = float_from_bits((above & splat_u32(_MANTISSA)) + splat_u32(_SQRT_HALF_BITS))
    return exponent, mantissa - splat_f32(_ONE)


@inline_function
def _log1p_over_f(f: F32x16, scale: np.float32) -> F32x16:
    """Return scale * ln(1 + f) / f, with scale plus or minus a power of two, which no operation rounds."""
    q = fma(splat_f32(scale * _L8), f, splat_f32(scale * _L7))
    q = fma(q, f, splat_f32(scale * _L6))
    q = fma(q, f, splat_f32(scale * _L5))
    q = fma(q, f, splat_f32(scale * _L4))
    q = fma(q, f, splat_f32(scale * _L3))
    q = fma(q, f, splat_f32(scale * _L2))
    q = fma(q, f, splat_f32(scale * _L1))
    return fma(q, f, splat_f32(scale))


@inline_function
def log(x: F32x16) -> F32x16:
    """Return the natural logarithm of a finite x >= 0; below the normal numbers that of the smallest normal."""
    x = at_least(x, splat_f32(_SMALLEST_NORMAL))
    exponent, f = _split(x, _SQRT_HALF_BITS)
    # the last term carries a NaN through, which the bit operations would lose
    return fma(exponent, splat_f32(_LN2), f * _log1p_over_f(f, _ONE)) + (x - x)


@inline_function
def box_muller(radius_word: U32x16, angle_word: U32x16) -> tuple[F32x16, F32x16]:
    """Return two independent standard normals for two words of random bits (Box and Muller, 1958).

    The radius takes u = ((radius_word >> 1) | 1) / 2**31, an odd multiple of 2**-31, so that |z| <= 6.56. The two top
    bits of the angle word choose the quadrant, the others an angle within an eighth turn of its axis.
    """
    u_times_2_31 = signed_to_float(shift_right(radius_word, 1) | splat_u32(_ONE_BIT))
    exponent, f = _split(u_times_2_31, _SQRT_HALF_BITS_TIMES_2_31)
    radius = sqrt(fma(exponent, splat_f32(_MINUS_TWO * _LN2), f * _log1p_over_f(f, _MINUS_TWO)))

    v = signed_to_float(shift_left(angle_word, 2)) * splat_f32(_2_TO_MINUS_32)
    s = v * v
    sine = fma(fma(fma(splat_f32(_S3), s, splat_f32(_S2)), s, splat_f32(_S1)), s, splat_f32(_S0)) * v
    cosine = fma(fma(fma(splat_f32(_C3), s, splat_f32(_C2)), s, splat_f32(_C1)), s, splat_f32(_C0))

    # a quarter turn more exchanges the two and negates the first: (c, s) -> (-s, c) -> (-c, -s) -> (s, -c)
    first = choose_by_bit(angle_word, 30, float_from_bits(bits_of(sine) ^ splat_u32(_SIGN)), cosine)
    second = choose_by_bit(angle_word, 30, cosine, sine)
    signed_radius = float_from_bits(bits_of(radius) ^ (angle_word & splat_u32(_SIGN)))
    return signed_radius * first, signed_radius * second
