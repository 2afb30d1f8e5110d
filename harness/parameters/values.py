"""Lists of values in the command line's syntax: plain ones, ranges and spaces."""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import cast, get_args

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.methods.space import Range, Scale
from freewalk.harness.parameters.parameters import Scalar

MAX_TRIALS = 5_000_000
"""The largest plan; a longer axis or list of seeds is refused before it is built."""

_FUNCTION = re.compile(r"([A-Za-z]\w*)\s*\((.*)\)", re.DOTALL)
_SIGNIFICANT_DIGITS = 12
_LONGEST_NUMBER = 1000


def parse_values(text: str, where: str = "") -> tuple[Scalar, ...]:
    """Read a list of values in the command line's syntax.

    Parameters
    ----------
    text : str
        Values and functions with commas between: ``0.01,0.1``, ``range(0,10,2)``, ``logspace(-3,-1,3)``.
    where : str
        Prefix of a message.

    Returns
    -------
    tuple of int, float or str
        The values, functions written out. What is no number stays text.

    Raises
    ------
    UsageError
        When a piece is empty or malformed.
    """
    values: list[Scalar] = []
    for piece in _split(text, where):
        call = _FUNCTION.fullmatch(piece)
        if call:
            values.extend(_call(call[1], call[2], where))
        elif not piece:
            raise UsageError(f"{where}a value is empty; write key=v1,v2 without stray commas")
        else:
            values.append(_scalar(piece))
    return tuple(values)


def parse_range(text: str, where: str = "") -> Range | None:
    """Read a range, ``log(a,b)`` or ``uniform(a,b)``; None for anything else.

    Raises
    ------
    UsageError
        When it is malformed or empty.
    """
    call = _FUNCTION.fullmatch(text.strip())
    if call is None or call[1] not in get_args(Scale) or ")" in call[2]:
        return None
    form = f"{call[1]}(a,b) with two numbers, the lower first"
    ends = [float(_number(number.strip(), where, form)) for number in call[2].split(",")]
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise UsageError(f"{where}write {form}")
    if call[1] == "log" and ends[0] <= 0:
        raise UsageError(f"{where}log(a,b) needs ends above 0; write uniform(a,b)")
    return Range(ends[0], ends[1], cast(Scale, call[1]))


def _split(text: str, where: str) -> list[str]:
    """Split at the commas outside parentheses."""
    pieces, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth not in (0, 1):
            break
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    if depth:
        raise UsageError(f"{where}parentheses do not match; write such as logspace(-3,-1,3)")
    return [piece.strip() for piece in pieces]


def _scalar(text: str) -> Scalar:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _call(name: str, arguments: str, where: str) -> list[Scalar]:
    if name in get_args(Scale):
        raise UsageError(f"{where}{name}(a,b) is all of a parameter's values; give one range and no value beside it")
    if name not in _FUNCTIONS:
        raise UsageError(f"{where}{unknown('function', name, (*_FUNCTIONS, *get_args(Scale)))}")
    function, form, counts = _FUNCTIONS[name]
    texts = [argument.strip() for argument in arguments.split(",")]
    if len(texts) not in counts:
        raise UsageError(f"{where}{len(texts)} numbers in {name}; write {form}")
    numbers = [_number(text, where, form) for text in texts]
    return function(*numbers, where=where)


def _number(text: str, where: str, form: str) -> Fraction:
    """Read a number exactly: 0.1 is a tenth, so that no rounding error can add a point to a range."""
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{where}{text!r} is not a number; write {form}") from None
    if not math.isfinite(value):
        raise UsageError(f"{where}{text!r} is not a finite number; write {form}")
    if len(text) > _LONGEST_NUMBER:  # which Python may refuse to read exactly
        raise UsageError(f"{where}a number has {len(text):,} characters; write it in at most {_LONGEST_NUMBER:,}")
    # Fraction would write out every zero of 1e-999999999.
    return Fraction(text) if value else Fraction(0)


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _limited(n: int | Fraction, where: str) -> int:
    if n > MAX_TRIALS:
        raise UsageError(f"{where}more than {MAX_TRIALS:,} values, which is the limit; ask for fewer")
    return int(n)


def _range(start: Fraction, stop: Fraction, step: Fraction = Fraction(1), *, where: str) -> list[Scalar]:
    if step == 0:
        raise UsageError(f"{where}the step is 0; give another step to range(a,b,s)")
    n = math.ceil((stop - start) / step)
    if n < 1:
        raise UsageError(f"{where}the range is empty; range(a,b,s) runs from a up to, not including, b")
    points = [start + index * step for index in range(_limited(n, where))]
    if start.denominator == step.denominator == 1:
        return [int(point) for point in points]
    return [float(point) for point in points]


def _between(first: Fraction, last: Fraction, n: Fraction, where: str) -> list[Fraction]:
    if n < 1 or n.denominator != 1:
        raise UsageError(f"{where}the number of points is {float(n):g}; give a whole number of at least 1")
    gaps = max(_limited(n, where) - 1, 1)
    return [first + index * (last - first) / gaps for index in range(int(n))]


def _linspace(first: Fraction, last: Fraction, n: Fraction, *, where: str) -> list[Scalar]:
    return [_rounded(float(point)) for point in _between(first, last, n, where)]


def _powers(exponents: list[Fraction], where: str) -> list[float]:
    try:
        powers = [_rounded(10.0 ** float(exponent)) for exponent in exponents]
    except OverflowError:
        powers = [0.0]
    if 0.0 in powers:
        raise UsageError(
            f"{where}10 to the power of these numbers is out of range; logspace(a,b,n) takes exponents of "
            "ten, geomspace(a,b,n) the end values themselves"
        )
    return powers


def _logspace(first: Fraction, last: Fraction, n: Fraction, *, where: str) -> list[Scalar]:
    low, high = sorted((float(first), float(last)))
    if low > 0 and high < 1 and high >= 10 * low:  # values, not exponents: all that they make is 1 to 10
        raise UsageError(
            f"{where}logspace(a,b,n) takes exponents of ten, so these are values from {10**low:.4g} to {10**high:.4g};"
            f" write geomspace({float(first):g},{float(last):g},{int(n)}) for values between these two"
        )
    return [*_powers(_between(first, last, n, where), where)]


def _geomspace(first: Fraction, last: Fraction, n: Fraction, *, where: str) -> list[Scalar]:
    if first * last <= 0:
        raise UsageError(f"{where}geomspace(a,b,n) needs both ends above 0, or both below; use linspace through 0")
    sign = 1 if first > 0 else -1
    low, high = (Fraction(math.log10(abs(float(end)))) for end in (first, last))
    return [sign * power for power in _powers(_between(low, high, n, where), where)]


_Function = Callable[..., list[Scalar]]
_FUNCTIONS: Mapping[str, tuple[_Function, str, tuple[int, ...]]] = {
    "range": (_range, "range(a,b,s)", (2, 3)),
    "linspace": (_linspace, "linspace(a,b,n)", (3,)),
    "logspace": (_logspace, "logspace(a,b,n)", (3,)),
    "geomspace": (_geomspace, "geomspace(a,b,n)", (3,)),
}
