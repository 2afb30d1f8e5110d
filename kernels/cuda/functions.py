"""Device functions of one number: the twins of freewalk.kernels.cpu.functions, with the same polynomials.

Written so that they also run in Numba's CUDA simulator: integers are signed where they may fall below zero, and sums
of words are taken in 64 bits and cut, because NumPy's numbers warn where a GPU wraps around.
"""

from __future__ import annotations

import math

import numpy as np

from freewalk.kernels.cuda.jit import device_function
from freewalk.kernels.model import polynomials
from freewalk.kernels.model.noise import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

_M0, _M1 = np.uint64(MULTIPLIER_0), np.uint64(MULTIPLIER_1)
_W0, _W1 = np.uint64(WEYL_0), np.uint64(WEYL_1)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_ROUNDS = ROUNDS

_ZERO, _HALF, _ONE, _TWO = (np.float32(c) for c in (0.0, 0.5, 1.0, 2.0))
_MINUS_TWO = np.float32(-2.0)
_EXP_BOUND = np.float32(87.0)
_SMALLEST_NORMAL = np.float32(1.1754943508222875e-38)
_LN2 = np.float32(polynomials.LN2)
_31 = np.float32(31.0)
_2_TO_MINUS_32 = np.float32(2.0**-32)
_SQRT_HALF_BITS = np.int32(polynomials.SQRT_HALF_BITS)
_MANTISSA = np.int32(0x007FFFFF)
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (np.float32(c) for c in polynomials.LOG)
_S0, _S1, _S2, _S3 = (np.float32(c) for c in polynomials.SINE)
_C0, _C1, _C2, _C3 = (np.float32(c) for c in polynomials.COSINE)


@device_function
def philox(
    c0: np.uint32, c1: np.uint32, c2: np.uint32, c3: np.uint32, k0: np.uint32, k1: np.uint32
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return the four words of a counter under a key; see freewalk.kernels.model.noise."""
    for _ in range(_ROUNDS):
        product_0 = np.uint64(c0) * _M0
        product_1 = np.uint64(c2) * _M1
        c0 = np.uint32(np.uint32(product_1 >> _32) ^ c1 ^ k0)
        c1 = np.uint32(product_1 & _LOW)
        c2 = np.uint32(np.uint32(product_0 >> _32) ^ c3 ^ k1)
        c3 = np.uint32(product_0 & _LOW)
        k0 = np.uint32((np.uint64(k0) + _W0) & _LOW)
        k1 = np.uint32((np.uint64(k1) + _W1) & _LOW)
    return c0, c1, c2, c3


@device_function
def next_word(
    s0: np.uint32, s1: np.uint32, s2: np.uint32, s3: np.uint32
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return the next output of xoshiro128++ and the state after it."""
    total = np.uint32((np.uint64(s0) + np.uint64(s3)) & _LOW)
    turned = np.uint32(np.uint32(total << np.uint32(7)) | (total >> np.uint32(25)))
    word = np.uint32((np.uint64(turned) + np.uint64(s0)) & _LOW)
    shifted = np.uint32(s1 << np.uint32(9))
    s2, s3 = np.uint32(s2 ^ s0), np.uint32(s3 ^ s1)
    s1, s0 = np.uint32(s1 ^ s2), np.uint32(s0 ^ s3)
    return word, s0, s1, np.uint32(s2 ^ shifted), np.uint32(np.uint32(s3 << np.uint32(11)) | (s3 >> np.uint32(21)))


@device_function
def _split(x: np.float32) -> tuple[np.float32, np.float32]:
    """Return (exponent, m - 1) of a positive normal x = m * 2**exponent with m in [sqrt(1/2), sqrt(2))."""
    above = np.int32(x.view(np.int32) - _SQRT_HALF_BITS)
    mantissa = np.int32((above & _MANTISSA) + _SQRT_HALF_BITS)
    return np.float32(above >> 23), mantissa.view(np.float32) - _ONE


@device_function
def _log1p_over_f(f: np.float32) -> np.float32:
    q = _L8 * f + _L7
    q = q * f + _L6
    q = q * f + _L5
    q = q * f + _L4
    q = q * f + _L3
    q = q * f + _L2
    q = q * f + _L1
    return q * f + _ONE


@device_function
def log(x: np.float32) -> np.float32:
    """Return the natural logarithm of a finite x >= 0; below the normal numbers that of the smallest normal."""
    if x < _SMALLEST_NORMAL:
        x = _SMALLEST_NORMAL
    if x != x:
        return x
    exponent, f = _split(x)
    return exponent * _LN2 + f * _log1p_over_f(f)


@device_function
def exp(x: np.float32) -> np.float32:
    """Return e**x, with x held within ±87; NaN stays NaN."""
    if x > _EXP_BOUND:
        x = _EXP_BOUND
    if x < -_EXP_BOUND:
        x = -_EXP_BOUND
    return np.float32(math.exp(x))


@device_function
def sigmoid(x: np.float32) -> np.float32:
    """Return 1 / (1 + e**-x)."""
    return _ONE / (_ONE + exp(-x))


@device_function
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent, 2 sigmoid(2 x) - 1."""
    return _TWO * sigmoid(_TWO * x) - _ONE


@device_function
def relu(x: np.float32) -> np.float32:
    """Return x, or 0 below 0; NaN stays NaN."""
    if x < _ZERO:
        return _ZERO
    return x


@device_function
def linear(x: np.float32) -> np.float32:
    """Return x."""
    return x


ACTIVATIONS = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu, "linear": linear}


@device_function
def _slope_of_sigmoid(x: np.float32) -> np.float32:
    a = sigmoid(x)
    return a * (_ONE - a)


@device_function
def _slope_of_tanh(x: np.float32) -> np.float32:
    a = tanh(x)
    return (_ONE + a) * (_ONE - a)


@device_function
def _slope_of_relu(x: np.float32) -> np.float32:
    return _ONE if x > _ZERO else _ZERO


@device_function
def _slope_of_linear(x: np.float32) -> np.float32:
    return _ONE


SLOPES = {"sigmoid": _slope_of_sigmoid, "tanh": _slope_of_tanh, "relu": _slope_of_relu, "linear": _slope_of_linear}
"""f'(x) by name; that of relu is 0 at 0."""


@device_function
def box_muller(radius_word: np.uint32, angle_word: np.uint32) -> tuple[np.float32, np.float32]:
    """Return two independent standard normals for two words of random bits (Box and Muller, 1958)."""
    exponent, f = _split(np.float32(np.int32((radius_word >> np.uint32(1)) | np.uint32(1))))
    log_u = (exponent - _31) * _LN2 + f * _log1p_over_f(f)
    radius = np.float32(math.sqrt(_MINUS_TWO * log_u))

    fraction = np.uint32((np.uint64(angle_word) << np.uint64(2)) & _LOW)
    v = np.float32(fraction.view(np.int32)) * _2_TO_MINUS_32
    s = v * v
    sine = (((_S3 * s + _S2) * s + _S1) * s + _S0) * v
    cosine = ((_C3 * s + _C2) * s + _C1) * s + _C0

    # a quarter turn more exchanges the two and negates the first: (c, s) -> (-s, c) -> (-c, -s) -> (s, -c)
    quadrant = angle_word >> np.uint32(30)
    first, second = cosine, sine
    if quadrant & np.uint32(1):
        first, second = sine, cosine
    if quadrant == np.uint32(1) or quadrant == np.uint32(2):
        first = -first
    if quadrant >= np.uint32(2):
        second = -second
    return radius * first, radius * second


@device_function
def sign(word: np.uint32, bit: int) -> np.float32:
    """Return -1 for a set bit, 1 for a clear one."""
    return _ONE - _TWO * np.float32((word >> np.uint32(bit)) & np.uint32(1))
