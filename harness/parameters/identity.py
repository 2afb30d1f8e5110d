"""Identity cards: all that is known of a method, from its object and from its `Card`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic.fields import FieldInfo

from freewalk.harness.methods.method import Card, Method, OwnMethod, Scalar
from freewalk.harness.methods.registered import BUILT_IN
from freewalk.harness.methods.space import Range
from freewalk.harness.methods.walk import WALK
from freewalk.harness.parameters.parameters import CONDITIONS, requirement
from freewalk.harness.parameters.presets.relatives import RELATIVES

SYMBOLS: Mapping[str, str] = {
    "L": "the loss, mean over the datapoints that are meant",
    "B": "datapoints of a step, `batch_size`",
    "m": "datapoints that see one perturbation",
    "K": "perturbations of a step, or members of a population",
    "P": "weights",
    "N": "neurons of a free network, outputs and hidden ones",
    "r": "share of the timesteps at which outputs are read",
    "S": "weights of what a method has besides, predictors or feedback",
    "c": "variance constant: the mean of |g|^2 from one perturbation, over |gradient|^2",
    "g": "what a step takes for the gradient",
    "W": "weights (from, to); rows are what enters, columns neurons",
    "W_a": "of W, the rows that activations enter by",
    "W_i": "weights into layer i, (from layer i - 1, to layer i)",
    "F": "feedback, (neuron, output)",
    "F_i": "feedback that leads down to layer i, (neurons above, neurons of layer i)",
    "u_t": "what enters at timestep t, the row [x_t, 1, a_t] of inputs, bias and activations",
    "z_t": "weighted sums of timestep t, u_t W",
    "z_i": "weighted sums of layer i, h_{i-1} W_i and biases",
    "h_i": "outputs of layer i, f(z_i); h_0 is the input",
    "n_i": "neurons of layer i",
    "k": "what a neuron keeps of its activation, 1 - leak; a_{t+1} = k a_t + (1 - k) f(z_t)",
    "s_t": "(1 - k) f'(z_t)",
    "delta_t": "dL/dz_t",
    "delta_i": "what is taken for dL/dz_i",
    "d_t": "derivative by z_t of the loss of what is read after timestep t alone: 0 but at outputs",
    "l_t": "d_t W_a', the same by a_t",
    "[ij]": "of the weight from i to j",
    "'": "transposed; f' is the derivative of an activation function",
}
"""What the formulas of the cards mean by a letter, for those that they use."""

_FIELDS = ("equation", "reference", "unbiased", "variance", "cost", "deviations", "held_by")


def identity(method: Method) -> dict[str, Any]:
    """Return what is known of a method as values of JSON, with null for what is not.

    Facts that the object holds come from the object, sentences from its `Card`. Keys are the same for every method.
    """
    card = method.card
    return {
        "method": method.name,
        "summary": method.summary,
        "also_called": list(method.also_called),
        "built_in": method.name in BUILT_IN,
        "gradient": method.gradient,
        "networks": method.networks,
        "backends": backends(method),
        "needs": method.needs,
        "evaluations": None if card is None else card.cost.partition(":")[0],
        **(dict.fromkeys(_FIELDS) if card is None else asdict(card)),
        "symbols": {} if card is None else symbols_of(card),
        "learning_rates": dict(method.learning_rates),
        "parameters": {name: _parameter(method, name) for name in method.parameters.model_fields},
        "spaces": [{key: values_text(values) for key, values in space.items()} for space in method.spaces],
        "presets": list(RELATIVES) if method is WALK else [],
    }


def backends(method: Method) -> list[str]:
    """Return where a method has kernels; one of one's own computes as it pleases, on the CPU."""
    if isinstance(method, OwnMethod):
        return ["cpu"]
    return ["cpu", "reference", *(["cuda"] if method.runs_on_gpus else [])]


def symbols_of(card: Card) -> dict[str, str]:
    """Return the symbols that a card's formulas use, with their meanings."""
    text = " ".join((card.equation, card.unbiased, card.variance, card.cost))
    return {symbol: meaning for symbol, meaning in SYMBOLS.items() if _stands_in(symbol, text)}


def _stands_in(symbol: str, text: str) -> bool:
    if symbol in ("'", "[ij]"):
        return re.search(rf"[\w)}}\]]{re.escape(symbol)}(?!s)", text) is not None
    return re.search(rf"(?<![\w.])d?{re.escape(symbol)}(?!\w)", text) is not None


def values_text(values: tuple[Scalar, ...]) -> str:
    """Return a part of a space as `--grid` has it."""
    return str(values) if isinstance(values, Range) else ",".join(map(str, values))


def spaces_text(known: Mapping[str, Any]) -> str:
    """Return what tune searches for a method of an `identity`, in words."""
    return "; or ".join(", ".join(f"{key}={values}" for key, values in space.items()) for space in known["spaces"])


def _parameter(method: Method, name: str) -> dict[str, Any]:
    fields = method.parameters.model_fields
    field: FieldInfo = fields[name]
    parent = CONDITIONS.get(name)
    return {
        "default": field.default,
        "values": requirement(field),
        "help": field.description or "",
        "needs": None if parent is None or parent[0] not in fields else "=".join(parent),
    }


def parameter_text(known: Mapping[str, Any], name: str) -> str:
    """Return what a parameter of an `identity` means, and its default, in words."""
    parameter = known["parameters"][name]
    default, needs = parameter["default"], parameter["needs"]
    if name == "learning_rate" and default is None:
        default = ", ".join(f"{rate:g} with {optimizer}" for optimizer, rate in known["learning_rates"].items())
    return f"{parameter['help']} (default: {default}{f'; needs {needs}' if needs else ''})"
