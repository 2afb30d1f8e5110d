"""The keys of the original program's configuration, and those that came later: kinds, defaults, meanings."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np

from freewalk.harness.base.errors import UsageError, nearest, unknown
from freewalk.harness.plan.settings import BACKENDS
from freewalk.kernels.model.network import Activation, Loss
from freewalk.kernels.model.noise import DEFAULT_NOISE, NOISES
from freewalk.kernels.model.walk import Optimizer, Schedule, Sides, Update

_NEEDED = object()


@dataclass(frozen=True)
class Key:
    """One key of a configuration."""

    read: Callable[[Any], Any]
    """Return the value in its own type; raise ValueError or TypeError if it is none."""
    expected: str
    """What the value must be, in words."""
    default: Any
    meaning: str

    @property
    def is_needed(self) -> bool:
        """Whether a configuration must have it."""
        return self.default is _NEEDED


def _count(least: int) -> tuple[Callable[[Any], int], str]:
    def read(value: Any) -> int:
        if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < least:
            raise ValueError
        return operator.index(value)

    return read, f"a whole number of at least {least}"


def _number(is_valid: Callable[[float], bool], words: str) -> tuple[Callable[[Any], float], str]:
    def read(value: Any) -> float:
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            raise TypeError
        number = float(value)
        if not (math.isfinite(number) and is_valid(number)):
            raise ValueError
        return number

    return read, f"a finite number {words}"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _word(choices: tuple[str, ...]) -> tuple[Callable[[Any], str], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError
        return value

    return read, f"one of {', '.join(choices)}"


def _or_none(kind: tuple[Callable[[Any], Any], str]) -> tuple[Callable[[Any], Any], str]:
    read, expected = kind
    return lambda value: None if value is None else read(value), f"{expected}, or None"


def _rate(value: Any) -> Any:
    return value if value is None or callable(value) else _number(lambda rate: rate > 0, "")[0](value)


def _seed(value: Any) -> int:
    seed = _count(0)[0](value)
    if seed >= 2**64:
        raise ValueError
    return seed


_FLAG = (_flag, "True or False")


def _any(expected: str) -> tuple[Callable[[Any], Any], str]:
    return lambda value: value, expected


ORIGINAL: Mapping[str, Key] = {
    "num_input": Key(*_count(1), _NEEDED, "input values, of each timestep"),
    "num_hidden": Key(*_count(0), _NEEDED, "hidden neurons, the output neurons not counted"),
    "num_output": Key(*_count(1), _NEEDED, "output neurons"),
    "timesteps": Key(*_count(1), _NEEDED, "how often the layer is applied before the output is read"),
    "sequence_input": Key(*_FLAG, False, "x has a row a timestep: (B, T, num_input); else (B, num_input)"),
    "net_input_add_onehot": Key(*_FLAG, False, "x is (B, T) whole numbers below num_input, meant one-hot"),
    "sequence_output": Key(*_FLAG, False, "the target has a row a timestep: (B, T, num_output)"),
    "net_target_add_onehot": Key(*_FLAG, False, "the target is (B, T) whole numbers below num_output, meant one-hot"),
    "net_add_softmax": Key(*_FLAG, False, "a softmax over the outputs"),
    "loss": Key(*_word(get_args(Loss)), "mean_squared_error", "of a datapoint; the first is a sum of squares"),
    "test_stddev": Key(*_number(lambda s: s >= 0, "of at least 0"), 0.01, "standard deviation of the perturbations"),
    "batch_size": Key(*_count(1), 1000, "datapoints of a step"),
    "epoch_steps": Key(*_count(1), 400, "steps of an epoch"),
    "epochs": Key(*_count(1), 10000, "epochs of a call of train"),
    "debug": Key(*_FLAG, False, "print the first values of every tensor of each step"),
}
"""The original program's own."""

LATER: Mapping[str, Key] = {
    "update": Key(*_word(get_args(Update)), "raw", "raw: the original rule; normalised: an optimizer's step"),
    "optimizer": Key(*_or_none(_word(get_args(Optimizer))), None, "sgd, if nothing else is said"),
    "learning_rate": Key(
        _rate,
        "a finite number greater than 0, a function of the step, or None",
        None,
        "length of a step along the gradient; None: 0.1 with sgd, 0.3 with momentum, 0.01 with adam",
    ),
    "momentum": Key(*_or_none(_number(lambda m: 0 <= m < 1, "from 0 to below 1")), None, "share kept; 0.9"),
    "schedule": Key(*_or_none(_word(get_args(Schedule))), None, "cosine: the rate falls to 0 over all epochs"),
    "sides": Key(*_word(get_args(Sides)), "one", "one: compare W + D with W; two: with W - D"),
    "noise": Key(*_word(tuple(NOISES)), DEFAULT_NOISE, "distribution of the perturbations"),
    "activation": Key(*_word(get_args(Activation)), "sigmoid", "of hidden neurons"),
    "architecture": Key(*_any("a text, or None"), None, "widths such as 3-8-2: only the weights of a layered network"),
    "mask": Key(*_any("an array, or None"), None, "(n_from, n_to) bool, False where there shall be no weight"),
    "weights": Key(*_any("an array, or None"), None, "(n_from, n_to) to start from"),
    "seed": Key(_seed, "a whole number from 0 to below 2**64", 0, "key of the initial weights and the noise"),
    "backend": Key(*_word(BACKENDS), "auto", "what computes"),
    "threads": Key(*_or_none(_count(1)), None, "of one step; None: all, or one while that is faster"),
}
"""What its author left open."""

KEYS: Mapping[str, Key] = {**ORIGINAL, **LATER}

DERIVED: Mapping[str, tuple[str, ...]] = {
    "num_from": ("num_input", "num_hidden", "num_output"),
    "num_to": ("num_hidden", "num_output"),
}
"""What the original's constructor adds to the user's dict, which may be handed over here: sums, a 1 for the bias."""


def read_keys(config: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return every key's value, defaults filled in.

    Raises
    ------
    UsageError
        If a key is unknown, missing, given twice, or has a value of the wrong kind: it names the key, what is expected
        and what was found.
    """
    if not isinstance(config, Mapping):
        raise UsageError(f"the configuration must be a mapping of keys to values, got {type(config).__name__}")
    twice = [name for name in more if name in config]
    if twice:
        raise UsageError(f"{twice[0]!r} is given in the configuration and as an argument; leave one out")
    given = {**config, **more}
    for name in given:
        if name not in KEYS and name not in DERIVED:
            raise unknown("configuration key", str(name), KEYS)
    values: dict[str, Any] = {}
    for name, key in KEYS.items():
        if name not in given and key.is_needed:
            raise UsageError(f"the configuration has no {name!r}: {key.meaning}; give {key.expected}")
        values[name] = _read(name, key, given[name]) if name in given else key.default
    for name, parts in DERIVED.items():
        value = sum(values[part] for part in parts) + (name == "num_from")
        if name in given and given[name] != value:
            raise UsageError(f"configuration key {name!r} must be {value} with these sizes, got {given[name]!r:.60}")
    return values


def _read(name: str, key: Key, value: Any) -> Any:
    try:
        return key.read(value)
    except (ValueError, TypeError, OverflowError):
        shown = f"{value!r:.60}"
        hint = nearest(value, key.expected.removeprefix("one of ").split(", ")) if isinstance(value, str) else ""
        raise UsageError(f"configuration key {name!r} must be {key.expected}, got {shown}{hint}") from None


def rows(keys: Mapping[str, Key]) -> str:
    """Return the lines of the documentation's table of keys."""
    return "\n".join(
        f"| `{name}` | {key.expected} | {_default_text(key)} | {key.meaning} |" for name, key in keys.items()
    )


def _default_text(key: Key) -> str:
    return "" if key.is_needed else f"`{key.default!r}`"
