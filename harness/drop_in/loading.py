"""The configuration that a weights file was trained with, in the original program's words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.drop_in.keys import KEYS
from freewalk.harness.methods.own_networks import refuse_own
from freewalk.harness.methods.walk import WALK
from freewalk.harness.weights.weights_file import load

_NAMES = {"stddev": "test_stddev", "onehot_input": "net_input_add_onehot", "onehot_target": "net_target_add_onehot"}
_SIZES = ("num_input", "num_hidden", "num_output", "sequence_input", "sequence_output", "timesteps")
_CONDITIONAL = ("optimizer", "learning_rate", "momentum", "schedule")


def config_of(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a weights file, with the keys in `config` in place of its own.

    Raises
    ------
    UsageError
        If the file cannot be read, or a key would make another network.
    """
    saved = load(path)
    refuse_own("NNRndTraining", getattr(saved.network, "name", None), "RandomWalk trains a loss of your own")
    network = saved.network
    described: dict[str, Any] = {
        "num_input": network.n_input,
        "num_hidden": network.n_hidden,
        "num_output": network.n_output,
        "sequence_input": network.sequence_input,
        "sequence_output": network.sequence_output,
        "net_add_softmax": network.softmax,
        "loss": network.loss,
        "activation": network.hidden_activation,
        "timesteps": saved.n_timesteps,
        "weights": saved.weights,
    }
    if saved.layers is not None:
        described["architecture"] = "-".join(map(str, saved.layers.widths))
    elif saved.mask is not None:
        described["mask"] = saved.mask
    for name in _SIZES:
        if name in config and config[name] != described[name]:
            raise UsageError(f"configuration key {name!r} is {described[name]} in {path}, got {config[name]!r}")
    seed = saved.record.get("seed")
    if isinstance(seed, int):
        described["seed"] = (seed + 1) % 2**64  # the old one would bring the noise that the weights have seen
    if saved.method == WALK.name:
        described |= _walk_keys(saved.parameters, config)
    return {**described, **config}


def _walk_keys(parameters: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the walk was configured, less what a change makes meaningless."""
    named = {_NAMES.get(name, name): value for name, value in parameters.items()}
    keys = {name: value for name, value in named.items() if name in KEYS and name not in ("architecture", "timesteps")}
    for changed, dropped in (("update", _CONDITIONAL), ("optimizer", ("learning_rate", "momentum"))):
        if changed in config and config[changed] != keys.get(changed):
            keys = {name: value for name, value in keys.items() if name not in dropped}
    if callable(config.get("learning_rate")):
        keys.pop("schedule", None)
    return keys
