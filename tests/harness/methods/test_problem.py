"""From a cell to what the kernels take: sizes, masks, costs, and what does not fit."""

from collections.abc import Callable

import numpy as np
import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.numerical import NUMERICAL
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell, Plan
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.model.synthetic import SyntheticConfiguration
from freewalk.kernels.model.walk import WalkConfiguration

MakePlan = Callable[..., Plan]


def cell(plan: MakePlan, task: str, method: str, *specs: str) -> Cell:
    (only,) = plan(*specs, tasks=[task], methods=[method]).cells
    return only


def resolved(plan: MakePlan, task: str, method: str, *specs: str) -> ResolvedProblem:
    one = cell(plan, task, method, *specs)
    return resolve_problem(one.task, one.method, one.parameters)


def test_a_free_network_has_the_tasks_sizes_and_every_weight(plan: MakePlan) -> None:
    found = resolved(plan, "shifted-sums", "walk", "hidden=5", "stddev=0.5", "activation=tanh", "update=raw")
    network = found.network
    assert (network.n_input, network.n_output, network.n_hidden, network.sequence_input) == (3, 2, 5, True)
    assert network.hidden_activation == "tanh"
    assert (found.layers, found.mask) == (None, None)
    assert found.n_weights == (3 + 1 + 2 + 5) * (2 + 5)
    assert found.configuration == WalkConfiguration(stddev=0.5, batch_size=1000, timesteps=4)
    assert np.array_equal(found.initial_weights(3), initial_weights(11, 7, 3))


def test_the_words_of_the_family_become_what_the_kernels_take(plan: MakePlan) -> None:
    plain = resolved(plan, "xor", "walk").configuration
    assert isinstance(plain, WalkConfiguration)
    assert plain.is_plain
    specs = ("rank=2", "datapoints=all", "share_data=yes", "batch_size=64")
    walk = resolved(plan, "xor", "walk", *specs).configuration
    assert isinstance(walk, WalkConfiguration)
    assert (walk.rank, walk.datapoints, walk.share_data, walk.n_perturbations) == (2, 64, True, 1)
    walk = resolved(plan, "xor", "walk", "directions=orthogonal", "datapoints=4", "shaping=ranks").configuration
    assert isinstance(walk, WalkConfiguration)
    assert (walk.rank, walk.directions, walk.datapoints, walk.shaping) == (None, "orthogonal", 4, "ranks")


@pytest.mark.parametrize(
    ("specs", "evaluations"),
    [
        ((), 2000),
        (("sides=two",), 2000),
        (("datapoints=10",), 2000),
        (("datapoints=all", "sides=two"), 2000),
        (("datapoints=10", "share_data=yes"), 1010),
        (("datapoints=10", "share_data=yes", "sides=two"), 2000),
        (("rank=1", "share_data=yes"), 1001),
    ],
)
def test_a_step_costs_the_passes_that_it_makes(plan: MakePlan, specs: tuple[str, ...], evaluations: int) -> None:
    found = resolved(plan, "xor", "walk", *specs)
    assert found.evaluations_per_step == evaluations
    assert Budget(evaluations=100_000).steps(found.evaluations_per_step) == 100_000 // evaluations


def test_a_layered_network_is_a_masked_free_one(plan: MakePlan) -> None:
    found = resolved(plan, "xor", "walk", "architecture=2-3-2-1", "activation=tanh")
    assert found.layers is not None
    assert (found.layers.widths, found.layers.hidden_activation) == ((2, 3, 2, 1), "tanh")
    assert found.network == found.layers.free_network
    assert (found.network.n_hidden, found.timesteps) == (5, 3)
    assert found.n_weights == (2 + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 1
    assert found.mask is not None
    assert found.mask.sum() == found.n_weights
    start = found.initial_weights(0)
    assert not start[~found.mask].any()
    assert np.array_equal(start, found.layers.initial_weights(0))
    assert cell(plan, "xor", "walk", "architecture=2-3-2-1").parameters["timesteps"] is None


def test_every_method_starts_from_the_same_weights(plan: MakePlan) -> None:
    starts = [
        resolved(plan, "xor", method, "architecture=2-4-1").initial_weights(7)
        for method in ("walk", "backprop", "numerical", "synthetic")
    ]
    assert all(np.array_equal(starts[0], start) for start in starts)


def test_gradient_methods_get_their_parameters(plan: MakePlan) -> None:
    specs = ("architecture=2-4-1", "optimizer=momentum", "momentum=0.5", "learning_rate=2", "schedule=cosine")
    own = ("backward_cost=3", "predictor=conditioned", "predictor_learning_rate=0.25", "batch_size=8")
    found = resolved(plan, "xor", "synthetic", *specs, *own)
    assert found.over(70).configuration == SyntheticConfiguration(
        batch_size=8,
        timesteps=2,
        optimizer="momentum",
        learning_rate=2.0,
        momentum=0.5,
        schedule="cosine",
        schedule_steps=70,
        predictor="conditioned",
        predictor_learning_rate=0.25,
        backward_cost=3.0,
    )
    assert resolved(plan, "xor", "numerical").configuration.schedule_steps == 1
    one = cell(plan, "xor", "numerical")
    assert resolve_problem("xor", "numerical", one.parameters, 9).configuration.schedule_steps == 9


@pytest.mark.parametrize(
    ("method", "specs", "expected"),
    [
        ("walk", (), 2 * 10),
        ("walk", ("sides=two", "architecture=2-4-1"), 2 * 10),
        ("backprop", (), 10 * (1 + 2)),
        ("backprop", ("backward_cost=0.5", "architecture=2-4-1"), 10 * 1.5),
        # Two inputs, a bias, an output and three hidden neurons feed four.
        ("numerical", ("hidden=3",), 2 * 7 * 4 * 10),
        ("numerical", ("architecture=2-4-1",), 2 * (3 * 4 + 5) * 10),
        # Predictors of 4 neurons: 4 * 4 weights beside the network's 17, forward and the half of backward.
        ("synthetic", ("architecture=2-4-1",), 10 * (3 + 2 * 16 / 17)),
        ("synthetic", ("architecture=2-4-1", "predictor=bias"), 10 * (3 + 2 * 20 / 17)),
        ("synthetic", ("architecture=2-4-1", "predictor=conditioned", "backward_cost=0"), 10 * (1 + 24 / 17)),
    ],
)
def test_what_a_step_costs(plan: MakePlan, method: str, specs: tuple[str, ...], expected: float) -> None:
    found = resolved(plan, "xor", method, *specs, "batch_size=10")
    assert found.evaluations_per_step == pytest.approx(expected, rel=1e-12)


SEQUENCE = "a layered network sees its input once and answers once, here data come timestep by timestep"


@pytest.mark.parametrize(
    ("task", "method", "specs", "culprit", "remedy"),
    [
        ("xor", "walk", ("architecture=3-8-1",), "architecture=3-8-1 does not fit 2 input", "give architecture=2-8-1"),
        ("xor", "backprop", ("architecture=2-8-9-2",), "and 1 output", "give architecture=2-8-9-1"),
        ("parity", "numerical", ("architecture=2-1", "bits=5"), "5 input", "give architecture=5-1"),
        ("shifted-sums", "walk", ("architecture=3-8-2",), SEQUENCE, "form=static where the task has it, or archi"),
        ("addition", "walk", ("architecture=8-8-4",), SEQUENCE, "give form=static"),
        ("parity", "backprop", ("architecture=1-8-1", "form=sequence"), SEQUENCE, "give form=static"),
        ("xor", "kolen-pollack", (), "kolen-pollack learns layered networks only", "such as architecture=2-16-1"),
        ("addition", "kolen-pollack", ("form=static",), "layered networks only", "such as architecture=8-16-4"),
        ("addition", "kolen-pollack", (), SEQUENCE, "give form=static where the task has it, or another method"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    plan: MakePlan, task: str, method: str, specs: tuple[str, ...], culprit: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        cell(plan, task, method, *specs)
    message = str(caught.value)
    assert message.startswith(f"task {task!r}: ")
    assert culprit in message
    assert remedy in message
    assert f"(cell: {method}, architecture=" in message
    assert "\n" not in message


def test_a_method_for_free_networks_says_so(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NUMERICAL, "networks", "free")
    assert cell(plan, "xor", "numerical").parameters["architecture"] == "free"
    with pytest.raises(UsageError, match="numerical learns free networks only; give architecture=free, or another"):
        cell(plan, "xor", "numerical", "architecture=2-3-1")


@pytest.mark.parametrize(
    ("methods", "specs", "message"),
    [
        ("walk", ("architecture=2-3-1", "hidden=4"), "hidden has no effect with architecture=2-3-1; add archit"),
        ("backprop", ("architecture=2-3-1", "timesteps=4"), "timesteps has no effect with architecture=2-3-1; add"),
        ("backprop", ("stddev=1",), "stddev has no effect with method backprop; add method=walk,"),
        ("walk,numerical", ("backward_cost=1",), "with method walk,numerical; add method=backprop,synthetic,"),
        ("backprop", ("predictor=bias",), "predictor has no effect with method backprop; add method=synthetic, or"),
        (
            "backprop",
            ("momentum=0.5", "optimizer=sgd"),
            "momentum has no effect with optimizer=sgd; add optimizer=momentum, or",
        ),
        (
            "walk,backprop",
            ("momentum=0.5", "optimizer=sgd"),
            "momentum has no effect with optimizer=sgd; add optimizer=momentum, or",
        ),
        ("walk", ("momentum=0.5", "update=raw"), "momentum has no effect with update=raw; add update=normalised, or"),
    ],
)
def test_parameters_of_other_methods_and_architectures_have_no_effect(
    plan: MakePlan, methods: str, specs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        plan(*specs, tasks=["xor"], methods=methods.split(","))
    assert message in str(caught.value)


def test_an_axis_may_hold_free_and_layered_networks(plan: MakePlan) -> None:
    made = plan("architecture=free,2-3-1", "hidden=4,8", tasks=["xor"], methods=["backprop"])
    shown = [(c.parameters["architecture"], c.parameters["hidden"], c.parameters["timesteps"]) for c in made.cells]
    assert shown == [("free", 4, 4), ("free", 8, 4), ("2-3-1", None, None)]
    assert made.n_merged == 1


def test_an_optimizer_needs_no_update_where_the_method_has_none(plan: MakePlan) -> None:
    made = plan("update=raw", "optimizer=sgd,adam", tasks=["xor"], methods=["walk", "backprop"])
    shown = [(c.method, c.parameters["optimizer"]) for c in made.cells]
    assert shown == [("walk", None), ("backprop", "sgd"), ("backprop", "adam")]


def test_nothing_of_a_huge_network_is_made_before_it_is_asked_for(plan: MakePlan) -> None:
    found = resolved(plan, "xor", "backprop", "architecture=2-2000000-2000000-1")
    assert found.n_weights == 3 * 2_000_000 + 2_000_001 * 2_000_000 + 2_000_001
    assert found.evaluations_per_step == 3000
