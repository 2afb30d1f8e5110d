"""What the identity cards say of a method is so."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.choice import backend_for
from freewalk.harness.methods.feedback_alignment import FeedbackAlignment
from freewalk.harness.methods.method import Card, Method
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import BUILT_IN, METHODS
from freewalk.harness.parameters.identity import SYMBOLS, backends, symbols_of
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.tasks.registry import TASKS

ROOT = Path(__file__).parents[3]
BY_NAME = pytest.mark.parametrize("name", BUILT_IN)
FREE = {"architecture": "free", "hidden": 4, "timesteps": 3}
LAYERED = {"architecture": "2-3-2-1"}
SOURCE = re.compile(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{5}|\w+ Press, (19|20)\d\d")


def card_of(name: str) -> Card:
    card = METHODS[name].card
    assert card is not None
    return card


def resolved(name: str, **parameters: Any) -> ResolvedProblem:
    """Return a small problem of XOR, or of another task; skip where the method's package is not there."""
    own = METHODS[name]
    if own.needs is not None:
        pytest.importorskip(own.needs, reason="the extra es is not installed")
    task = TASKS[str(parameters.pop("task", "xor"))]
    return resolve_problem(task.name, name, fill(name, parameters, task.parameters))


@BY_NAME
def test_a_card_is_complete(name: str) -> None:
    card = card_of(name)
    for field, text in asdict(card).items():
        assert text.strip(), field
        assert text == " ".join(text.split()), field
        assert not text.endswith("."), f"{field}: whoever shows it ends the sentence"
        assert "**" not in text, f"{field}: powers are written ^"
    assert SOURCE.search(card.reference), "a DOI, an arXiv number or a publisher and a year"
    held_by = ROOT / card.held_by
    assert held_by.is_file(), card.held_by
    assert re.search(r"^def test_", held_by.read_text(encoding="utf-8"), re.MULTILINE)


@BY_NAME
def test_a_card_claims_what_gradcheck_may_ask(name: str) -> None:
    kind, unbiased = METHODS[name].gradient, card_of(name).unbiased
    assert ("exactly" in unbiased) == (kind == "exact")
    assert unbiased.startswith("the gradient") == (kind != "unknown")
    assert ("last layer; nothing below" in unbiased) == (kind == "predicted")
    assert unbiased.startswith("nothing") == (kind == "unknown")


# What formulas ask for, counted by hand. Free XOR: 2 inputs, a bias, an output and 4 hidden neurons lead to 5 neurons.
# 2-3-2-1: 9 + 8 + 3 weights, linear predictors of 9 + 4, direct feedback from one output to 5 neurons. The outputs of
# XOR are read once in 3 timesteps, those of copy, 8 symbols, at every one.
PROBLEMS: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({**FREE, "batch_size": 10}, {"B": 10, "P": 40, "N": 5, "r": 1 / 3}),
    ({**FREE, "batch_size": 10, "backward_cost": 3.0}, {"B": 10, "backward_cost": 3.0}),
    ({**FREE, "batch_size": 6, "population": 9}, {"B": 6, "K": 9}),
    ({**LAYERED, "batch_size": 10}, {"B": 10, "P": 20, "S": 13}),
    ({**LAYERED, "batch_size": 7, "backward_cost": 3.0}, {"B": 7, "P": 20, "S": 13, "backward_cost": 3.0}),
    ({**LAYERED, "batch_size": 6, "population": 9}, {"B": 6, "K": 9}),
    ({"task": "copy", "hidden": 3, "batch_size": 4}, {"B": 4, "r": 1, "N": 11}),
]
DIRECT_FEEDBACK = 5


def value(formula: str, numbers: dict[str, float]) -> float:
    """Return what a card's formula comes to: products without a sign, powers by ^."""
    multiplied = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula)
    return float(eval(multiplied.replace("^", "**"), {"__builtins__": {}}, numbers))


@BY_NAME
def test_the_cost_is_what_budgets_count(name: str) -> None:
    own, formula = METHODS[name], card_of(name).cost.partition(":")[0]
    asked = set(re.findall(r"[A-Za-z_]+", formula))
    assert asked <= {"backward_cost", *SYMBOLS}
    checked = 0
    for parameters, numbers in PROBLEMS:
        known = {"backward_cost": 2.0, **numbers}
        if isinstance(own, FeedbackAlignment):
            known["S"] = DIRECT_FEEDBACK
        takes = own.networks in ("both", "layered" if "-" in parameters.get("architecture", "") else "free")
        has = all(one in own.parameters.model_fields for one in {"backward_cost", "population"} & set(parameters))
        if takes and has and asked <= set(known):
            problem = resolved(name, **parameters)
            assert problem.evaluations_per_step == pytest.approx(value(formula, known), rel=1e-12), parameters
            checked += 1
    assert checked >= (1 if name == "numerical" else 2), "some problem gives all that the formula asks for"


@pytest.mark.parametrize(
    ("name", "options", "cost"),
    [
        ("walk", {"sides": "two", "batch_size": 12}, 24),
        ("walk", {"share_data": "yes", "datapoints": 4, "batch_size": 12}, 16),
        ("node", {"sides": "two", "batch_size": 12}, 36),
        ("synthetic", {**LAYERED, "predictor": "conditioned", "batch_size": 10}, 10 * (3 + 2 * (5 * 3 + 4 * 2) / 20)),
        ("snes", {"batch_size": 3, **FREE}, 3 * (4 + 11)),
    ],
)
def test_what_a_card_says_of_other_settings(name: str, options: dict[str, Any], cost: float) -> None:
    assert resolved(name, **options).evaluations_per_step == pytest.approx(cost)


@BY_NAME
def test_the_networks_are_those_that_it_starts_on(name: str) -> None:
    own: Method = METHODS[name]
    for kind, parameters in (("free", FREE), ("layered", LAYERED)):
        if own.networks not in ("both", kind):
            with pytest.raises(ValueError, match=f"method {name} learns {own.networks} networks only; give") as error:
                resolved(name, **parameters)
            assert "\n" not in str(error.value)
            continue
        problem = resolved(name, **parameters, batch_size=4)
        for backend in backends(own)[:2]:
            trainer = problem.start(resolve_backend(backend), seed=1, evaluation_points=4)
            assert trainer.weights.shape == (problem.network.n_from, problem.network.n_to), backend


@BY_NAME
def test_the_backends_are_those_that_it_is_given(name: str) -> None:
    for backend in ("cpu", "reference"):
        assert backend in backends(METHODS[name])
        assert backend_for(backend, name).name == backend
    try:
        found = backend_for("cuda", name).name
    except UsageError as error:
        found = "nowhere" if "has no kernels for method" in str(error) else "cuda"  # where there is a GPU
    assert (found == "cuda") == ("cuda" in backends(METHODS[name]))


def test_cards_use_every_symbol_and_say_what_it_means() -> None:
    used = {symbol for name in BUILT_IN for symbol in symbols_of(card_of(name))}
    assert used == set(SYMBOLS)
    card = Card("dL/dW = u_t' d", "", "", "c = P + 2", "2 B: walks", "", "")
    assert [*symbols_of(card)] == [one for one in SYMBOLS if one in ("L", "W", "u_t", "'", "c", "P", "B")]
