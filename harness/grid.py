"""The grid: what ``--grid`` says, and the tables of axes that it makes together with presets and files."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from freewalk.harness.errors import UsageError, unknown
from freewalk.harness.parameters import (
    AXIS_KEYS,
    CONDITIONS,
    DEFAULT_METHOD,
    PARAMETERS,
    Axes,
    Registry,
    Scalar,
    check_axis,
    uses,
)
from freewalk.harness.presets import SETTING_TYPES, preset_names, preset_path, read_document

MAX_TRIALS = 5_000_000
"""The largest plan; a longer axis or list of seeds is refused before it is built."""

_FUNCTION = re.compile(r"([A-Za-z]\w*)\s*\((.*)\)", re.DOTALL)
_SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class GridSpec:
    """What all ``--grid`` arguments say together."""

    source: str | None
    """The preset's name or the file's path; None when there is neither."""
    settings: Mapping[str, object]
    """The file's top-level values, such as its seeds, as they were read."""
    tables: tuple[Axes, ...]
    """The axes of every grid; their union is the sweep. Keys in the order given."""


def parse_grid(
    specs: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    registry: Registry | None = None,
) -> GridSpec:
    """Read all ``--grid`` arguments, and ``--task`` and ``--method``, which are axes too.

    Parameters
    ----------
    specs : sequence of str
        ``key=values``, presets' names, paths of TOML files (at most one preset or file).
    tasks, methods : sequence of str
        The values of ``--task`` and ``--method``.
    registry : Registry, optional
        Knows which tasks use which parameters, so that a file's axes for tasks that ``--task`` replaced
        can go with them.

    Returns
    -------
    GridSpec
        An axis from the command line replaces that axis in every table of the file.

    Raises
    ------
    UsageError
        When anything is malformed, unknown or given twice.
    """
    axes: dict[str, tuple[Scalar, ...]] = {}
    source: str | None = None
    for spec in specs:
        if _names_a_document(spec):
            if source is not None:
                raise UsageError(f"--grid {source!r} and --grid {spec!r}: give one preset or file, not both")
            source = spec
            continue
        key, values = _parse_axis(spec)
        if key in axes:
            raise UsageError(f"--grid {spec!r}: {key} is given twice; write all its values in one list")
        axes[key] = values
    for key, names in (("task", tasks), ("method", methods)):
        if names and key in axes:
            raise UsageError(f"{key} is given by --{key} and by --grid {key}=...; give one of them")
        if names:
            axes[key] = check_axis(key, names, f"--{key}: ")
    if source is None:
        return GridSpec(None, {}, (axes,))
    settings, tables = _read(source)
    merged = tuple(_override(table, axes, registry) for table in tables)
    return GridSpec(source, settings, merged)


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


def useful_keys(table: Axes, registry: Registry | None = None) -> set[str]:
    """Tell which parameters have an effect in at least one cell of a table.

    Parameters
    ----------
    table : mapping
        Axes by key. The table is a full cross product, so looking at the axes suffices.
    registry : Registry, optional
        Knows which tasks use which parameters; without it every task is taken to use all.

    Returns
    -------
    set of str
        Names of parameters, whether the table gives values for them or not.
    """
    methods = [str(method) for method in table.get("method", (DEFAULT_METHOD,))]
    used_by_tasks = {
        name
        for task in table.get("task", ())
        # Unknown tasks are reported where all names are checked.
        if registry is None or task in registry.task_names()
        for name in (PARAMETERS if registry is None else registry.task_parameters(str(task)))
    }
    return {
        name
        for name, parameter in PARAMETERS.items()
        if (parameter.group != "task" or name in used_by_tasks)
        and any(_has_effect(name, method, table) for method in methods)
    }


def _has_effect(name: str, method: str, table: Axes) -> bool:
    if not uses(name, method):
        return False
    if name not in CONDITIONS:
        return True
    parent, required = CONDITIONS[name]
    if not uses(parent, method):
        return True
    return required in axis_or_default(table, parent) and _has_effect(parent, method, table)


def axis_or_default(table: Axes, key: str) -> tuple[Scalar, ...]:
    """Give a table's values for a parameter that has a default of its own."""
    return table[key] if key in table else (PARAMETERS[key].field.default,)


def _names_a_document(spec: str) -> bool:
    """Tell a preset or file from ``key=values``; a file's path may hold ``=`` if the file exists."""
    if spec in preset_names() or os.path.isfile(spec):
        return True
    if "=" in spec:
        return False
    if spec.endswith(".toml"):
        return True
    if spec in AXIS_KEYS:
        raise UsageError(f"--grid {spec!r}: no values; write {spec}=v1,v2")
    raise UsageError(
        f"--grid {spec!r}: {unknown('preset', spec, preset_names())}; or write key=v1,v2, or a .toml file"
    )


def _parse_axis(spec: str) -> tuple[str, tuple[Scalar, ...]]:
    where = f"--grid {spec!r}: "
    key, _, text = (part.strip() for part in spec.partition("="))
    if not key:
        raise UsageError(f"{where}the key is empty; write key=v1,v2, such as stddev=0.01,0.1")
    if key in SETTING_TYPES:
        raise UsageError(f"{where}{key} is no axis; give it as --{key.replace('_', '-')} or in a TOML file")
    if key not in AXIS_KEYS:
        raise UsageError(f"{where}{unknown('parameter', key, AXIS_KEYS)}")
    if not text:
        raise UsageError(f"{where}no values; write {key}=v1,v2")
    return key, check_axis(key, parse_values(text, where), where)


def _read(source: str) -> tuple[dict[str, object], list[Axes]]:
    path = preset_path(source) if source in preset_names() else Path(source)
    settings, grids = read_document(path)
    tables: list[Axes] = []
    for number, grid in enumerate(grids, start=1):
        where = f"--grid {source!r}: [[grid]] table {number}: "
        misplaced = next((key for key in grid if key in SETTING_TYPES), None)
        if misplaced:
            raise UsageError(f"{where}{misplaced} is no axis; move it above the first [[grid]]")
        tables.append(
            {key: check_axis(key, _listed(key, value, where), where) for key, value in grid.items()}
        )
    return settings, tables


def _listed(key: str, value: object, where: str) -> Iterator[Scalar]:
    """Give the values of an axis in a file: a list or a scalar, texts in the command line's syntax."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield from parse_values(item, f"{where}{key} = {item!r}: ")
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield item
        else:
            raise UsageError(f"{where}{key} = {item!r}: must be a number or text, or a list of them")


def _override(table: Axes, axes: Axes, registry: Registry | None) -> Axes:
    """Replace a table's axes by the command line's.

    Axes of the table that this robs of their effect go too: with ``--grid update=raw`` a preset's optimizer
    is no mistake of the user's, while an optimizer that they name beside ``update=raw`` is.
    """
    merged = {**table, **axes}
    robbed = useful_keys(table, registry) - useful_keys(merged, registry)
    return {key: values for key, values in merged.items() if key in axes or key not in robbed}


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
    if name not in _FUNCTIONS:
        raise UsageError(f"{where}{unknown('function', name, _FUNCTIONS)}")
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
    return [*_powers(_between(first, last, n, where), where)]


def _geomspace(first: Fraction, last: Fraction, n: Fraction, *, where: str) -> list[Scalar]:
    if first * last <= 0:
        raise UsageError(
            f"{where}geomspace(a,b,n) needs both ends above 0, or both below; use linspace through 0"
        )
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
