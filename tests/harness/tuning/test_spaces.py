"""Spaces: what is drawn of them, what a grid leaves open, their edges, and ranges as a grid writes them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import OwnMethod
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.methods.space import Range, Scalar, Scale, Space
from freewalk.harness.parameters.parameters import Axes, add_method, check_axis, default_of, remove_method, uses
from freewalk.harness.parameters.values import parse_range, parse_values
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.effects import useful_keys
from freewalk.harness.plan.plan import expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.tuning import spaces as spaces_module
from freewalk.harness.tuning.spaces import Open, drawn, opened

Cell: TypeAlias = dict[str, Scalar | None]

REGISTRY = BuiltInRegistry()
RATES = Range(0.01, 1.0)

# what is drawn


def test_the_middle_is_drawn_first_and_always_the_same() -> None:
    space = {
        "learning_rate": RATES,
        "momentum": Range(0.5, 0.9, "uniform"),
        "batch_size": Range(4, 64),
        "optimizer": ("momentum",),
    }
    settings = list(drawn(space, 40))
    assert settings[0] == {"learning_rate": 0.1, "momentum": 0.7, "batch_size": 16, "optimizer": "momentum"}
    assert list(drawn(space, 40)) == settings
    assert list(drawn(space, 7)) == settings[:7], "more settings are the same ones, and others"
    assert all(list(setting) == list(space) for setting in settings)
    assert len({tuple(setting.values()) for setting in settings}) == 40


@st.composite
def ranges(draw: st.DrawFn, *, digits: int = 3) -> Range:
    scale: Scale = draw(st.sampled_from(["log", "uniform"]))
    low, high = sorted(draw(st.lists(st.integers(1, 10**digits - 1), min_size=2, max_size=2, unique=True)))
    power = draw(st.integers(-6, 3))
    return Range(float(f"{low}e{power}"), float(f"{high}e{power}"), scale)


@given(ranges(), ranges(), st.integers(1, 70))
def test_what_is_drawn_lies_inside_and_evenly(one: Range, other: Range, n: int) -> None:
    settings = list(drawn({"learning_rate": one, "stddev": other}, n))
    assert len(settings) == n
    for key, values in (("learning_rate", one), ("stddev", other)):
        found = [float(setting[key]) for setting in settings]
        assert all(values.low <= value <= values.high for value in found)
        assert found == [float(f"{value:.3g}") for value in found]
        places = [values.place(value) for value in found]
        if values.high > 2 * values.low and n >= 16:  # rounding moves nothing far
            counts, _ = np.histogram(places, bins=4, range=(-0.01, 1.01))
            assert counts.max() - counts.min() <= 0.25 * n + 2


@example(Range(1106.0, 1339.0), 42)
@given(ranges(digits=4), st.integers(1, 70))
def test_rounding_leads_out_of_no_range(values: Range, n: int) -> None:
    assert all(values.low <= float(setting["stddev"]) <= values.high for setting in drawn({"stddev": values}, n))


def test_no_momentum_is_drawn_that_there_cannot_be() -> None:
    for setting in drawn({"momentum": Range(0.99, 0.9999, "uniform")}, 64):
        check_axis("momentum", (setting["momentum"],))


def test_whole_numbers_are_drawn_where_a_parameter_is_one() -> None:
    space = {"batch_size": Range(3, 9, "uniform"), "population": Range(8, 256), "stddev": Range(3, 9, "uniform")}
    settings = list(drawn(space, 64))
    assert {type(setting["batch_size"]) for setting in settings} == {int}
    assert {type(setting["population"]) for setting in settings} == {int}
    assert {type(setting["stddev"]) for setting in settings} == {float}
    assert {setting["batch_size"] for setting in settings} == set(range(3, 10))
    assert all(8 <= int(setting["population"]) <= 256 for setting in settings)


def test_values_of_a_list_are_drawn_equally_often() -> None:
    space: Space = {"sides": ("one", "two"), "learning_rate": RATES, "batch_size": (4, 8, 16, 32)}
    settings = list(drawn(space, 64))[:-1]  # with the point at its corner they were 64
    for key in ("sides", "batch_size"):
        counts = [sum(setting[key] == value for setting in settings) for value in space[key]]
        assert max(counts) - min(counts) <= 1
    pairs = {(setting["sides"], setting["batch_size"]) for setting in settings}
    assert len(pairs) == 8


@given(ranges(), st.floats(0, 1))
def test_a_place_and_its_value(values: Range, place: float) -> None:
    assert [values.value(0.0), values.value(1.0)] == pytest.approx([values.low, values.high])
    assert values.place(values.value(place)) == pytest.approx(place, abs=1e-7)
    assert values.low * (1 - 1e-9) <= values.value(place) <= values.high * (1 + 1e-9)


def test_scales() -> None:
    assert RATES.value(0.5) == pytest.approx(0.1)
    assert Range(0.01, 1.0, "uniform").value(0.5) == pytest.approx(0.505)
    assert RATES.place(10.0) == pytest.approx(1.5)
    assert Range(-1.0, 3.0, "uniform").place(-3.0) == pytest.approx(-0.5)
    assert [str(RATES), str(Range(-1, 3, "uniform"))] == ["log(0.01,1)", "uniform(-1,3)"]
    assert parse_range(str(RATES)) == RATES


# what is left open


def only(**axes: Any) -> Open:
    (one,) = opened([{"task": ("xor",), "method": ("walk",), **axes}], REGISTRY)
    return one


def test_what_has_several_values_is_open() -> None:
    one = only(stddev=(0.1, 1.0), learning_rate=RATES, hidden=(3,), timesteps=(2, 3))
    assert one.space == {"stddev": (0.1, 1.0), "learning_rate": RATES, "timesteps": (2, 3)}
    assert one.settled == {"task": ("xor",), "method": ("walk",), "hidden": (3,)}
    assert (one.method, one.is_own, one.is_drawn, one.past, one.first) == ("walk", False, True, (), None)
    assert not only(stddev=(0.1, 1.0)).is_drawn


def test_other_values_of_a_task_are_other_tasks() -> None:
    (one,) = opened([{"task": ("parity",), "method": ("walk",), "bits": (2, 3), "stddev": (0.1, 1.0)}], REGISTRY)
    assert (one.settled["bits"], one.space) == ((2, 3), {"stddev": (0.1, 1.0)})


def test_a_task_has_no_range() -> None:
    with pytest.raises(UsageError, match=r"bits.*uniform\(2,8\)"):
        opened([{"task": ("parity",), "method": ("walk",), "bits": Range(2, 8, "uniform")}], REGISTRY)


def tables_of(*specs: str, methods: tuple[str, ...]) -> Sequence[Axes]:
    """Return the tables of a sweep that a grid with ranges makes."""

    def concrete(tables: Sequence[Axes]) -> Sequence[Axes]:
        return [made for one in opened(tables, REGISTRY) for made in one.tables(4)]

    made = resolve(specs, tasks=["xor"], methods=methods, registry=REGISTRY, concrete=concrete)
    assert expand(made, REGISTRY).trials
    return made.grid


def test_a_range_that_only_one_of_the_methods_uses() -> None:
    tables = tables_of("hidden=3", "stddev=log(0.001,1)", methods=("walk", "backprop"))
    assert [table["method"] for table in tables][:5] == [("walk",)] * 4 + [("backprop",)]
    assert all(isinstance(value, float) for table in tables for value in table.get("stddev", ()))


def test_a_range_without_effect_is_refused_as_values_are() -> None:
    messages = []
    for values in ("uniform(0.5,0.9)", "0.5,0.9"):
        with pytest.raises(UsageError) as caught:
            tables_of("optimizer=adam", f"momentum={values}", methods=("backprop",))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_methods_and_tables_are_opened_one_by_one() -> None:
    table = {"task": ("xor", "and"), "method": ("walk", "backprop"), "learning_rate": RATES, "stddev": (0.1, 1.0)}
    found = opened([table, {"task": ("or",), "method": ("backprop",), "batch_size": (4, 8)}], REGISTRY)
    assert [(one.method, list(one.space)) for one in found] == [
        ("walk", ["learning_rate", "stddev"]),
        ("backprop", ["learning_rate"]),
        ("backprop", ["batch_size"]),
    ]
    assert [one.settled["task"] for one in found] == [("xor", "and"), ("xor", "and"), ("or",)]


def test_where_nothing_is_open_it_is_a_method_s_own_spaces() -> None:
    for name in ("walk", "snes"):
        found = opened([{"task": ("xor",), "method": (name,), "hidden": (3,)}], REGISTRY)
        assert [dict(one.space) for one in found] == [dict(space) for space in METHODS[name].spaces]
        assert all(one.is_own and one.settled["hidden"] == (3,) for one in found)
    assert len(METHODS["walk"].spaces) == 2


def test_what_is_settled_is_no_longer_searched() -> None:
    found = opened([{"task": ("xor",), "method": ("walk",), "batch_size": (8,)}], REGISTRY)
    assert [set(one.space) for one in found] == [{"optimizer", "learning_rate", "stddev"}] * 2
    adam = only(optimizer=("adam",))
    assert adam.space == {key: values for key, values in METHODS["walk"].spaces[1].items() if key != "optimizer"}
    sgd = only(optimizer=("sgd",))
    assert set(sgd.space) == {"learning_rate", "batch_size", "stddev"}


def test_a_rule_without_an_optimizer_has_one_space() -> None:
    found = opened([{"task": ("xor",), "method": ("walk",), "update": ("raw",)}], REGISTRY)
    assert {key for one in found for key in one.space} == {"batch_size", "stddev"}
    assert all(one.is_own for one in found)
    assert len(found) == 1, "two that are the same would be drawn twice"


def test_without_a_method_it_is_all_that_can_be_had_and_learn_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def methods(missing: str = "", **axes: Any) -> set[str]:
        monkeypatch.setattr(spaces_module, "is_installed", lambda name: name != missing)
        return {one.method for one in opened([{"task": ("xor",), **axes}], REGISTRY)}

    known = {name: one for name, one in METHODS.items() if name != "evosax"}  # which is many: somebody has to say which
    free = {name for name, one in known.items() if one.networks in ("both", "free")}
    layered = {name for name, one in known.items() if one.networks in ("both", "layered")}
    assert free ^ layered >= {"rtrl", "feedback-alignment"}
    assert methods() == methods(architecture=("free",)) == free
    assert methods(architecture=("2-3-1",)) == layered
    assert methods(architecture=("free", "2-3-1")) == free | layered
    assert methods(missing="cma") == free - {"cma"}
    assert methods(missing="cma", method=("cma",)) == {"cma"}, "who names it is told what is missing"


def test_seeds_of_a_table_are_refused() -> None:
    with pytest.raises(UsageError, match=r"seeds of its own.*give --seeds"):
        opened([{"task": ("xor",), "method": ("walk",), "seeds": (0, 1)}], REGISTRY)


def test_a_method_of_one_s_own_without_spaces_has_its_defaults() -> None:
    start: Any = None  # nothing is trained
    own = OwnMethod("mine", "own", start, lambda parameters, batch, n: batch)
    spaces: tuple[Space, ...] = ({"batch_size": (4, 8)},)
    for method, wanted in ((own, [{}]), (replace(own, spaces=spaces), [*spaces])):
        add_method(method)
        try:
            found = opened([{"task": ("xor",), "method": ("mine",)}], REGISTRY)
            assert [one.space for one in found] == wanted
            assert list(found[0].tables(64)) == [{"task": ("xor",), "method": ("mine",), **wanted[0]}]
        finally:
            remove_method("mine")


def test_tables_are_all_values_or_so_many_settings() -> None:
    listed = only(stddev=(0.1, 1.0), batch_size=(4, 8))
    assert list(listed.tables(3)) == [{**listed.settled, **listed.space}]
    ranged = only(stddev=(0.1, 1.0), learning_rate=RATES)
    tables = list(ranged.tables(5))
    assert tables == [
        {**ranged.settled, "stddev": (one["stddev"],), "learning_rate": (one["learning_rate"],)}
        for one in drawn(ranged.space, 5)
    ]


# edges


def test_edges_of_lists_and_ranges() -> None:
    one = only(
        learning_rate=RATES,
        momentum=Range(0.5, 0.9, "uniform"),
        batch_size=(16, 4, 8),
        sides=("one", "two"),
        rank=("full", 1, 2),
    )
    middle: Cell = {"learning_rate": 0.1, "momentum": 0.7, "batch_size": 8, "sides": "one", "rank": "full"}
    assert one.edges(middle) == {}
    for key, value, edge in (
        ("learning_rate", 0.0157, "lower"),
        ("learning_rate", 0.0159, None),
        ("learning_rate", 0.63, None),
        ("learning_rate", 0.64, "upper"),
        ("momentum", 0.53, "lower"),
        ("momentum", 0.55, None),
        ("momentum", 0.87, "upper"),
        ("batch_size", 4, "lower"),
        ("batch_size", 16, "upper"),
        ("rank", 1, "lower"),
        ("rank", 2, "upper"),
        ("rank", None, None),
    ):
        assert one.edges({**middle, key: value}) == ({} if edge is None else {key: edge}), (key, value)
    both: Cell = {**middle, "learning_rate": 1.0, "batch_size": 4}
    assert one.edges(both) == {"learning_rate": "upper", "batch_size": "lower"}
    assert only(batch_size=(4, 8)).edges({}) == {}


@pytest.mark.parametrize(
    ("key", "values", "side", "past"),
    [
        ("learning_rate", RATES, "upper", Range(1, 10)),
        ("learning_rate", RATES, "lower", Range(0.001, 0.01)),
        ("momentum", Range(0.2, 0.6, "uniform"), "upper", Range(0.6, 0.8, "uniform")),
        ("momentum", Range(0.2, 0.6, "uniform"), "lower", Range(0, 0.2, "uniform")),
        ("batch_size", Range(4, 64), "upper", Range(64, 256)),
        ("batch_size", (4, 8, 16), "upper", (32,)),
        ("batch_size", (16, 8, 4), "lower", (2,)),
        ("batch_size", (1, 2), "upper", (4,)),
        ("batch_size", (2, 3), "lower", (1,)),
        ("batch_size", (10, 20, 30), "upper", (40,)),
        ("hidden", (10, 20, 30), "lower", (0,)),
        ("hidden", (0, 5), "upper", (10,)),
        ("rank", ("full", 1, 2), "upper", (4,)),
        ("learning_rate", (0.01, 0.1, 1.0), "upper", (10.0,)),
        ("learning_rate", (0.01, 0.1, 1.0), "lower", (0.001,)),
        ("stddev", (0.1, 0.2, 0.3), "upper", (0.4,)),
    ],
)
def test_past_an_edge_it_goes_on_as_before(key: str, values: Any, side: str, past: Any) -> None:
    one = only(**{key: values, "sides": ("one", "two")})
    more = one.widened({key: side})
    assert more.first == one.space
    (part,) = more.past
    assert part["sides"] == ("one", "two")
    if isinstance(past, Range):
        own = part[key]
        assert isinstance(own, Range)
        assert own.scale == past.scale
        assert [own.low, own.high] == pytest.approx([past.low, past.high], abs=1e-12)
        whole = more.space[key]
        assert isinstance(whole, Range)
        assert (whole.low, whole.high) == (min(own.low, values.low), max(own.high, values.high))
    else:
        assert part[key] == past
        assert [type(value) for value in part[key]] == [type(value) for value in past]
        assert more.space[key] == (*values, *past)
    assert more.settled == one.settled


@pytest.mark.parametrize(
    ("key", "values", "side"),
    [
        ("batch_size", (1, 2, 4), "lower"),
        ("batch_size", Range(1, 64), "lower"),
        ("momentum", (0.5, 0.7, 0.9), "upper"),
        ("momentum", (0.8, 0.9), "upper"),
        ("momentum", Range(0.0, 0.9999, "uniform"), "upper"),
        ("momentum", (0.0, 0.5), "lower"),
        ("leak", Range(0.2, 1.0), "upper"),
        ("leak", Range(0.001, 0.8, "uniform"), "lower"),
    ],
)
def test_where_a_parameter_goes_no_further_neither_does_its_space(key: str, values: Any, side: str) -> None:
    one = only(**{key: values})
    assert one.widened({key: side}) is one
    other = only(**{key: values, "learning_rate": RATES})
    assert len(other.widened({key: side, "learning_rate": "upper"}).past) == 1


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=5, unique=True), st.sampled_from(["lower", "upper"]))
def test_whole_numbers_stay_whole_and_lie_past_the_edge(values: list[int], side: str) -> None:
    one = only(batch_size=tuple(values))
    more = one.widened({"batch_size": side})
    for part in more.past:
        (value,) = part["batch_size"]
        assert type(value) is int
        assert 1 <= value < min(values) if side == "lower" else value > max(values)
    assert more.past or (side == "lower" and min(values) < 1000)
    check_axis("batch_size", more.space["batch_size"])


def test_a_space_is_widened_again_and_again() -> None:
    one = only(learning_rate=RATES, stddev=(0.1, 0.2))
    twice = one.widened({"learning_rate": "upper", "stddev": "upper"}).widened({"stddev": "upper"})
    assert twice.first == one.space
    assert twice.space["stddev"] == (0.1, 0.2, 0.4, 0.8)
    assert str(twice.space["learning_rate"]) == "log(0.01,10)"
    assert [part["stddev"] for part in twice.past] == [(0.1, 0.2), (0.4,), (0.8,)]
    assert [str(part["learning_rate"]) for part in twice.past] == ["log(1,10)", "log(0.01,10)", "log(0.01,10)"]
    tables = list(twice.tables(8))
    assert tables[:8] == list(one.tables(8)), "what was searched first stays"
    assert len(tables) == 8 + 3 * 2, "of each part a quarter as many"
    assert twice.edges({"learning_rate": 1.0, "stddev": 0.2}) == {}


# the methods' own

SPACES = [(name, space) for name, method in METHODS.items() for space in method.spaces]


def test_every_method_has_one() -> None:
    assert {name for name, _ in SPACES} == {*METHODS} - {"evosax"}


@pytest.mark.parametrize(
    ("name", "space"), SPACES, ids=[f"{name} {space.get('optimizer', '')}" for name, space in SPACES]
)
def test_a_method_s_space_is_of_its_parameters(name: str, space: Space) -> None:
    table = {"task": ("xor",), "method": (name,), **space}
    assert set(space) <= useful_keys(table, REGISTRY)
    for key, values in space.items():
        assert uses(key, name)
        assert check_axis(key, values) == values
        default = default_of(key, name)
        if isinstance(values, Range) and isinstance(default, int | float) and key != "batch_size":
            assert 0 < values.place(default) < 1, key
    if "optimizer" in space:
        (optimizer,) = space["optimizer"]
        rates = space["learning_rate"]
        assert isinstance(rates, Range)
        assert rates.place(METHODS[name].learning_rates[str(optimizer)]) == pytest.approx(0.5, abs=0.02)


def test_what_is_drawn_of_them_makes_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[Axes] = []
    for network in ("free", "2-3-1"):
        for one in opened([{"task": ("xor",), "architecture": (network,)}], REGISTRY):
            tables += one.tables(3)
    monkeypatch.setattr("freewalk.harness.methods.population.is_installed", lambda name: True)
    plan = expand(resolve(tables=tables, seeds=[0], evaluations=10**6, registry=REGISTRY), REGISTRY)
    assert len(plan.trials) == len(tables)


# ranges as they are written


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("log(0.001,1)", Range(0.001, 1.0)),
        (" log( 1e-3 , 1 ) ", Range(0.001, 1.0)),
        ("uniform (-1,2)", Range(-1.0, 2.0, "uniform")),
        ("uniform(0,0.9)", Range(0.0, 0.9, "uniform")),
        ("0.1", None),
        ("0.1,log(1,2)", None),
        ("logspace(-3,-1,3)", None),
        ("log", None),
        ("Log(1,2)", None),
    ],
)
def test_a_range_is_read(text: str, found: Range | None) -> None:
    assert parse_range(text) == found


TWO = "(a,b) with two numbers, the lower first"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(1)", f"write log{TWO}"),
        ("log(1,2,3)", f"write log{TWO}"),
        ("uniform(2,1)", f"write uniform{TWO}"),
        ("uniform(1,1)", f"write uniform{TWO}"),
        ("log()", f"'' is not a number; write log{TWO}"),
        ("log(a,2)", f"'a' is not a number; write log{TWO}"),
        ("uniform(0,inf)", f"'inf' is not a finite number; write uniform{TWO}"),
        ("log(0,1)", "log(a,b) needs ends above 0; write uniform(a,b)"),
        ("log(-2,-1)", "log(a,b) needs ends above 0; write uniform(a,b)"),
    ],
)
def test_a_malformed_range_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_range(text, "here: ")
    assert str(caught.value) == f"here: {message}"


@pytest.mark.parametrize("text", ["0.1,log(1,2)", "log(1,2),3", "log(1,2),log(3,4)"])
def test_a_range_is_all_of_its_parameter(refused: Callable[..., str], text: str) -> None:
    line = refused("sweep", "--task", "xor", "--grid", f"stddev={text}", "--out", "out")
    assert line.startswith(f"--grid 'stddev={text}': log(a,b) is all of a parameter's values; give one range")


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("optimizer=log(1,2)", "optimizer takes words, so it has no range; write optimizer=v1,v2"),
        ("method=uniform(1,2)", "method takes words, so it has no range"),
        ("momentum=uniform(0.5,1)", "momentum=1.0: must be a finite number of at least 0 and below 1"),
        ("batch_size=uniform(0,4)", "batch_size=0: must be a whole number of at least 1"),
        ("stddev=uniform(-1,1)", "stddev=-1.0: must be"),
    ],
)
def test_ends_are_values_of_the_parameter(refused: Callable[..., str], axis: str, message: str) -> None:
    assert f"--grid '{axis}': {message}" in refused("sweep", "--task", "xor", "--grid", axis, "--out", "out")


def test_a_sweep_has_no_range_and_says_what_to_write(refused: Callable[..., str], tmp_path: Path) -> None:
    line = refused("sweep", "--task", "xor", "--grid", "learning_rate=log(0.01,1)", "--out", "out")
    said = "learning_rate=log(0.01,1) is a range, which harness tune takes; write learning_rate=geomspace(0.01,1,5)"
    assert line == said
    (tmp_path / "own.toml").write_text('[[grid]]\ntask = "xor"\nlearning_rate = "log(0.01,1)"\n')
    assert refused("sweep", "--grid", "own.toml", "--out", "out") == said
    line = refused("sweep", "--task", "xor", "--grid", "momentum=uniform(0.1,0.9)", "--out", "out")
    assert line.startswith("momentum=uniform(0.1,0.9) is a range, which harness tune takes; write momentum=")


@pytest.mark.parametrize("axis", ["learning_rate=log(0.001,1)", "batch_size=log(4,512)", "stddev=log(0.1,0.2)"])
def test_what_it_says_to_write_can_be_written(axis: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([axis], tasks=["xor"], registry=REGISTRY)
    remedy = str(caught.value).rpartition("; write ")[2]
    (table,) = resolve([remedy], tasks=["xor"], registry=REGISTRY).grid
    key, _, text = axis.partition("=")
    low, high = parse_values(text.removeprefix("log(").removesuffix(")"))
    assert (min(map(float, table[key])), max(map(float, table[key]))) == (low, high)
    assert all(math.isfinite(float(value)) for value in table[key])
