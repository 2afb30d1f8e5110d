"""From what a grid or a method's own spaces leave open to the settings that race."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.stats import qmc

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.packages import is_installed
from freewalk.harness.methods.method import FREE, Method
from freewalk.harness.methods.own_networks import is_own
from freewalk.harness.methods.registered import BUILT_IN, METHODS
from freewalk.harness.methods.space import Range, Space
from freewalk.harness.parameters.parameters import PARAMETERS, Axes, Scalar, check_axis, number_type
from freewalk.harness.plan.effects import refuse_without_effect, useful_keys
from freewalk.harness.plan.grid import SEEDS
from freewalk.harness.plan.registry import BuiltInRegistry

_DIGITS = 3
"""Of a number that is drawn: more would tell nothing."""
_EXACT = 10
"""Of one that follows from others."""
_NOTHING = 1e-12
_EDGE = 0.1
"""Part of a range at each end that is its edge."""
_SHARE_OF_A_PART = 4


@dataclass(frozen=True)
class Open:
    """What is open of a method: a space, beside what is settled."""

    settled: Axes
    """Tasks, method, and all axes that are not searched."""
    space: Space
    """The others."""
    is_own: bool = False
    """Whether it is one of the method's own spaces."""
    past: tuple[Space, ...] = ()
    """Parts of it that were added past the edges of what was searched first."""
    first: Space | None = None
    """What was searched first, where parts were added."""

    @property
    def method(self) -> str:
        """Whose space it is."""
        return str(self.settled["method"][0])

    @property
    def is_drawn(self) -> bool:
        """Whether settings are drawn: a range has no end of values."""
        return any(isinstance(values, Range) for values in self.space.values())

    def tables(self, n_settings: int) -> Iterator[Axes]:
        """Yield the tables of its settings: as many as are to be drawn, or all that its values make.

        Of a part that was added, a quarter as many are drawn.
        """
        yield from _tables(self.settled, self.space if self.first is None else self.first, n_settings)
        for part in self.past:
            yield from _tables(self.settled, part, max(1, n_settings // _SHARE_OF_A_PART))

    def edges(self, parameters: Mapping[str, Scalar | None]) -> dict[str, str]:
        """Return at which edge of the space a cell lies, `lower` or `upper`, by parameter."""
        found = {}
        for key, values in self.space.items():
            value = parameters.get(key)
            if not isinstance(value, int | float):
                continue
            if isinstance(values, Range):
                place = values.place(value)
                sides = {"lower": place < _EDGE, "upper": place > 1 - _EDGE}
            else:
                numbers = [one for one in values if isinstance(one, int | float)]
                sides = {"lower": value == min(numbers), "upper": value == max(numbers)} if len(numbers) > 1 else {}
            if side := next((side for side, lies in sides.items() if lies), None):
                found[key] = side
        return found

    def widened(self, edges: Mapping[str, str]) -> Open:
        """Return the space with parts past its edges, a step of its values or half of its range further.

        The space itself where its parameters may go no further.
        """
        space, parts = dict(self.space), list(self.past)
        for key, side in edges.items():
            values = space[key]
            if (past := _past(key, values, side)) is not None:
                parts.append({**space, key: past})
                space[key] = _joined(values, past)
        if len(parts) == len(self.past):
            return self
        return replace(self, space=space, past=tuple(parts), first=self.first or self.space)


def _tables(settled: Axes, space: Space, n_settings: int) -> Iterator[Axes]:
    if not any(isinstance(values, Range) for values in space.values()):
        yield {**settled, **space}
        return
    for setting in drawn(space, n_settings):
        yield {**settled, **{key: (value,) for key, value in setting.items()}}


def _joined(values: tuple[Scalar, ...], past: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    if isinstance(values, Range) and isinstance(past, Range):
        return values._replace(low=min(values.low, past.low), high=max(values.high, past.high))
    return (*values, *past)


def opened(tables: Sequence[Axes], registry: BuiltInRegistry | None = None) -> list[Open]:
    """Return what tables leave open, method by method; without a method, of all that learn the networks meant.

    Where a table leaves nothing open that a method uses, it is the method's own spaces.

    Raises
    ------
    UsageError
        If a table has seeds of its own, or a range of something that nothing is searched by.
    """
    found: list[Open] = []
    whole = [{"method": tuple(name for name, one in METHODS.items() if _runs(one, table)), **table} for table in tables]
    if registry is not None:
        refuse_without_effect([{key: table[key] for key in table if key != SEEDS} for table in whole], registry)
    for table in whole:
        if SEEDS in table:
            raise UsageError("a [[grid]] table has seeds of its own; all settings race on the same seeds, give --seeds")
        for key, values in table.items():
            if isinstance(values, Range) and PARAMETERS[key].group == "task":
                raise UsageError(f"{key}={values}: other values make another task; list some, and each is tuned alone")
        for name in map(str, table["method"]):
            own = {**table, "method": (name,)}
            useful = useful_keys(own, registry)
            left = {key: values for key, values in own.items() if key in useful and _is_open(key, values)}
            settled = {k: values for k, values in own.items() if k not in left and not isinstance(values, Range)}
            is_own = not left and name in METHODS
            spaces = _own_spaces(METHODS[name], settled, registry) if is_own else [left]
            found += [Open(settled, space, is_own) for space in spaces]
    return found


def _is_open(key: str, values: tuple[Scalar, ...]) -> bool:
    """Tell whether an axis is searched: other values of a task's parameter make another task."""
    return len(values) > 1 and PARAMETERS[key].group != "task"


def _runs(method: Method, table: Axes) -> bool:
    """Tell whether a method can be had here, learns a network that a table means, and says what to search.

    One of one's own need not: its defaults run. evosax is many algorithms, each of which JAX compiles in every trial.
    """
    if not method.spaces and method.name in BUILT_IN:
        return False
    architectures = table.get("architecture", (FREE,))
    if all(is_own(one) for one in architectures) and not method.takes_own_networks:
        return False
    kinds = {"free" if one == FREE or is_own(one) else "layered" for one in architectures}
    is_here = method.needs is None or is_installed(method.needs)
    return is_here and (method.networks == "both" or method.networks in kinds)


def _own_spaces(method: Method, settled: Axes, registry: BuiltInRegistry | None) -> list[Space]:
    """Return a method's own spaces as far as they are not settled; an empty one for a method without any."""
    fitting = [
        space
        for space in method.spaces
        if all(len(values) > 1 or settled.get(key, values) == values for key, values in space.items())
    ]  # not, say, the learning rates of another optimizer
    spaces: list[Space] = []
    for space in fitting or method.spaces[:1]:
        useful = useful_keys({**space, **settled}, registry)
        left = {key: values for key, values in space.items() if key in useful and key not in settled}
        spaces += [left] if left not in spaces else []
    return spaces or [{}]


def drawn(space: Space, n_settings: int) -> Iterator[dict[str, Scalar]]:
    """Yield settings that lie evenly in a space, the same ones always, its middle first: Sobol's sequence.

    Source: I. M. Sobol, USSR Computational Mathematics and Mathematical Physics 7, 86 (1967), by SciPy.
    """
    several = [key for key, values in space.items() if isinstance(values, Range) or len(values) > 1]
    sequence = qmc.Sobol(max(1, len(several)), scramble=False).fast_forward(1)
    with warnings.catch_warnings(action="ignore"):  # of a number that is no power of two
        places = sequence.random(n_settings)
    for row in places:
        at = dict(zip(several, row.tolist(), strict=False))
        yield {key: _value(key, values, at.get(key, 0.0)) for key, values in space.items()}


def _value(key: str, values: tuple[Scalar, ...], place: float) -> Scalar:
    if not isinstance(values, Range):
        return values[int(place * len(values))]
    number = values.value(place)
    if number_type(key) is int:
        return min(max(round(number), math.ceil(values.low)), math.floor(values.high))
    return min(max(float(f"{number:.{_DIGITS}g}"), values.low), values.high)


def _past(key: str, values: tuple[Scalar, ...], side: str) -> tuple[Scalar, ...] | None:
    """Return values past an edge, one step or half a range further; None where a parameter has none."""
    further: list[tuple[Scalar, ...]] = []
    if isinstance(values, Range):
        for width in (0.5, 0.25, 0.125):
            end = float(f"{values.value(-width if side == 'lower' else 1 + width):.{_EXACT}g}")
            if side == "lower":
                further.append(values._replace(low=end if abs(end) > _NOTHING else 0.0, high=values.low))
            else:
                further.append(values._replace(low=values.high, high=end))
    else:
        numbers = sorted((float(one) for one in values if isinstance(one, int | float)), reverse=side == "lower")
        last, before = numbers[-1], numbers[-2]
        is_scaled = min(numbers) > 0 and (len(numbers) == 2 or _is_even(numbers))
        value = last * last / before if is_scaled else 2 * last - before
        further.append((round(value) if number_type(key) is int else float(f"{value:.{_EXACT}g}"),))
    for past in further:
        try:
            return check_axis(key, past)
        except UsageError:
            continue
    return None


def _is_even(numbers: Sequence[float]) -> bool:
    """Tell whether numbers look more like a row of equal ratios than of equal steps."""
    first, second, *_ = numbers
    last, before = numbers[-1], numbers[-2]
    return abs(math.log(last / before / (second / first))) < abs(math.log((last - before) / (second - first)))
