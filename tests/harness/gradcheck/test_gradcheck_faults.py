"""Gradients with planted faults: each is named, in many shapes; a right gradient is never blamed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freewalk.harness.gradcheck.layers import Layer, free_layers, layered_layers
from freewalk.harness.gradcheck.numerical import judge
from freewalk.harness.gradcheck.planted import backprop, faulty_gradients
from freewalk.harness.gradcheck.report import Report, check_gradient
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient

N_CASES = 7


@dataclass(eq=False)
class Case:
    """A network at random weights with random data."""

    network: FreeNetwork
    timesteps: int
    layered: LayeredNetwork | None = None
    seed: int = 0
    scale: float = 1.0
    n_cases: int = N_CASES
    binary: bool = False

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        net, n, t = self.network, self.n_cases, self.timesteps
        self.mask = None if self.layered is None else self.layered.mask
        weights = self.scale * rng.normal(size=(net.n_from, net.n_to))
        self.weights = weights if self.mask is None else weights * self.mask
        self.x = rng.normal(size=(n, t, net.n_input) if net.sequence_input else (n, net.n_input))
        self.y = rng.random((n, t, net.n_output) if net.sequence_output else (n, net.n_output))
        if self.binary:
            self.y = (self.y < 0.5) * 1.0

    @property
    def layers(self) -> tuple[Layer, ...]:
        return free_layers(self.network) if self.layered is None else layered_layers(self.layered)

    @cached_property
    def gradient(self) -> Any:
        return loss_gradient(self.network, self.weights, self.x, self.y, self.timesteps, self.mask)[1]

    def at(self, name: str) -> Any:
        (layer,) = (layer for layer in self.layers if layer.name == name)
        return layer.indices

    def check(self, gradient: Any, *, suspects: bool = True) -> Report:
        net, t = self.network, self.timesteps

        def loss(weights: Any) -> float:
            return float(reference.losses(net, reference.forward(net, weights, self.x, t), self.y).mean())

        indices = np.concatenate([layer.indices.ravel() for layer in self.layers])
        numerical, noise = judge(loss, self.weights, gradient, indices, 1e-6)
        return check_gradient(
            gradient,
            numerical,
            self.layers,
            noise=noise,
            counts={"cases": self.n_cases, "outputs": net.n_output, "timesteps": t},
            suspects=self.suspects if suspects else None,
        )

    def suspects(self) -> Iterator[Any]:
        return faulty_gradients(self.network, self.weights, self.x, self.y, self.timesteps, self.layered)


def layered(*widths: int, **options: Any) -> Case:
    seed, scale = options.pop("seed", 0), options.pop("scale", 1.0)
    network = LayeredNetwork(widths, **options)
    return Case(network.free_network, network.depth, network, seed, scale)


CASES: dict[str, Callable[[], Case]] = {
    "two layers": lambda: layered(3, 4, 2),
    "four layers": lambda: layered(5, 4, 4, 3, 3),
    "tanh": lambda: layered(3, 4, 3, 2, hidden_activation="tanh"),
    "softmax": lambda: layered(3, 4, 3, softmax=True, loss="categorical_crossentropy"),
    "free": lambda: Case(FreeNetwork(3, 2, 4), 4),
    "free tanh": lambda: Case(FreeNetwork(2, 3, 5, hidden_activation="tanh"), 3),
    "free sequence": lambda: Case(FreeNetwork(2, 2, 3, sequence_input=True, sequence_output=True), 5),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def test_a_right_gradient_has_no_fault(case: Case) -> None:
    report = case.check(case.gradient)
    assert report.passed, str(report)
    assert report.faults == ()
    assert report.worst == ()
    n_expected = case.network.n_weights if case.layered is None else case.layered.n_weights
    assert report.n_weights == n_expected
    assert all(layer.cosine == pytest.approx(1, abs=1e-9) for layer in report.layers if layer.cosine == layer.cosine)


@pytest.mark.parametrize(
    ("factor", "kind", "words"),
    [
        (1 / N_CASES, "factor", f"1 / {N_CASES} (cases)"),
        (N_CASES, "factor", f"{N_CASES} (cases)"),
        (0.5, "factor", "1 / 2 (the derivative of a square)"),
        (2 / N_CASES, "factor", f"2 (the derivative of a square) / {N_CASES} (cases)"),
        (0.123, "factor", "a constant factor of 0.123"),
        (-1.0, "sign", "the sign is flipped"),
        (-1 / N_CASES, "sign", f"1 / {N_CASES} (cases)"),
    ],
)
def test_a_factor_of_the_whole_gradient_is_named(case: Case, factor: float, kind: str, words: str) -> None:
    report = case.check(factor * case.gradient)
    (fault,) = report.faults
    assert fault.kind == kind
    assert fault.value == pytest.approx(factor, rel=1e-5)
    assert fault.sentence.startswith("the whole gradient: ")
    assert words in fault.sentence


def test_a_factor_of_the_outputs_or_timesteps_is_named() -> None:
    case = Case(FreeNetwork(2, 3, 3, sequence_output=True), 5)
    for factor, words in ((1 / 3, "1 / 3 (outputs)"), (1 / 5, "1 / 5 (timesteps)"), (15, "3 (outputs) times 5 (")):
        (fault,) = case.check(factor * case.gradient).faults
        assert words in fault.sentence


@pytest.mark.parametrize("factor", [-1.0, 0.25, 0.0])
def test_a_fault_of_one_layer_names_the_layer(case: Case, factor: float) -> None:
    for layer in case.layers:
        if layer.is_bias or np.linalg.norm(case.gradient.flat[layer.indices]) < 1e-7:
            continue
        wrong = case.gradient.copy()
        wrong.flat[layer.indices] *= factor
        (fault,) = case.check(wrong).faults
        assert fault.layers == (layer.name,)
        assert fault.kind == ("sign" if factor < 0 else "factor" if factor else "zero")


def test_a_missing_bias_gradient_is_named(case: Case) -> None:
    wrong = case.gradient.copy()
    wrong[case.network.n_input] = 0.0
    report = case.check(wrong)
    (fault,) = report.faults
    assert fault.kind == "missing bias"
    assert all("bias" in name for name in fault.layers)
    assert report.n_missed <= case.network.n_to


def test_a_gradient_of_zero_is_named(case: Case) -> None:
    (fault,) = case.check(np.zeros_like(case.gradient)).faults
    assert (fault.kind, fault.sentence) == ("zero", "the analytic gradient is zero everywhere")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_named(case: Case, bad: float) -> None:
    wrong = case.gradient.copy()
    layer = case.layers[0]
    wrong.flat[layer.indices[0, 1]] = bad
    report = case.check(wrong)
    (fault,) = report.faults
    assert (fault.kind, fault.layers) == ("not finite", (layer.name,))
    assert (report.worst[0].from_neuron, report.worst[0].to_neuron) == (layer.row_name(0), layer.column_name(1))


def test_every_wrong_derivative_is_named(case: Case) -> None:
    planted = list(case.suspects())
    assert len(planted) >= 12
    for suspect in planted:
        report = case.check(suspect.gradient)
        assert report.faults[0].sentence == suspect.sentence
        assert len(report.faults) == 1
        scaled = case.check(-suspect.gradient / N_CASES)
        assert [fault.kind for fault in scaled.faults] == [suspect.kind, "sign"]
        assert f"1 / {N_CASES} (cases)" in scaled.faults[1].sentence


def test_a_derivative_of_activations_is_what_it_says() -> None:
    """Derived by hand for one neuron: the fault takes sigmoid'(sigmoid(z))."""
    network = FreeNetwork(2, 1, 0)
    case = Case(network, 1)
    inputs = np.concatenate([case.x, np.ones((N_CASES, 1)), np.zeros((N_CASES, 1))], axis=1)
    a = 1 / (1 + np.exp(-inputs @ case.weights[:, 0]))
    b = 1 / (1 + np.exp(-a))
    error = 2 * (a - case.y[:, 0])
    wrong = (inputs.T @ (error * b * (1 - b)) / N_CASES)[:, None]
    (fault,) = case.check(wrong).faults
    assert fault.kind == "derivative"
    assert "taken of activations instead of pre-activations" in fault.sentence
    assert fault.sentence.startswith("output neurons")
    right = (inputs.T @ (error * a * (1 - a)) / N_CASES)[:, None]
    assert case.check(right).passed


def test_an_error_signal_that_is_not_carried_back_in_time_is_named() -> None:
    case = CASES["free sequence"]()
    wrong = backprop(case.network, case.weights, case.x, case.y, case.timesteps, carried=False)
    (fault,) = case.check(wrong).faults
    assert fault.kind == "time"


def test_the_reference_for_diagnosis_agrees_with_the_exact_gradient(case: Case) -> None:
    again = backprop(case.network, case.weights, case.x, case.y, case.timesteps, mask=case.mask)
    np.testing.assert_allclose(again, case.gradient, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_wrong_layer_is_named_with_where_the_error_enters(depth: int) -> None:
    case = layered(4, 5, 4, 3)
    rng = np.random.default_rng(1)

    def spoilt(*names: str) -> Report:
        wrong = case.gradient.copy()
        for name in names:
            wrong.flat[case.at(name)] += 0.1 * rng.normal(size=case.at(name).shape)
        return case.check(wrong)

    only_weights = spoilt(f"layer {depth}")
    assert [fault.kind for fault in only_weights.faults] == ["layer", "layer"]
    assert only_weights.faults[0].sentence.startswith(f"layer {depth}: its direction is wrong (cosine")
    assert f"error signal of layer {depth} is: look at its product" in only_weights.faults[1].sentence
    only_bias = spoilt(f"layer {depth} bias")
    assert only_bias.faults[0].layers == (f"layer {depth} bias",)
    assert "how its bias gradient is summed" in only_bias.faults[1].sentence
    below = [f"layer {k}{suffix}" for k in range(1, depth + 1) for suffix in ("", " bias")]
    from_there_down = spoilt(*below)
    assert {name for fault in from_there_down.faults for name in fault.layers} == set(below)
    entering = from_there_down.faults[-1].sentence
    assert (f"comes down from layer {depth + 1}" in entering) is (depth < 3)


def test_a_transposed_and_a_swapped_layer_are_recognised() -> None:
    case = layered(4, 4, 4, 4)
    transposed = case.gradient.copy()
    transposed.flat[case.at("layer 2")] = case.gradient.flat[case.at("layer 2")].T
    assert "layer 2: it equals its own gradient transposed" in str(case.check(transposed))
    swapped = case.gradient.copy()
    swapped.flat[case.at("layer 1")] = case.gradient.flat[case.at("layer 3")]
    assert "layer 1: it equals the gradient of layer 3" in str(case.check(swapped))


@pytest.mark.parametrize("part", [1e-3, 1.0])
def test_a_layer_that_is_off_by_little_is_no_factor(case: Case, part: float) -> None:
    layer = case.layers[0]
    true = case.gradient.flat[layer.indices]
    wrong = case.gradient.copy()
    rng = np.random.default_rng(2)
    wrong.flat[layer.indices] += part * np.abs(true).mean() * rng.normal(size=true.shape)
    assert case.check(wrong).faults[0].kind == "layer"


def test_a_layer_with_a_tiny_gradient_is_judged_like_any_other() -> None:
    case = layered(4, 5, 4, 3, scale=0.01)
    at = case.at("layer 1")
    true = case.gradient.flat[at]
    assert np.linalg.norm(true) < 1e-5
    for factor in (-1.0, 0.5):
        wrong = case.gradient.copy()
        wrong.flat[at] *= factor
        (fault,) = case.check(wrong).faults
        assert fault.value == pytest.approx(factor, rel=1e-3)
    wrong = case.gradient.copy()
    wrong.flat[at] = true[::-1]
    assert case.check(wrong).faults[0].kind == "layer"


def test_a_layer_without_any_gradient_is_not_just_a_missing_bias(case: Case) -> None:
    wrong = case.gradient.copy()
    for layer in case.layers[:2]:
        wrong.flat[layer.indices] = 0.0
    (fault,) = case.check(wrong).faults
    assert (fault.kind, len(fault.layers)) == ("zero", 2)


def test_one_wrong_weight_among_many_is_found_and_localised() -> None:
    case = layered(6, 8, 3)
    wrong = case.gradient.copy()
    at = case.at("layer 1")
    wrong.flat[at[2, 5]] *= 1 + 1e-5  # far too little to turn the layer's gradient
    report = case.check(wrong)
    assert report.n_missed == 1
    assert [(miss.layer, miss.from_neuron, miss.to_neuron) for miss in report.worst] == [
        ("layer 1", "input 2", "layer 1 neuron 5")
    ]
    assert report.worst[0].analytic == pytest.approx(wrong.flat[at[2, 5]])
    assert report.worst[0].numerical == pytest.approx(case.gradient.flat[at[2, 5]], rel=1e-7)
    assert "only in weights to layer 1 neuron 5" in report.faults[0].sentence


def test_the_worst_weights_come_first() -> None:
    case = CASES["free"]()
    wrong = case.gradient.copy()
    wrong[0, 1] *= 1.01
    wrong[5, 2] *= 3.0
    report = case.check(wrong)
    assert [(miss.from_neuron, miss.to_neuron) for miss in report.worst] == [
        ("output 1", "hidden 0"),
        ("input 0", "output 1"),
    ]
    assert report.worst[0].error == pytest.approx(0.5)


def test_combinations_do_not_crash_and_are_never_silent(case: Case) -> None:
    rng = np.random.default_rng(3)
    planted = [suspect.gradient for suspect in case.suspects()]
    for _ in range(30):
        wrong = planted[rng.integers(len(planted))].copy()
        for layer in case.layers:
            kind = rng.integers(5)
            if kind == 0:
                wrong.flat[layer.indices] *= -1
            elif kind == 1:
                wrong.flat[layer.indices] *= 10 ** rng.uniform(-3, 3)
            elif kind == 2:
                wrong.flat[layer.indices] = 0.0
            elif kind == 3:
                wrong.flat[layer.indices] += rng.normal(size=layer.indices.shape)
        report = case.check(wrong)
        assert not report.passed
        assert report.faults
        assert report.worst
        assert all(fault.sentence for fault in report.faults)


shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 4), st.integers(1, 4))


@settings(max_examples=250, deadline=None)
@given(
    shape=shapes,
    widths=st.none() | st.lists(st.integers(1, 5), min_size=2, max_size=4),
    options=st.tuples(*[st.booleans()] * 5),
    scale=st.floats(0.05, 6.0),
    seed=st.integers(0, 2**31),
)
def test_right_gradients_are_never_blamed(
    shape: tuple[int, int, int, int], widths: list[int] | None, options: tuple[bool, ...], scale: float, seed: int
) -> None:
    softmax, crossentropy, tanh, sequence_input, sequence_output = options
    common: dict[str, Any] = {
        "softmax": softmax,
        "loss": "categorical_crossentropy" if crossentropy else "mean_squared_error",
        "hidden_activation": "tanh" if tanh else "sigmoid",
    }
    if widths is None:
        n_input, n_output, n_hidden, timesteps = shape
        network = FreeNetwork(
            n_input, n_output, n_hidden, sequence_input=sequence_input, sequence_output=sequence_output, **common
        )
        case = Case(network, timesteps, None, seed, scale, 3, binary=sequence_input)
    else:
        deep = LayeredNetwork(tuple(widths), **common)
        case = Case(deep.free_network, deep.depth, deep, seed, scale, 3, binary=sequence_input)
    report = case.check(case.gradient)
    assert report.passed, str(report)
    assert report.faults == ()


def test_shapes_and_layers_must_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\), the numerical one \(4,\)"):
        check_gradient(np.zeros((2, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="beyond the gradient's 4"):
        check_gradient(np.zeros(4), np.zeros(4), [Layer("a", np.array([[4]]))])


def test_a_report_is_data_and_text() -> None:
    case = CASES["two layers"]()
    found = case.check(2 * case.gradient)
    as_dict = found.as_dict()
    assert (as_dict["passed"], as_dict["n_missed"], len(as_dict["worst"])) == (False, found.n_missed, 5)
    assert as_dict["faults"][0]["kind"] == "factor"
    lines = str(found).splitlines()
    assert lines[0] == f"{found.n_missed} of {found.n_weights} weights miss the tolerance of 1e-06"
    assert sum(line.startswith("worst: ") for line in lines) == 5
