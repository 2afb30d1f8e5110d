"""What Python hands to `freewalk.sweep`, as the command line says it; what fits no parameter is one clear line."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Number, Real
from pathlib import Path
from typing import Any, Optional, ParamSpec, TypeVar

import numpy as np

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import OwnMethod
from freewalk.harness.methods.space import Range
from freewalk.harness.parameters.parameters import Axes, check_axis
from freewalk.harness.parameters.seeds import parse_seeds, refuse_lone_number
from freewalk.harness.parameters.values import parse_range, parse_values
from freewalk.harness.plan.settings import RunSettings
from freewalk.kernels.model.own_network import OwnNetwork
from freewalk.results.base.names import nearest
from freewalk.tasks.task import Task

Own = Task | OwnMethod
_NETWORK = "architecture"
P = ParamSpec("P")
R = TypeVar("R")


def takes_settings(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that takes ``**settings`` name them: in its signature and docstring, and by refusing others."""
    signature, fields = inspect.signature(function), RunSettings.model_fields
    *named, _ = signature.parameters.values()
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Optional[field.annotation])  # noqa: UP045
        for name, field in fields.items()
    ]
    known = [one.name for one in (*named, *keywords)]

    @functools.wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        for name in given:
            if name not in known:
                hint = nearest(name, known)
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}")
        return function(*args, **given)

    called.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
    called.__doc__ = (function.__doc__ or "").replace("**settings", ", ".join(fields))
    return called


def specs_and_tables(grid: Any) -> tuple[tuple[str, ...], tuple[Axes, ...]]:
    """Return what `--grid` takes, and the tables of several mappings, whose union is the sweep.

    Raises
    ------
    UsageError
        If the grid is no text, mapping, or list of these.
    """
    items = [grid] if isinstance(grid, str | os.PathLike | Mapping) else _listed("grid", grid)
    texts, mappings = [], []
    for item in items:
        if isinstance(item, Mapping):
            mappings.append({_key(key): _values(key, values) for key, values in item.items()})
        elif isinstance(item, str | os.PathLike):
            texts.append(os.fspath(item))
        else:
            raise UsageError(f"grid must hold texts or mappings of parameters to values, got {_shown(item)}")
    if len(mappings) == 1:
        return (*texts, *(f"{key}={values}" for key, values in mappings[0].items())), ()
    return tuple(texts), tuple(
        {
            key: check_axis(
                key, parse_range(values, f"grid: {key}: ") or parse_values(values, f"grid: {key}: "), "grid: "
            )
            for key, values in mapping.items()
        }
        for mapping in mappings
    )


def networks_in(grid: Any) -> tuple[OwnNetwork, ...]:
    """Return the networks of one's own that a grid holds as objects, each once."""
    items = [grid] if isinstance(grid, Mapping) else grid if isinstance(grid, Iterable) else []
    values = [item[_NETWORK] for item in items if isinstance(item, Mapping) and _NETWORK in item]
    each = [one for some in values for one in (some if isinstance(some, list | tuple) else [some])]
    return tuple({id(one): one for one in each if isinstance(one, OwnNetwork)}.values())


def names_and_objects(kind: str, names: Any) -> tuple[tuple[str, ...], tuple[Own, ...]]:
    """Return the names of tasks or methods, and those that are given as objects.

    Raises
    ------
    UsageError
        If one is neither.
    """
    wanted = Task if kind == "task" else OwnMethod
    items = [names] if isinstance(names, str | Task | OwnMethod) else _listed(kind, names)
    for item in items:
        if not isinstance(item, str | wanted):
            raise UsageError(f"{kind} must be a name, or {wanted.__name__} objects, got {_shown(item)}")
    return tuple(item if isinstance(item, str) else item.name for item in items), tuple(
        item for item in items if not isinstance(item, str)
    )


def seeds_of(seeds: Any) -> str | tuple[int, ...] | None:
    """Return seeds as `resolve` takes them: a text, whole numbers of any kind, or a list of both.

    Raises
    ------
    UsageError
        If one is neither.
    """
    refuse_lone_number(seeds, "seeds")
    if seeds is None or isinstance(seeds, str):
        return seeds
    found: list[int] = []
    for seed in [seeds] if isinstance(seeds, Number) else _listed("seeds", seeds):
        if isinstance(seed, str):
            found += parse_seeds(seed, "seeds")
        elif isinstance(seed, Integral | float | np.floating) and float(seed).is_integer() and seed is not True:
            found.append(int(seed))
        else:
            raise UsageError(f"seeds must be whole numbers, or texts such as '0:5', got {_shown(seed)}")
    return tuple(found)


def paths_of(plugins: Any) -> tuple[str | Path, ...]:
    """Return the paths of plug-ins; UsageError if one is none."""
    return tuple(
        path_of("plugins", item)
        for item in ([plugins] if isinstance(plugins, str | os.PathLike) else _listed("plugins", plugins))
    )


def path_of(name: str, path: Any) -> Path:
    """Return a path; UsageError if it is none."""
    if not isinstance(path, str | os.PathLike):
        hint = "; a task or a method as an object is given as task= or method=" if isinstance(path, Own) else ""
        raise UsageError(f"{name} must be a path, got {_shown(path)}{hint}")
    return Path(path)


def plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def number_of(name: str, value: Any, *, whole: bool = False) -> Any:
    """Return a number, or None; UsageError if it is neither."""
    kind = Integral if whole else Real
    if value is not None and (value is True or value is False or not isinstance(value, kind)):
        raise UsageError(f"{name} must be a {'whole ' if whole else ''}number, got {_shown(value)}")
    return plain(value)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise UsageError(f"grid must map names of parameters to values, got {_shown(key)} as a name")
    return key


def _values(key: str, values: Any) -> str:
    if isinstance(values, Range):
        return str(values)
    is_one = isinstance(values, str | os.PathLike | Number) or not isinstance(values, Iterable)
    is_one = is_one or getattr(values, "ndim", None) == 0
    if isinstance(values, Own):
        raise UsageError(f"grid: {key}: give a {type(values).__name__} object as {key}=, outside the grid")
    if isinstance(values, Mapping):
        raise UsageError(f"grid: {key}: must be a value or a list of values, got {_shown(values)}")
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()  # a Series gives a float32 as Python's float, with other digits
    return ",".join(_text(key, value) for value in ([values] if is_one else values))


def _text(key: str, value: Any) -> str:
    """Return a value as the command line has it; a float32 by the digits that it is written with."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if key == _NETWORK and isinstance(value, OwnNetwork):
        return value.name
    if isinstance(value, Number) and not isinstance(value, np.generic | complex):
        return str(value) if isinstance(value, int) else repr(float(value))  # type: ignore[arg-type]
    if value is not None and not isinstance(value, Own | Mapping) and np.ndim(value) == 0:
        number = np.asarray(value)
        if number.dtype.kind in "biuf":
            return str(number[()])
    raise UsageError(f"grid: {key}: must hold numbers or texts, got {_shown(value)}")


def _listed(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{name} must be a value or a list of values, got {_shown(values)}")
    return list(values)


def _shown(value: Any) -> str:
    name = getattr(value, "name", None)
    if isinstance(value, Own):
        return f"the {type(value).__name__} {name!r}"
    return f"{value!r:.60} ({type(value).__name__})"
