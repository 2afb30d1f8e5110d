"""Numbers and lists as people read them; what is missing is a dash."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

MISSING: Final = "\N{EN DASH}"
INFINITE: Final = "∞"

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")

# A unit in seconds, its name, and up to which time it is used.
_TIMES: Final = (
    (1e-6, "µs", 1e-3),
    (1e-3, "ms", 1.0),
    (1.0, "s", 120.0),
    (60.0, "min", 7200.0),
    (3600.0, "h", 172800.0),
)


def is_missing(value: Any) -> bool:
    """Tell whether a value of a table is missing: None, NaN, or pandas' NA, which cannot be compared."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def json_value(value: Any, *, nan: str | None = "nan") -> Any:
    """Return a value as JSON holds it: what is missing as null, NaN as `nan`, infinities as "inf" and "-inf"."""
    if isinstance(value, dict):
        return {str(key): json_value(item, nan=nan) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, nan=nan) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return nan if math.isnan(value) else str(value)
    if is_missing(value):
        return None
    return value.item() if hasattr(value, "item") else value


def significant(value: float, digits: int = 3, longest: float = 1e9) -> str:
    """Return a number with few digits: 0.0123, 4.5e-7, 33,300, ∞; from `longest` on as a power of ten."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return INFINITE if value > 0 else f"-{INFINITE}"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 1000:
        return f"{rounded:,.0f}" if abs(rounded) < longest else _without_padding(f"{rounded:.{digits - 1}e}")
    # with few digits, 130 would be 1.3e2
    return f"{rounded:.0f}" if abs(rounded) >= 10**digits else _without_padding(f"{value:.{digits}g}")


def compact(value: float, digits: int = 3) -> str:
    """Return a number in as little room as a tick label has: 0.01, 1e-5, 33.3k, 2M."""
    if not math.isfinite(value):
        return significant(value)
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # what rounds up to the next unit belongs to it: 999,999 is 1M
        if unit <= float(f"{size:.{digits}g}") < 1000 * unit:
            return f"{value / unit:.{digits}g}{name}"
    if size >= 1e12:
        return _without_padding(f"{value:.{digits - 1}e}")
    return _without_padding(f"{value:.{digits}g}")


def _without_padding(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def percent(share: float) -> str:
    """Return a share of 1 in percent: 57 %; only none is 0 %, and only all is 100 %."""
    if math.isnan(share):
        return MISSING
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def seconds(value: float) -> str:
    """Return a time: 94 µs, 420 ms, 3.1 s, 12 min, 2.5 h; a dash for none."""
    if not math.isfinite(value):
        return MISSING
    for unit, name, limit in _TIMES:
        if value < limit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 86400:.3g} days"


def interval(low: float, high: float) -> str:
    """Return the ends of an interval; nothing where there is none."""
    return "" if math.isnan(low) else between(significant(low), significant(high))


def between(low: str, high: str) -> str:
    """Join the ends of a range that stand as text."""
    return f"{low} \N{EN DASH} {high}"


def counted(n: int, noun: str) -> str:
    """Return a number and its noun: 1 trial, 1,270 trials."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def counted_seeds(numbers: Iterable[int]) -> str:
    """Return the numbers of seeds of several cells: 12 seeds, 10 to 20 seeds."""
    several = list(numbers)
    least, most = min(several, default=0), max(several, default=0)
    return counted(most, "seed") if least == most else f"{least:,} to {counted(most, 'seed')}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does: a, b and c."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def parameter_text(value: Any) -> str:
    """Return a parameter's value as it may be given to --grid, with few digits; a dash where it does not apply."""
    if is_missing(value):
        return MISSING
    return _without_padding(f"{value:.4g}") if isinstance(value, float) else str(value)


def value_order(value: Any) -> tuple[bool, float]:
    """Return what sorts a parameter's values: numbers by size, also those that stand as text beside words; words."""
    try:
        return False, float(value)
    except ValueError:
        return True, 0.0


def short_value(text: object) -> str:
    """Return a parameter's value that comes as text with few digits, if it is a number."""
    try:
        return parameter_text(float(str(text)))
    except ValueError:
        return str(text)


def xml_text(text: str) -> str:
    """Leave out the characters that neither XML nor HTML allows."""
    return _CONTROL.sub("", text)
