"""The parameters that a cell may have: names, types, defaults, ranges, and who uses them.

One field below is one parameter: help texts, the documentation and the checks are all made from it.
"""

import functools
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from freewalk.harness.errors import UsageError, nearest, unknown

Scalar: TypeAlias = int | float | str
Axes: TypeAlias = Mapping[str, tuple[Scalar, ...]]

DEFAULT_METHOD = "walk"
DEFAULT_LEARNING_RATES: Mapping[str, float] = {"sgd": 0.1, "momentum": 0.3, "adam": 0.01}

# Datapoints are one 32-bit word of the noise's counter; other sizes meet memory's limit long before this one.
_COUNTER_LIMIT = 2**32 - 1
_SIZE_LIMIT = 2**31 - 1


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CommonParameters(_Parameters):
    """What every method uses."""

    hidden: int = Field(30, ge=0, le=_SIZE_LIMIT, description="hidden neurons, the output neurons not counted")
    timesteps: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="how often the layer is applied before the output is read"
    )
    batch_size: int = Field(1000, ge=1, le=_COUNTER_LIMIT, description="datapoints a step")


class WalkParameters(_Parameters):
    """What the walk (weight perturbation) uses besides."""

    stddev: float = Field(
        0.01, ge=0, allow_inf_nan=False, description="standard deviation of the perturbations of the weights"
    )
    update: Literal["raw", "normalised"] = Field(
        "raw",
        description="raw: the original rule, without a learning rate (it acts as stddev squared); "
        "normalised: divide by stddev squared and let an optimizer take the step",
    )
    optimizer: Literal["sgd", "momentum", "adam"] = Field("sgd", description="what turns estimates into steps")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length of a step along the estimated gradient"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="the learning rate's course: constant, or falling to 0 along a half cosine"
    )
    sides: Literal["one", "two"] = Field(
        "one", description="one: compare with the unperturbed network; two: antithetic pairs, +D with -D"
    )
    noise: Literal["gaussian", "rademacher"] = Field(
        "gaussian", description="distribution of the perturbations: normal, or plus or minus stddev"
    )


class TaskParameters(_Parameters):
    """What some tasks use besides; each task has its own defaults."""

    bits: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="size of the task's numbers or patterns")
    form: Literal["static", "sequence"] | None = Field(
        None, description="static: all bits at once; sequence: one bit a timestep"
    )


METHOD_PARAMETERS: Mapping[str, type[BaseModel]] = {"walk": WalkParameters}
"""What a method uses beyond the common parameters; a method that is not named here uses only those."""

CONDITIONS: Mapping[str, tuple[str, str]] = {
    "optimizer": ("update", "normalised"),
    "learning_rate": ("update", "normalised"),
    "schedule": ("update", "normalised"),
    "momentum": ("optimizer", "momentum"),
}
"""A parameter that applies only where another one has a certain value."""


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

    def check(self, task: str, parameters: Mapping[str, Scalar | None]) -> None:
        """Raise ValueError with a plain sentence when the values do not fit the task."""


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
            return ", ".join(f"{value:g} with {name}" for name, value in DEFAULT_LEARNING_RATES.items())
        return "the task's own" if self.field.default is None else str(self.field.default)


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
        A whole number, a number or a choice, with its bounds.

    Returns
    -------
    str
        Such as ``a whole number of at least 1`` or ``one of raw, normalised``.
    """
    kind = _base_type(field)
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
