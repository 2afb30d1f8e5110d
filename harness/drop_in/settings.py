"""A configuration checked and turned into what the kernels take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.environment import memory_bytes
from freewalk.harness.base.errors import UsageError
from freewalk.harness.drop_in.keys import Keys, read_keys
from freewalk.harness.methods.walk import WALK
from freewalk.kernels.cpu.layout import most_bytes
from freewalk.kernels.model.layered import LayeredNetwork, parse_architecture
from freewalk.kernels.model.network import FreeNetwork, check_initial, check_mask
from freewalk.kernels.model.walk import Optimizer, WalkConfiguration

_REFERENCE_ARRAYS = 3
"""Of the batch's perturbed weights, which NumPy holds at once."""
_ONLY_NORMALISED = ("optimizer", "learning_rate", "momentum", "schedule")


@dataclass(frozen=True)
class Settings:
    """What a training is made of."""

    keys: Keys
    network: FreeNetwork
    configuration: WalkConfiguration
    mask: NDArray[np.bool_] | None
    widths: tuple[int, ...] | None
    """Of a layered architecture."""
    initial: NDArray[np.float64] | None

    @property
    def n_weights(self) -> int:
        """Number of weights that are trained."""
        return self.network.n_weights if self.mask is None else int(self.mask.sum())

    @property
    def parameters(self) -> dict[str, Any]:
        """What a weights file says of how it was trained, in the words of the tables."""
        keys, configuration = self.keys, self.configuration
        names = ["batch_size", "stddev", "update", "sides", "noise"]
        if configuration.update == "normalised":
            names += ["optimizer", "schedule", *(["momentum"] if configuration.optimizer == "momentum" else [])]
            names += [] if callable(keys.learning_rate) else ["learning_rate"]
        shape: dict[str, Any] = {"hidden": keys.num_hidden, "timesteps": keys.timesteps}
        if self.widths is not None:
            shape = {"architecture": "-".join(map(str, self.widths))}
        return {
            **shape,
            "activation": keys.activation,
            **{name: getattr(configuration, name) for name in names},
            "onehot_input": keys.net_input_add_onehot,
            "onehot_target": keys.net_target_add_onehot,
            "epochs": keys.epochs,
            "epoch_steps": keys.epoch_steps,
        }

    def rate_at(self, step: int) -> float | None:
        """Return the learning rate of a step where the user gave a function, else None.

        Raises
        ------
        UsageError
            If the function gives no finite number of at least 0.
        """
        if not callable(self.keys.learning_rate):
            return None
        value = self.keys.learning_rate(step)
        try:
            rate = float(value)
        except (TypeError, ValueError):
            rate = np.nan
        if not (np.isfinite(rate) and rate >= 0):
            raise UsageError(f"learning_rate must give a finite number of at least 0, gave {value!r} for step {step}")
        return rate


def settings_of(config: Mapping[str, Any], more: Mapping[str, Any]) -> Settings:
    """Check a configuration.

    Raises
    ------
    UsageError
        If a key is unknown or missing, or a value does not fit: it names the key, what is expected and what was found.
    """
    keys = read_keys(config, more)
    for onehot, sequence in (("net_input_add_onehot", "sequence_input"), ("net_target_add_onehot", "sequence_output")):
        if getattr(keys, onehot) and not getattr(keys, sequence):
            raise UsageError(f"configuration key {onehot!r} needs {sequence}=True, got False; whole numbers come a row")
    network = FreeNetwork(
        keys.num_input,
        keys.num_output,
        keys.num_hidden,
        sequence_input=keys.sequence_input,
        sequence_output=keys.sequence_output,
        softmax=keys.net_add_softmax,
        loss=keys.loss,
        hidden_activation=keys.activation,
    )
    _refuse_too_large(network, keys)
    mask, widths = _mask(network, keys)
    configuration = _configuration(keys)
    return Settings(keys, network, configuration, mask, widths, _initial(network, mask, widths, keys))


def _refuse_too_large(network: FreeNetwork, keys: Keys) -> None:
    """Raise UsageError if a step needs more memory than this machine has, before any of it is asked for."""
    available = memory_bytes()
    needed = most_bytes(network, keys.timesteps)
    if keys.backend == "reference":
        needed = _REFERENCE_ARRAYS * keys.batch_size * network.n_weights * 8
    if available is not None and needed > available:
        raise UsageError(
            f"configuration keys num_input={network.n_input}, num_hidden={network.n_hidden} and"
            f" num_output={network.n_output} make {network.n_weights:,} weights, which need about"
            f" {needed / 1e9:,.0f} GB of memory, this machine has {available / 1e9:,.0f} GB; give fewer"
        )


def _configuration(keys: Keys) -> WalkConfiguration:
    _refuse_without_effect(keys)
    optimizer: Optimizer = keys.optimizer or "sgd"
    rate = keys.learning_rate
    fixed = WALK.learning_rates[optimizer] if rate is None or callable(rate) else rate
    try:
        return WalkConfiguration(
            stddev=keys.test_stddev,
            batch_size=keys.batch_size,
            timesteps=keys.timesteps,
            update=keys.update,
            optimizer=optimizer,
            learning_rate=fixed,
            momentum=0.9 if keys.momentum is None else keys.momentum,
            schedule=keys.schedule or "constant",
            schedule_steps=keys.epochs * keys.epoch_steps,
            sides=keys.sides,
            noise=keys.noise,
            generator=keys.generator,
        )
    except ValueError as error:
        raise UsageError(str(error).replace("stddev", "test_stddev", 1)) from None


def _refuse_without_effect(keys: Keys) -> None:
    for name in _ONLY_NORMALISED:
        if keys.update == "raw" and getattr(keys, name) is not None:
            raise UsageError(
                f"configuration key {name!r} has no effect with update='raw', the original rule; give"
                " update='normalised' as well, or leave it out"
            )
    if keys.momentum is not None and keys.optimizer != "momentum":
        raise UsageError("configuration key 'momentum' has no effect without optimizer='momentum'; leave it out")
    if callable(keys.learning_rate) and keys.schedule is not None:
        raise UsageError("configuration key 'schedule' has no effect beside a learning_rate that is a function")


def _mask(network: FreeNetwork, keys: Keys) -> tuple[NDArray[np.bool_] | None, tuple[int, ...] | None]:
    """Return which weights there are, and the widths if they make a layered network."""
    if keys.architecture is None:
        if keys.mask is None:
            return None, None
        mask = np.asarray(keys.mask)
        try:
            check_mask(network, mask)
        except ValueError as error:
            raise UsageError(f"configuration key 'mask': {error}") from None
        if not mask.any():
            raise UsageError("configuration key 'mask' leaves no weight; give one that is True somewhere")
        return mask.copy(), None
    if keys.mask is not None:
        raise UsageError("configuration keys 'architecture' and 'mask' both limit the weights; leave one out")
    return _layers(network, keys)


def _layers(network: FreeNetwork, keys: Keys) -> tuple[NDArray[np.bool_], tuple[int, ...]]:
    text = keys.architecture
    try:
        widths = parse_architecture(text if isinstance(text, str) else repr(text))
    except ValueError as error:
        raise UsageError(f"configuration key 'architecture': {error}") from None
    if network.sequence_input or network.sequence_output:
        raise UsageError("configuration key 'architecture': layers see one row and answer once; leave sequences out")
    expected = (widths[0], widths[-1], sum(widths[1:-1]), len(widths) - 1)
    names = ("num_input", "num_output", "num_hidden", "timesteps")
    for name, wanted in zip(names, expected, strict=True):
        if (given := getattr(keys, name)) != wanted:
            raise UsageError(f"configuration key 'architecture' {text!r} needs {name}={wanted}, got {given}")
    return LayeredNetwork.part_of(network, widths).mask, widths


def _initial(
    network: FreeNetwork,
    mask: NDArray[np.bool_] | None,
    widths: tuple[int, ...] | None,
    keys: Keys,
) -> NDArray[np.float64] | None:
    """Return the weights to start from; None for those that the seed gives a free network."""
    if keys.weights is None:
        return None if widths is None else LayeredNetwork.part_of(network, widths).initial_weights(keys.seed)
    try:
        weights = np.asarray(keys.weights, dtype=np.float64)
        check_initial(network, weights)
    except (ValueError, TypeError) as error:
        raise UsageError(f"configuration key 'weights': {error}") from None
    if mask is not None and weights[~mask].any():
        raise UsageError("configuration key 'weights' has weights where the mask has none; set them to 0")
    return weights.copy()
