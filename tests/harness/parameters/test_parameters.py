"""The parameters' table: types, ranges, words."""

import math

import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import (
    AXIS_KEYS,
    CONDITIONS,
    LATER_PARAMETERS,
    PARAMETERS,
    Scalar,
    check_axis,
    check_value,
    uses,
)

DEFAULTS = {
    "architecture": "free",
    "hidden": 8,
    "timesteps": None,
    "activation": "sigmoid",
    "output": "sigmoid",
    "leak": 1.0,
    "init_scale": 1.0,
    "init_biases": "auto",
    "batch_size": 1000,
    "stddev": 0.01,
    "update": "normalised",
    "optimizer": "momentum",
    "learning_rate": None,
    "momentum": 0.9,
    "schedule": "constant",
    "sides": "one",
    "rank": "full",
    "directions": "independent",
    "noise": "gaussian",
    "generator": "philox",
    "datapoints": 1,
    "share_data": "no",
    "shaping": "none",
    "backward_cost": 2.0,
    "feedback": "random",
    "predictor": "linear",
    "predictor_learning_rate": 0.1,
    "bits": None,
    "form": None,
    "pairs": None,
    "length": None,
    "delay": None,
    "counted": None,
    "sequences": None,
    "wiring": None,
    "input_noise": None,
    "noise_variance": None,
    "components": None,
    "grammar": None,
    "relevant": None,
    "inputs": None,
    "outputs": None,
    "dimensions": None,
    "trial_dimensions": None,
    "unreachable": None,
    "source": None,
    "population": 1000,
    "scale": 100.0,
    "tolerance": 0.1,
    "parents": 0.2,
    "crossover": 0.5,
    "sigma0": 0.5,
    "mean_learning_rate": 1.0,
    "stddev_learning_rate": 0.0,
    "covariance": "full",
    "strategy": "CMA_ES",
}


def test_the_parameters_and_their_defaults() -> None:
    defaults = {name: parameter.field.default for name, parameter in PARAMETERS.items()}
    assert {name: defaults[name] for name in DEFAULTS} == DEFAULTS
    later = {parameter.group for name, parameter in PARAMETERS.items() if name not in DEFAULTS}
    assert later <= {"method"}, "what other methods have of their own stands in their files"
    assert METHODS["walk"].learning_rates == {"sgd": 0.1, "momentum": 0.3, "adam": 0.01}
    rates = {frozenset(method.learning_rates) for method in METHODS.values()}
    assert rates == {frozenset({"sgd", "momentum", "adam"}), frozenset()}, "of a method with an optimizer, or of none"
    assert tuple(AXIS_KEYS)[:2] == ("task", "method")


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_described_in_one_line(name: str) -> None:
    parameter = PARAMETERS[name]
    for text in (parameter.help, parameter.range, parameter.default_text):
        assert text
        assert "\n" not in text
    default = parameter.field.default
    if default is not None:
        assert check_value(name, default) == default


def test_words_for_ranges_defaults_and_conditions() -> None:
    assert PARAMETERS["update"].range == "one of raw, normalised"
    assert PARAMETERS["momentum"].range == "a finite number of at least 0 and below 1"
    assert PARAMETERS["learning_rate"].range == "a finite number greater than 0"
    assert PARAMETERS["batch_size"].range.startswith("a whole number of at least 1")
    assert PARAMETERS["learning_rate"].default_text.startswith("walk: 0.1 with sgd, 0.3 with momentum, 0.01 with adam")
    assert PARAMETERS["architecture"].range == "free or widths such as 24-128-64-12"
    assert PARAMETERS["hidden"].condition == "architecture=free"
    assert PARAMETERS["bits"].default_text == "the task's own"
    assert PARAMETERS["learning_rate"].condition == "update=normalised"
    assert PARAMETERS["stddev"].condition == "tangent=difference"
    assert PARAMETERS["batch_size"].condition is None
    assert PARAMETERS["rank"].range == "full or a whole number of at least 1"
    assert (PARAMETERS["rank"].choices, PARAMETERS["rank"].metavar) == (("full",), "full|VALUE")
    assert PARAMETERS["sides"].metavar == "one|two"
    assert PARAMETERS["stddev"].metavar == "VALUE"


def test_a_condition_stands_on_an_earlier_parameter_and_one_of_its_values() -> None:
    order = list(PARAMETERS)
    for child, (parent, required) in CONDITIONS.items():
        assert order.index(parent) < order.index(child)
        assert check_value(parent, required) == required


def test_later_parameters_stand_for_how_things_were() -> None:
    for name, before in LATER_PARAMETERS.items():
        assert check_value(name, before) == before
        assert PARAMETERS[name].field.default in (before, None), "else old and new trials of one name would differ"


def test_methods_use_the_common_parameters_and_their_own() -> None:
    assert uses("hidden", "anything")
    assert uses("bits", "anything")
    assert uses("stddev", "walk")
    assert not uses("stddev", "anything")
    assert {"backprop", "synthetic"} <= {*PARAMETERS["backward_cost"].methods}
    assert not {"walk", "numerical"} & {*PARAMETERS["backward_cost"].methods}
    assert [method for method in METHODS if uses("optimizer", method)] == [
        name for name, method in METHODS.items() if method.learning_rates
    ]
    assert PARAMETERS["predictor"].methods == ("synthetic",)
    assert PARAMETERS["update"].methods == ("walk",)
    assert PARAMETERS["stddev"].methods == ("walk", "node", "genetic")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("stddev", 1, 1.0),
        ("stddev", -0.0, 0.0),
        ("batch_size", 16.0, 16),
        ("hidden", 0, 0),
        ("form", "sequence", "sequence"),
        ("architecture", "free", "free"),
        ("architecture", "024-8-1", "24-8-1"),
        ("backward_cost", 0, 0.0),
        ("pairs", 0, 0),
        ("rank", "1", 1),
        ("rank", 1.0, 1),
        ("rank", "full", "full"),
        ("datapoints", "8", 8),
        ("datapoints", "all", "all"),
        ("share_data", True, "yes"),
        ("activity", False, "no"),
        ("task", "xor", "xor"),
    ],
)
def test_equal_values_get_one_type(name: str, value: Scalar, expected: Scalar) -> None:
    checked = check_value(name, value)
    assert repr(checked) == repr(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", -1),
        ("hidden", 2**31),
        ("hidden", True),
        ("timesteps", 0),
        ("batch_size", 2**32),
        ("batch_size", 0.5),
        ("batch_size", "many"),
        ("stddev", -1e-9),
        ("stddev", math.nan),
        ("stddev", math.inf),
        ("stddev", 10**400),
        ("learning_rate", 0),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("momentum", math.nan),
        ("optimizer", "sdg"),
        ("sides", 1),
        ("bits", 0),
        ("form", "Static"),
        ("architecture", "Free"),
        ("architecture", 24),
        ("architecture", "24"),
        ("architecture", "24-"),
        ("architecture", "24-0-1"),
        ("architecture", "24--8-1"),
        ("architecture", "2.5-1"),
        ("activation", "gelu"),
        ("output", "relu"),
        ("leak", 0),
        ("leak", 1.1),
        ("init_scale", -1),
        ("backward_cost", -0.5),
        ("predictor", "none"),
        ("predictor_learning_rate", 0),
        ("pairs", -1),
        ("rank", 0),
        ("rank", 1.5),
        ("rank", True),
        ("rank", "half"),
        ("datapoints", "none"),
        ("datapoints", -1),
        ("share_data", "maybe"),
        ("shaping", "rank"),
        ("directions", "hadamard"),
    ],
)
def test_values_out_of_range_are_refused_with_the_range(name: str, value: Scalar) -> None:
    with pytest.raises(UsageError) as caught:
        check_value(name, value, "here: ")
    message = str(caught.value)
    assert message.startswith(f"here: {name}={value!r}")
    assert message.endswith(f"must be {PARAMETERS[name].range}")


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("noise", "rademaker", "rademacher"), ("rank", "ful", "full"), ("datapoints", "al", "all")],
)
def test_a_misspelt_choice_is_suggested(name: str, value: str, word: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{word}'"):
        check_value(name, value)


def test_an_axis_finds_duplicates_across_types() -> None:
    assert check_axis("stddev", [1, 2.0]) == (1.0, 2.0)
    with pytest.raises(UsageError, match=r"stddev has the value 1\.0 twice; remove one"):
        check_axis("stddev", [1, 2, 1.0])
