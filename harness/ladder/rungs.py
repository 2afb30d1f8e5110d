"""The rungs in their order."""

from __future__ import annotations

from freewalk.harness.ladder.digits import SEGMENTS_NETWORK, learn_digits, learn_segments
from freewalk.harness.ladder.gradients import (
    HIDDEN_LAYER,
    NEURON,
    hidden_gradient,
    neuron_gradient,
    weight_gradient,
)
from freewalk.harness.ladder.rung import Attempt, Rung, Setting
from freewalk.harness.ladder.tasks import learn
from freewalk.harness.methods.method import Recipe
from freewalk.harness.methods.numerical import NUMERICAL
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.methods.walk import WALK

XOR_WIDTHS, SIGN_WIDTHS = "2-8-1", "1-4-1"


def _recipe(rung: str, setting: Setting) -> Recipe:
    """Return with which settings a method climbs; without a recipe with its defaults, as long as the walk."""
    known = METHODS[setting.method].recipes.get(rung)
    return known or Recipe(WALK.recipes[rung].steps, {"batch_size": "64", **setting.own})


def _task(name: str, task: str, architecture: str, what: str, advice: str) -> Rung:
    def climb(setting: Setting) -> Attempt:
        return learn(setting, setting.method, task, architecture, _recipe(task, setting))

    return Rung(name, what, climb, advice)


def ladder(method: str) -> tuple[Rung, ...]:
    """Return the rungs for a method, the easiest first."""
    return (
        Rung(
            "neuron",
            "AND with one neuron, by a numerical gradient",
            lambda setting: learn(setting, NUMERICAL.name, "and", NEURON, NUMERICAL.recipes["and"]),
            "differences of the loss need nothing but the loss: look at the forward pass, the loss and the data",
        ),
        Rung(
            "error signal",
            "analytic gradient of one neuron's weighted sum",
            neuron_gradient,
            "look at the derivatives of the loss by the output and of the output by the sum",
        ),
        Rung(
            "weights",
            f"gradient of one neuron, weight by weight, and {method}'s step",
            weight_gradient,
            "the error signal is right: look at its product with the inputs, and at what a step makes of it",
        ),
        _task(
            "and",
            "and",
            NEURON,
            f"AND with one neuron, by {method}",
            "the gradient is right: look at the update, its sign and its learning rate",
        ),
        Rung(
            "hidden layer",
            f"gradient of a hidden layer, weight by weight, and {method}'s step",
            hidden_gradient,
            "one neuron is right: look at how the error signal comes down through the upper layer's weights",
        ),
        _task(
            "hidden and",
            "and",
            HIDDEN_LAYER,
            f"AND with a hidden layer, by {method}",
            "the gradients are right: look at the update of the hidden layer",
        ),
        _task(
            "xor",
            "xor",
            XOR_WIDTHS,
            f"XOR, by {method}",
            "AND is learned, so try another seed, more hidden neurons or another learning rate",
        ),
        _task(
            "sign",
            "sign",
            SIGN_WIDTHS,
            f"the sign of a number, by {method}",
            "the gates are learned: look at the data, which are drawn anew at every step",
        ),
        Rung(
            "segments",
            f"seven-segment digits among {SEGMENTS_NETWORK.widths[0]} bits, by {method}",
            lambda setting: learn_segments(setting, _recipe("segments", setting)),
            "one output is learned: look at what several outputs add",
        ),
        Rung(
            "digits",
            f"scikit-learn's 8x8 digits, by {method}",
            lambda setting: learn_digits(setting, _recipe("digits", setting)),
            "simple digits are learned: look at the softmax, the inputs' range and the size of the network",
        ),
    )
