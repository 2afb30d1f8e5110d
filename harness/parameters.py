"""The parameters that a cell may have: names, types, defaults, ranges, and who uses them."""

import functools
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from freewalk.harness.errors import UsageError, nearest, unknown
from freewalk.harness.fields import (
    CONDITIONS,
    DEFAULT_LEARNING_RATES,
    FREE,
    LATER_PARAMETERS,
    METHOD_PARAMETERS,
    CommonParameters,
    Scalar,
    TaskParameters,
)

__all__ = [
    "AXIS_KEYS",
    "CONDITIONS",
    "DEFAULT_LEARNING_RATES",
    "DEFAULT_METHOD",
    "FREE",
    "LATER_PARAMETERS",
    "METHOD_PARAMETERS",
    "PARAMETERS",
    "Axes",
    "Parameter",
    "Registry",
    "Scalar",
    "check_axis",
    "check_value",
    "requirement",
    "uses",
]

Axes: TypeAlias = Mapping[str, tuple[Scalar, ...]]

DEFAULT_METHOD = "walk"


class Registry(Protocol):
    """What a plan has to know about tasks and methods."""

    def task_names(self) -> Sequence[str]:
        """Name the tasks, in the order to show."""

    def method_names(self) -> Sequence[str]:
        """Name the methods, in the order to show."""

    def task_parameters(self, task: str) -> Mapping[str, Scalar]:
        """Give the task's own parameters with their defaults."""

    def default_timesteps(self, task: str, parameters: Mapping[str, Scalar | None]) -> int:
        """Give the timesteps for a cell that does not say; `parameters` holds all its other values."""

    def evaluations_per_step(self, task: str, method: str, parameters: Mapping[str, Scalar | None]) -> float:
        """Give what a step costs; raise ValueError with a plain sentence when the values do not fit together."""


@dataclass(frozen=True)
class Parameter:
    """One parameter as documentation and messages show it."""

    name: str
    group: Literal["common", "method", "task"]
    field: FieldInfo
    methods: tuple[str, ...]
    """The methods that use it; empty for a common or a task parameter."""

    @property
    def help(self) -> str:
        """One line on its meaning."""
        return self.field.description or ""

    @property
    def range(self) -> str:
        """The valid values in words."""
        return requirement(self.field)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be; empty for numbers."""
        kind = _base_type(self.field)
        return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()

    @property
    def condition(self) -> str | None:
        """Where it applies, such as ``update=normalised``; None for everywhere."""
        return "=".join(CONDITIONS[self.name]) if self.name in CONDITIONS else None

    @property
    def default_text(self) -> str:
        """The default in words."""
        if self.name == "learning_rate":
            return _learning_rates_text()
        return "the task's own" if self.field.default is None else str(self.field.default)


def _learning_rates_text() -> str:
    """Say the default learning rates by optimizer, methods with equal ones together."""
    methods: dict[str, list[str]] = {}
    for method, rates in DEFAULT_LEARNING_RATES.items():
        text = ", ".join(f"{rate:g} with {optimizer}" for optimizer, rate in rates.items())
        methods.setdefault(text, []).append(method)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in methods.items())


def _collect() -> Iterator[Parameter]:
    for name, field in CommonParameters.model_fields.items():
        yield Parameter(name, "common", field, ())
    owners: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for method, model in METHOD_PARAMETERS.items():
        for name, field in model.model_fields.items():
            owners.setdefault(name, []).append(method)
            fields.setdefault(name, field)
    for name, field in fields.items():
        yield Parameter(name, "method", field, tuple(owners[name]))
    for name, field in TaskParameters.model_fields.items():
        yield Parameter(name, "task", field, ())


def _base_type(field: FieldInfo) -> Any:
    """Give the field's type without its ``| None``."""
    if typing.get_origin(field.annotation) in (types.UnionType, typing.Union):
        return next(kind for kind in typing.get_args(field.annotation) if kind is not type(None))
    return field.annotation


def requirement(field: FieldInfo) -> str:
    """Say in words what values a field takes.

    Parameters
    ----------
    field : FieldInfo
        A whole number, a number or a choice, with its bounds; or a text whose ``values`` are given in words.

    Returns
    -------
    str
        Such as ``a whole number of at least 1`` or ``one of raw, normalised``.
    """
    kind = _base_type(field)
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["values"])
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    words = {"ge": "of at least", "gt": "greater than", "le": "at most", "lt": "below"}
    bounds = [
        f"{word} {getattr(item, attribute)}"
        for attribute, word in words.items()
        for item in field.metadata
        if getattr(item, attribute, None) is not None
    ]
    noun = {int: "a whole number", float: "a finite number"}.get(kind, "text")
    return " ".join([noun, " and ".join(bounds)]).strip()


PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in _collect()}
"""Every parameter by name, in the order of the tables' columns; a condition's parent precedes its child."""

AXIS_KEYS: tuple[str, ...] = ("task", "method", *PARAMETERS)


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = PARAMETERS[name].field
    annotated: Any = Annotated[(_base_type(field), Field(), *field.metadata)]
    return TypeAdapter(annotated)


def check_value(name: str, value: Scalar, where: str = "") -> Scalar:
    """Check one value of a parameter and give it its canonical type.

    Parameters
    ----------
    name : str
        A key of `PARAMETERS`, or ``task`` or ``method``, whose values are only checked to be text.
    value : int, float or str
        The value as read; 16.0 is taken for a whole number, 1 for a float.
    where : str
        Prefix of a message, such as ``--grid 'stddev=-1': ``.

    Returns
    -------
    int, float or str
        Equal values have equal types: 1 and 1.0 become the same float.

    Raises
    ------
    UsageError
        When the value is of another type or out of range.
    """
    if name not in PARAMETERS:
        if isinstance(value, str):
            return value
        raise UsageError(f"{where}{name}={value!r}: must be the name of a {name}")
    try:
        if isinstance(value, bool):
            raise ValueError
        checked: Scalar = _adapter(name).validate_python(value)
    except (ValidationError, ValueError, OverflowError):
        choices = typing.get_args(_base_type(PARAMETERS[name].field))
        hint = nearest(str(value), choices) if choices else ""
        raise UsageError(f"{where}{name}={value!r}{hint}: must be {PARAMETERS[name].range}") from None
    # -0.0 equals 0.0 but would be written, and so hashed, otherwise.
    return checked + 0.0 if isinstance(checked, float) else checked


def check_axis(key: str, values: Iterable[Scalar], where: str = "") -> tuple[Scalar, ...]:
    """Check one axis of a grid.

    Parameters
    ----------
    key : str
        Name of the axis.
    values : iterable of int, float or str
        Its values.
    where : str
        Prefix of a message, such as ``--grid 'stddev=-1': ``.

    Returns
    -------
    tuple of int, float or str
        The values with their canonical types, in the same order.

    Raises
    ------
    UsageError
        When the key is unknown, there is no value, a value does not fit, or one occurs twice.
    """
    if key not in AXIS_KEYS:
        error = unknown("parameter", key, AXIS_KEYS)
        raise UsageError(f"{where}{error}")
    checked = tuple(check_value(key, value, where) for value in values)
    if not checked:
        raise UsageError(f"{where}{key} has no values; give at least one")
    if len(set(checked)) < len(checked):
        twice = Counter(checked).most_common(1)[0][0]
        raise UsageError(f"{where}{key} has the value {twice!r} twice; remove one")
    return checked


def uses(name: str, method: str) -> bool:
    """Tell whether a method uses a parameter at all; task parameters count as used by every method."""
    parameter = PARAMETERS[name]
    return parameter.group != "method" or method in parameter.methods
