"""The keys of the original program's configuration, and those that came later: kinds, defaults, meanings."""

# The annotations are read while the program runs, so they are no strings here.
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.parameters.parameters import requirement
from freewalk.harness.plan.settings import BackendChoice
from freewalk.kernels.model.network import Activation, Loss
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, Generator, Noise
from freewalk.kernels.model.walk import Optimizer, Schedule, Sides, Update
from freewalk.results.base.names import nearest

Rate = Callable[[int], float]


def _key(default: Any, meaning: str, words: str = "", **bounds: Any) -> Any:
    """Return a key with its default, its meaning, and its values in words where the type does not say them."""
    return Field(default, description=meaning, json_schema_extra={"values": words} if words else None, **bounds)


def _flag(meaning: str) -> Any:
    return _key(False, meaning, "True or False")


class Original(BaseModel):
    """The original program's own."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)

    num_input: int = _key(..., "input values, of each timestep", ge=1)
    num_hidden: int = _key(..., "hidden neurons, the output neurons not counted", ge=0)
    num_output: int = _key(..., "output neurons", ge=1)
    timesteps: int = _key(..., "how often the layer is applied before the output is read", ge=1)
    sequence_input: bool = _flag("x has a row a timestep: (B, T, num_input); else (B, num_input)")
    net_input_add_onehot: bool = _flag("x is (B, T) whole numbers below num_input, meant one-hot")
    sequence_output: bool = _flag("the target has a row a timestep: (B, T, num_output)")
    net_target_add_onehot: bool = _flag("the target is (B, T) whole numbers below num_output, meant one-hot")
    net_add_softmax: bool = _flag("a softmax over the outputs")
    loss: Loss = _key("mean_squared_error", "of a datapoint; the first is a sum of squares")
    test_stddev: float = _key(0.01, "standard deviation of the perturbations", ge=0, allow_inf_nan=False)
    batch_size: int = _key(1000, "datapoints of a step", ge=1)
    epoch_steps: int = _key(400, "steps of an epoch", ge=1)
    epochs: int = _key(10000, "epochs of a call of train", ge=1)
    debug: bool = _flag("print the first values of every tensor of each step")


class Keys(Original):
    """Besides, what its author left open."""

    update: Update = _key("raw", "raw: the original rule; normalised: an optimizer's step")
    optimizer: Optimizer | None = _key(None, "sgd, if nothing else is said")
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Rate | None = _key(
        None,
        "length of a step along the gradient; None: 0.1 with sgd, 0.3 with momentum, 0.01 with adam",
        "a finite number greater than 0, a function of the step",
    )
    momentum: float | None = _key(None, "share kept; 0.9", "a finite number from 0 to below 1", ge=0, lt=1)
    schedule: Schedule | None = _key(None, "cosine: the rate falls to 0 over all epochs")
    sides: Sides = _key("one", "one: compare W + D with W; two: with W - D")
    noise: Noise = _key(DEFAULT_NOISE, "distribution of the perturbations")
    generator: Generator = _key(DEFAULT_GENERATOR, "of Gaussian perturbations: xoshiro takes less time")
    activation: Activation = _key("sigmoid", "of hidden neurons")
    architecture: Any | None = _key(None, "widths such as 3-8-2: only the weights of a layered network", "a text")
    mask: Any | None = _key(None, "(n_from, n_to) bool, False where there shall be no weight", "an array")
    weights: Any | None = _key(None, "(n_from, n_to) to start from", "an array")
    seed: int = _key(
        0, "key of the initial weights and the noise", "a whole number from 0 to below 2**64", ge=0, lt=2**64
    )
    backend: BackendChoice = _key("auto", "what computes")
    threads: int | None = _key(None, "of one step; None: all, or one while that is faster", ge=1)


ORIGINAL: Mapping[str, FieldInfo] = Original.model_fields
KEYS: Mapping[str, FieldInfo] = Keys.model_fields
LATER: Mapping[str, FieldInfo] = {name: KEYS[name] for name in KEYS if name not in ORIGINAL}

DERIVED: Mapping[str, tuple[str, ...]] = {
    "num_from": ("num_input", "num_hidden", "num_output"),
    "num_to": ("num_hidden", "num_output"),
}
"""What the original's constructor adds to the user's dict, which may be handed over here: sums, a 1 for the bias."""


def read_keys(config: Mapping[str, Any], more: Mapping[str, Any]) -> Keys:
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
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    try:
        keys = Keys.model_validate({name: value for name, value in plain.items() if name in KEYS})
    except ValidationError as error:
        raise _refused(str(error.errors()[0]["loc"][0]), given) from None
    for name, parts in DERIVED.items():
        value = sum(getattr(keys, part) for part in parts) + (name == "num_from")
        if name in given and given[name] != value:
            raise UsageError(f"configuration key {name!r} must be {value} with these sizes, got {given[name]!r:.60}")
    return keys


def _refused(name: str, given: Mapping[str, Any]) -> UsageError:
    key, expected = KEYS[name], _expected(KEYS[name])
    if name not in given:
        return UsageError(f"the configuration has no {name!r}: {key.description}; give {expected}")
    value = given[name]
    words = expected.removeprefix("one of ").split(", ")
    hint = nearest(value, words) if isinstance(value, str) else ""
    return UsageError(f"configuration key {name!r} must be {expected}, got {f'{value!r:.60}'}{hint}")


def _expected(key: FieldInfo) -> str:
    """Say what a key's value must be."""
    return requirement(key) + (", or None" if key.default is None else "")


def rows(keys: Mapping[str, FieldInfo]) -> str:
    """Return the lines of the documentation's table of keys."""
    return "\n".join(
        f"| `{name}` | {_expected(key)} | {'' if key.is_required() else f'`{key.default!r}`'} | {key.description} |"
        for name, key in keys.items()
    )
