"""`harness methods`: the table, a card, what it is found by, and methods of one's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.methods.registered import BUILT_IN, METHODS
from freewalk.harness.parameters.presets.relatives import RELATIVES

Harness = Callable[..., Any]
Refused = Callable[..., str]
OWN = Path(__file__).parents[3] / "examples" / "own_method.py"


def test_the_table_has_every_method(harness: Harness) -> None:
    result = harness("methods")
    assert (result.code, result.err) == (0, "")
    for method in METHODS.values():
        assert f"\n  {method.name} " in result.out
    assert "cpu, reference, cuda" in result.out
    assert "harness presets" in result.out
    cards = json.loads(harness("methods", "--json").out)
    assert [card["method"] for card in cards] == [*BUILT_IN]
    assert len({tuple(card) for card in cards}) == 1, "all have the same keys"
    assert all(card[key] is not None for card in cards for key in card if key != "needs")


def test_a_card_has_what_the_object_knows(harness: Harness) -> None:
    result = harness("methods", "kolen-pollack")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 100
    text = " ".join(result.out.split())
    for fact in (
        *("layered only", "kp, akrout", "doi:10.1109/ICNN.1994.374486", "1 with sgd, 0.3 with momentum"),
        *("tests/kernels/trainers/test_feedback.py", "(default: 0.0001)", "W_i weights into layer i"),
    ):
        assert fact in text
    card = json.loads(harness("methods", "kolen-pollack", "--json").out)
    assert (card["networks"], card["backends"], card["gradient"]) == ("layered", ["cpu", "reference"], "predicted")
    assert card["learning_rates"] == {"sgd": 1.0, "momentum": 0.3, "adam": 0.01}
    decay = card["parameters"]["weight_decay"]
    assert (decay["default"], decay["values"]) == (1e-4, "a finite number of at least 0 and below 1")
    assert card["parameters"]["momentum"]["needs"] == "optimizer=momentum"
    assert card["parameters"]["optimizer"]["needs"] is None, "it has no `update`"


def test_the_walk_names_its_presets_and_adapters_their_package(harness: Harness) -> None:
    text = " ".join(harness("methods", "walk").out.split())
    assert f"{', '.join(RELATIVES)} are this method with certain settings; see harness presets" in text
    assert "pip install 'freewalk[es]'" in harness("methods", "cma").out


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("dfa", "direct-feedback-alignment"),
        ("E-Prop", "rflo"),
        ("kolen_pollack", "kolen-pollack"),
        ("bptt", "backprop"),
    ],
)
def test_a_method_is_found_by_its_other_names(harness: Harness, name: str, method: str) -> None:
    assert harness("methods", name).out.splitlines()[0] == method


def test_other_names_are_suggested_elsewhere(refused: Refused) -> None:
    line = refused("train", "--task", "xor", "--method", "dfa")
    assert "unknown method 'dfa' (did you mean 'direct-feedback-alignment'?)" in line


def test_a_misspelt_name_is_one_line(refused: Refused) -> None:
    assert "unknown method 'backprob' (did you mean 'backprop'?)" in refused("methods", "backprob")


def test_a_method_of_ones_own_shows_what_is_known(harness: Harness) -> None:
    result = harness("methods", "climb", "--plugin", OWN)
    assert (result.code, result.err) == (0, "")
    text = " ".join(result.out.split())
    assert "keep a random change that helps" in text
    assert "reach standard deviation of a change (default: 0.3)" in text
    assert "a method of one's own has no card" in text
    assert "None" not in text
    card = json.loads(harness("methods", "climb", "--plugin", OWN, "--json").out)
    assert (card["built_in"], card["backends"], card["equation"]) == (False, ["cpu"], None)
    assert "\n  climb " in harness("methods", "--plugin", OWN).out
