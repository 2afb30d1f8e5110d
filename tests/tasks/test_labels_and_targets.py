"""Labels and targets as people have them: taken for what they are, or refused with the place and the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.targets import warn_of_targets
from freewalk.tasks import DataError, Problem, Task, UnreachableTargets, from_arrays, register
from freewalk.tasks.registry import unregister

N = 60
X = np.random.default_rng(0).normal(size=(N, 3))
LABEL = np.arange(N) % 2
THREE = np.arange(N) % 3
WORDS = np.array(["dog", "cat"])[LABEL]  # in alphabetical order the classes are the other way round


def targets_of(task: Task) -> Any:
    """Return the rows of all parts in the order of X."""
    table = task.problem({}).load_stored()  # type: ignore[misc]
    x, y = (np.concatenate([rows[k] for rows in table.parts.values()]) for k in (0, 1))
    places = [int(np.flatnonzero((X.astype(np.float32) == row[0]).all(axis=1))[0]) for row in x]
    return y[np.argsort(places), 0]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABEL == 1, LABEL),
        ((LABEL == 1).astype(object), LABEL),
        ((LABEL == 1).tolist(), LABEL),
        (LABEL.astype(float), LABEL),
        (THREE.astype(np.float32), THREE),
        (THREE.astype(np.uint8), THREE),
        (THREE.tolist(), THREE),
        (THREE.astype(object), THREE),
        (2 * LABEL - 1, LABEL),
        (2.0 * LABEL - 1, LABEL),
        (np.ma.MaskedArray(THREE, mask=False), THREE),
        (pd.Series(THREE), THREE),
        (pd.Series(THREE, index=np.arange(N)[::-1]), THREE),
        (pd.Series(THREE, dtype="Int64"), THREE),
        (pd.Series(LABEL == 1, dtype="boolean"), LABEL),
        (pd.Series(THREE, dtype="category"), THREE),
        (pd.Categorical(THREE), THREE),
        (WORDS, 1 - LABEL),
        (WORDS.tolist(), 1 - LABEL),
        (WORDS.astype(object), 1 - LABEL),
        (WORDS.astype(bytes), 1 - LABEL),
        (WORDS[:, None], 1 - LABEL),
        (pd.Series(WORDS), 1 - LABEL),
        (pd.Series(WORDS, dtype="string"), 1 - LABEL),
        (pd.Series(WORDS, dtype="category"), 1 - LABEL),
        (pd.Categorical(WORDS, categories=["dog", "cat", "bird"]), 1 - LABEL),
        (pd.DataFrame({"kind": WORDS}), 1 - LABEL),
    ],
)
def test_labels_of_every_kind_are_classes(labels: Any, classes: Any) -> None:
    task = from_arrays("own", X, labels)
    assert (task.metric, task.target) == ("accuracy", 0.9)
    assert task.problem({}).softmax
    np.testing.assert_array_equal(targets_of(task), np.eye(classes.max() + 1)[classes])


def test_words_are_told() -> None:
    assert from_arrays("own", X, WORDS).summary == "2 classes of rows: cat, dog"
    assert from_arrays("own", X, LABEL).summary == "2 classes of rows"


def test_held_out_rows_have_the_same_classes() -> None:
    held = (X[:3], np.array(["dog", "dog", "cat"]))
    table = from_arrays("own", X, WORDS, validation=held).problem({}).load_stored()  # type: ignore[misc]
    np.testing.assert_array_equal(table.validation[1][:, 0], [[0, 1], [0, 1], [1, 0]])
    with pytest.raises(DataError, match="y of the validation rows holds 'bird' in row 1, which is none of cat, dog"):
        from_arrays("own", X, WORDS, validation=(X[:2], ["cat", "bird"]))


@pytest.mark.parametrize(
    ("targets", "values"),
    [
        (LABEL[:, None], LABEL[:, None]),
        (np.eye(3, dtype=int)[THREE], np.eye(3)[THREE]),
        (np.eye(3, dtype=bool)[THREE], np.eye(3)[THREE]),
        (np.linspace(0, 1, N), np.linspace(0, 1, N)[:, None]),
        (pd.DataFrame({"a": np.linspace(0, 1, N), "b": LABEL}), np.stack([np.linspace(0, 1, N), LABEL], axis=1)),
        (np.linspace(0, 1, N).astype(object)[:, None], np.linspace(0, 1, N)[:, None]),
    ],
)
def test_values_of_every_kind(targets: Any, values: Any) -> None:
    task = from_arrays("own", X, targets, target=0.01)
    assert (task.metric, task.problem({}).softmax) == ("loss", False)
    np.testing.assert_array_equal(targets_of(task), values.astype(np.float32))


NAN = float("nan")


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (X, np.where(np.arange(N) == 7, np.nan, LABEL), {}, "y holds nan in row 7, which is no label"),
        (X, [None, *WORDS[1:]], {}, "y holds None in row 0, which is no label"),
        (X, pd.Series(WORDS).where(np.arange(N) != 4), {}, "y holds nan in row 4"),
        (X, pd.Series(THREE, dtype="Int64").where(np.arange(N) != 4), {}, "y holds (<NA>|nan) in row 4"),
        (X, [NAN, *WORDS[1:]], {}, "y holds nan in row 0"),
        (X, np.ma.MaskedArray(THREE, mask=np.arange(N) == 9), {}, "y is masked in row 9"),
        (X, [3, *WORDS[1:]], {}, "y holds words and 3; give labels of one kind"),
        (X, ["one"] * N, {}, "y holds the label 'one' alone"),
        (X, np.full(N, 7), {}, "y holds the label 7 alone; classes are two or more"),
        (X, LABEL * 10**9, {}, "y has 1,000,000,001 of them for 60 rows; number them from 0"),
        (X, LABEL.astype(np.uint64) * 2**63, {}, "number them from 0"),
        (X, np.arange(N).astype("M8[D]"), {}, r"y holds datetime64\[D\]; give a number or a word for each class"),
        (X, LABEL + 0j, {}, "y holds complex128"),
        (X, LABEL[:, None], {"target": 0.9}, "loss <= 0.9, is met without learning: .* labels of classes have shape"),
        (X, np.eye(2)[LABEL], {"target": 0.5}, "is met without learning: an output of 1/2 always has 0.5"),
        (X, np.eye(2, dtype=int)[LABEL], {}, "give a target.* labels of classes have shape"),
        (X, LABEL[:, None], {"target": 0.5, "metric": "max_error"}, "max_error <= 0.5, is met without learning"),
        (X, LABEL[:, None], {"target": 0.5, "metric": "bit_accuracy"}, "one answer always has 0.5; give a higher"),
        (X, np.eye(10)[np.arange(N) % 10], {"target": 0.9, "metric": "bit_accuracy"}, "always has 0.9; give a higher"),
        (X, LABEL, {"target": 0.5}, "accuracy >= 0.5, is met without learning: one answer always has 0.5"),
        (X, LABEL, {"target": 0.7, "metric": "loss"}, "equal chances for all classes has 0.6931; give a lower"),
        (X, (np.arange(N) < 2).astype(int), {}, "accuracy >= 0.9, is met without learning"),
        (X, LABEL, {"target": NAN}, "target=nan does not fit metric 'accuracy', which needs a share above 0"),
        (X, LABEL, {"target": 1.5}, "target=1.5 does not fit"),
        (X, LABEL, {"target": "high"}, "target='high' does not fit"),
        (X, LABEL[:, None], {"target": -1}, "which needs a finite number of at least 0"),
        (X, LABEL, {"metric": "nope"}, "metric 'nope' is unknown; known: loss, max_error"),
        (X, LABEL[:, None], {"metric": "accuracy", "target": 0.9}, "one output has none; give bit_accuracy"),
        (X + 0j, LABEL, {}, "x holds complex numbers"),
        (np.where(np.arange(N * 3).reshape(N, 3) == 8, np.nan, X), LABEL, {}, "x holds nan in row 2, column 2"),
        (np.where(np.arange(N * 3).reshape(N, 3) == 8, np.inf, X), LABEL, {}, "x holds inf in row 2, column 2"),
        (np.where(np.arange(N * 3).reshape(N, 3) == 4, 1e300, X), LABEL, {}, r"x holds 1e\+300 in row 1, column 1"),
        (X[:, None] * np.full((2, 1), [[1], [np.nan]]), LABEL, {}, "x holds nan in row 0, timestep 1, column 0"),
        (np.ma.MaskedArray(X, mask=np.equal(X, X[5, 1])), LABEL, {}, "x is masked in row 5, column 1"),
        (X.astype(str), LABEL, {}, "x holds text, such as"),
        (pd.DataFrame({"a": X[:, 0], "b": WORDS}), LABEL, {}, "x holds 'dog' in row 0, column 1, which is no number"),
        (pd.DataFrame({"a": pd.Series([None, 1] * 30, dtype="Int64")}), LABEL, {}, "x holds nan in row 0, column 0"),
        ([[1, 2], [3]], LABEL, {}, "x is no array"),
        (X[:, 0], LABEL, {}, r"x must have shape .* one number a row is x\[:, None\]"),
        (X, LABEL[:, None], {"target": 0.1, "validation": (X[:2], [[NAN], [0]])}, "y of the validation rows holds nan"),
        (X, LABEL, {"validation": (X[:2], np.eye(2)[:2])}, r"y of the validation rows must have shape \(n,\)"),
        (X[:0], LABEL[:0], {"target": 0.1}, "x and y have no rows"),
        (X[:2], LABEL[:2], {}, "2 rows are too few to hold some out"),
    ],
)
def test_what_cannot_be_learned_is_named(x: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^task 'own': .*{message}") as found:
        from_arrays("own", x, y, **options)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.sign(X[:, :1]), r"y reaches from -1 to 1, but outputs lie between 0 and 1, .* such as \(y \+ 1\) / 2"),
        (100 + LABEL[:, None] * 150, r"y reaches from 100 to 250, .* such as \(y - 100\) / 150"),
        (X[:, :1], "y reaches from -.* scale it"),
        (X[:, 0], "y reaches from -.* scale it"),
        (np.full((N, 1), 7.0), "y reaches from 7 to 7, .* such as y / 7"),
    ],
)
def test_targets_that_no_output_reaches_are_named_and_taken(y: Any, message: str) -> None:
    with pytest.warns(UnreachableTargets, match=f"^task 'own': {message}"):
        from_arrays("own", X, y, target=0.01)


def test_targets_of_a_datapoint_function_are_looked_at() -> None:
    def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
        x[0, 0] = index % 7
        y[0, 0] = index % 7 - 3.0

    register(Task("far", "", "loss", 0.01, lambda: Problem(n_input=1, n_output=1, datapoint=datapoint)))
    try:
        cells = expand(resolve(["hidden=2"], tasks=["far", "xor"]), BuiltInRegistry()).cells
        with pytest.warns(UnreachableTargets, match="^task 'far': y reaches from -3 to 3") as found:
            warn_of_targets(cells)
        assert len(found) == 1
    finally:
        unregister("far")


def test_rounding_is_no_reason_to_warn() -> None:
    from_arrays("own", X, np.linspace(-1e-8, 1 + 1e-7, N)[:, None], target=0.01)
