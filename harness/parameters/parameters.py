"""The parameters that a cell may have: names, types, defaults, ranges, and who uses them."""

import functools
import types
import typing
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.methods.method import FREE, Method, Scalar
from freewalk.harness.methods.own_networks import NETWORKS
from freewalk.harness.methods.registered import BUILT_IN, DEFAULT_METHOD, METHODS
from freewalk.harness.methods.space import Range
from freewalk.harness.parameters.fields import CONDITIONS, LATER_PARAMETERS, CommonParameters, TaskParameters
from freewalk.results.base.names import nearest

__all__ = [
    "AXIS_KEYS",
    "CONDITIONS",
    "DEFAULT_METHOD",
    "FREE",
    "LATER_PARAMETERS",
    "PARAMETERS",
    "Axes",
    "Parameter",
    "Scalar",
    "add_method",
    "add_task_parameters",
    "base_type",
    "check_axis",
    "check_value",
    "default_of",
    "keep_task_parameters",
    "remove_method",
    "requirement",
    "uses",
]

Axes: TypeAlias = Mapping[str, tuple[Scalar, ...]]

_task_fields: dict[str, FieldInfo] = dict(TaskParameters.model_fields)


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
        """The words it may be, beside numbers if it takes both; empty for numbers alone."""
        kinds = _alternatives(self.field)
        return tuple(word for kind in kinds if typing.get_origin(kind) is Literal for word in typing.get_args(kind))

    @property
    def metavar(self) -> str:
        """Its values as an option's help has them: its words, and VALUE where it takes others."""
        others = any(typing.get_origin(kind) is not Literal for kind in _alternatives(self.field))
        return "|".join((*self.choices, *(("VALUE",) if others else ())))

    @property
    def condition(self) -> str | None:
        """Where it applies, such as ``update=normalised``; None for everywhere."""
        return "=".join(CONDITIONS[self.name]) if self.name in CONDITIONS else None

    @property
    def default_text(self) -> str:
        """The default in words."""
        if self.name == "learning_rate":
            return _learning_rates_text()
        defaults = {method: str(default_of(self.name, method)) for method in self.methods}
        if len(set(defaults.values())) > 1:
            return _by_method(defaults)
        return "the task's own" if self.field.default is None else str(self.field.default)


def _learning_rates_text() -> str:
    """Say the default learning rates by optimizer."""
    return _by_method(
        {
            name: ", ".join(f"{rate:g} with {optimizer}" for optimizer, rate in method.learning_rates.items())
            for name, method in METHODS.items()
        }
    )


def _by_method(texts: Mapping[str, str]) -> str:
    """Say what holds for which method, methods with equal texts together, those without one left out."""
    methods: dict[str, list[str]] = {}
    for name, text in texts.items():
        methods.setdefault(text, []).append(name)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in methods.items() if text)


def _collect() -> Iterator[Parameter]:
    for name, field in CommonParameters.model_fields.items():
        yield Parameter(name, "common", field, ())
    owners: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for method in METHODS.values():
        for name, field in method.parameters.model_fields.items():
            owners.setdefault(name, []).append(method.name)
            fields.setdefault(name, field)
    for name, field in fields.items():
        yield Parameter(name, "method", field, tuple(owners[name]))
    for name, field in _task_fields.items():
        yield Parameter(name, "task", field, ())


def base_type(field: FieldInfo) -> Any:
    """Give the field's type without its ``| None``."""
    kinds = _alternatives(field)
    return kinds[0] if len(kinds) == 1 else field.annotation


def _alternatives(field: FieldInfo) -> tuple[Any, ...]:
    """Return the types that a field may be of, None left out."""
    if typing.get_origin(field.annotation) in (types.UnionType, typing.Union):
        return tuple(kind for kind in typing.get_args(field.annotation) if kind is not type(None))
    return (field.annotation,)


def requirement(field: FieldInfo) -> str:
    """Say in words what values a field takes.

    Parameters
    ----------
    field : FieldInfo
        A whole number, a number or a choice, with its bounds; or one whose ``values`` are given in words.

    Returns
    -------
    str
        Such as ``a whole number of at least 1`` or ``one of raw, normalised``.
    """
    kind = base_type(field)
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


_parameters: dict[str, Parameter] = {parameter.name: parameter for parameter in _collect()}
PARAMETERS: Mapping[str, Parameter] = _parameters
"""Every parameter by name, in the order of the tables' columns; a condition's parent precedes its child."""


class _AxisKeys(Collection[str]):
    """The names that an axis may have, at any time."""

    def __iter__(self) -> Iterator[str]:
        return iter(("task", "method", *PARAMETERS))

    def __len__(self) -> int:
        return 2 + len(PARAMETERS)

    def __contains__(self, key: object) -> bool:
        return key in ("task", "method") or key in PARAMETERS


AXIS_KEYS: Collection[str] = _AxisKeys()


def add_method(method: Method) -> None:
    """Add a method of one's own, with its parameters.

    Raises
    ------
    ValueError
        If its name is taken, or a parameter has no default or description, or a name that means something else already.
    """
    from freewalk.tasks.registry import check_name  # loads what compiles tasks

    check_name("method", method.name)
    if METHODS.get(method.name, method) is not method:
        whose = "that comes with freewalk" if method.name in BUILT_IN else "that another plug-in brought"
        raise ValueError(f"method {method.name!r} is the name of a method {whose}; choose another name")
    for name, field in method.parameters.model_fields.items():
        known = PARAMETERS.get(name)
        if known is not None and (known.group != "method" or base_type(known.field) != base_type(field)):
            raise ValueError(f"parameter {name!r} of method {method.name!r} means something else already: {known.help}")
        _check_own(f"parameter {name!r} of method {method.name!r}", name, field)
    METHODS[method.name] = method
    _collect_again()


def remove_method(name: str) -> None:
    """Forget a method of one's own, with the parameters that no other has; those that come with freewalk stay."""
    if name not in BUILT_IN and METHODS.pop(name, None) is not None:
        _collect_again()


def add_task_parameters(task: str, defaults: Mapping[str, Scalar], texts: Mapping[str, str]) -> None:
    """Add those parameters of a task of one's own that no task had before.

    Parameters
    ----------
    defaults
        The task's parameters with their defaults, which give the types.
    texts
        What each new one means.

    Raises
    ------
    ValueError
        If a name means something else already, or a default does not fit the parameter of that name.
    """
    new: dict[str, FieldInfo] = {}
    for name, default in defaults.items():
        known = PARAMETERS.get(name)
        where = f"parameter {name!r} of task {task!r}"
        if known is None:
            kind: Any = type(default)
            field = FieldInfo.from_annotation(kind | None)
            field.default, field.description = None, texts.get(name, f"of task {task}")
            _check_own(where, name, field)
            new[name] = field
        elif known.group != "task":
            raise ValueError(f"{where} means something else already: {known.help}")
        else:
            try:
                check_value(name, default)
            except UsageError as error:
                raise ValueError(f"{where}: {error}") from None
    _task_fields.update(new)
    _collect_again()


def keep_task_parameters(used: Collection[str]) -> None:
    """Forget the task parameters of one's own that no task uses any more."""
    for name in [name for name in _task_fields if name not in TaskParameters.model_fields and name not in used]:
        del _task_fields[name]
    _collect_again()


def _check_own(where: str, name: str, field: FieldInfo) -> None:
    if base_type(field) not in (int, float, str) and typing.get_origin(base_type(field)) is not Literal:
        raise ValueError(f"{where} must be a whole number, a number, text or one of some words")
    if field.is_required() or not field.description:
        raise ValueError(f"{where} needs a default and a description")
    if not name.isidentifier() or name in ("task", "method", "seed", "seeds"):
        raise ValueError(f"{where}: choose another name")


def _collect_again() -> None:
    _adapter.cache_clear()
    _parameters.clear()
    _parameters.update((parameter.name, parameter) for parameter in _collect())


def default_of(name: str, method: str) -> Scalar | None:
    """Return a parameter's default with a method; None where it depends on something else."""
    own = METHODS[method].parameters.model_fields.get(name) if PARAMETERS[name].group == "method" else None
    default: Scalar | None = (own or PARAMETERS[name].field).default
    return default


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = PARAMETERS[name].field
    annotated: Any = Annotated[(base_type(field), Field(), *field.metadata)]
    return TypeAdapter(annotated)


def check_value(name: str, value: Scalar, where: str = "") -> Scalar:
    """Check one value of a parameter and give it its canonical type.

    Parameters
    ----------
    name : str
        A key of `PARAMETERS`, or ``task`` or ``method``, whose values are only checked to be text.
    value : int, float or str
        The value as read; 16.0 is taken for a whole number, 1 for a float, True for yes.
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
        plain = ("no", "yes")[value] if isinstance(value, bool) else value  # TOML's and Python's own words
        checked: Scalar = _adapter(name).validate_python(plain)
    except (ValidationError, ValueError, OverflowError):
        choices = (*PARAMETERS[name].choices, *(NETWORKS if name == "architecture" else ()))
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
    if isinstance(values, Range):
        return _checked_range(key, values, where)
    checked = tuple(check_value(key, value, where) for value in values)
    if not checked:
        raise UsageError(f"{where}{key} has no values; give at least one")
    if len(set(checked)) < len(checked):
        twice = Counter(checked).most_common(1)[0][0]
        raise UsageError(f"{where}{key} has the value {twice!r} twice; remove one")
    return checked


def _checked_range(key: str, values: Range, where: str) -> Range:
    kind = number_type(key)
    if kind is None:
        raise UsageError(f"{where}{key} takes words, so it has no range; write {key}=v1,v2")
    for end in (values.low, values.high):
        check_value(key, kind(end), where)
    return values


def number_type(name: str) -> type[int] | type[float] | None:
    """Return what numbers a parameter may be; None if it takes words only, or is none."""
    kinds = _alternatives(PARAMETERS[name].field) if name in PARAMETERS else ()
    plain = [typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind for kind in kinds]
    return next((kind for kind in plain if kind in (int, float)), None)


def uses(name: str, method: str) -> bool:
    """Tell whether a method uses a parameter at all; task parameters count as used by every method."""
    parameter = PARAMETERS[name]
    return parameter.group != "method" or method in parameter.methods
