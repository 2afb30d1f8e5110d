"""Numbers made of columns: what is calculated, and what is refused."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freewalk.results.tables.arithmetic import calculate
from freewalk.results.tables.selection import LONGEST, ExpressionError

TABLE = pd.DataFrame(
    {
        "steps": pd.array([10, None, 40], dtype="Int64"),
        "loss": [0.25, math.inf, math.nan],
        "reached": pd.array([True, None, False], dtype="boolean"),
        "name": pd.array(["a", "b", None], dtype="string"),
        "param_stddev": [0.5, 1.0, 2.0],
        "param_rank": pd.array(["full", "1", "2"], dtype="string"),
        "param_n": pd.array(["1", "2", None], dtype="string"),
    }
)
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("7", [7, 7, 7]),
        ("True", [1, 1, 1]),
        ("steps", [10, NAN, 40]),
        ("loss", [0.25, INF, NAN]),
        ("reached", [1, NAN, 0]),
        ("1 - reached", [0, NAN, 1]),
        ("stddev", [0.5, 1, 2]),
        ("param_stddev", [0.5, 1, 2]),
        ("n", [1, 2, NAN]),
        ("20 * steps", [200, NAN, 800]),
        ("steps / stddev", [20, NAN, 20]),
        ("stddev ** 2 + 1", [1.25, 2, 5]),
        ("2 ** stddev", [2**0.5, 2, 4]),
        ("-stddev", [-0.5, -1, -2]),
        ("- (stddev - 1) * 2", [1, 0, -2]),
        ("2 + 3 * stddev - 1", [2.5, 4, 7]),
        ("5 + 0 * steps", [5, NAN, 5]),
        ("abs(stddev - 1)", [0.5, 0, 1]),
        ("sqrt(stddev * 2)", [1, 2**0.5, 2]),
        ("exp(log(stddev))", [0.5, 1, 2]),
        ("arccos(stddev - 1)", [math.acos(-0.5), math.acos(0), 0]),
        ("  stddev  ", [0.5, 1, 2]),
        ("1 / (stddev - 1)", [-2, INF, 1]),
        ("0 / (stddev - 1)", [0, NAN, 0]),
        ("1 / 0", [INF, INF, INF]),
        ("log(0 * stddev)", [-INF, -INF, -INF]),
        ("sqrt(-stddev)", [NAN, NAN, NAN]),
        ("9.0 ** 9999", [INF, INF, INF]),
    ],
)
def test_what_is_calculated(expression: str, found: list[float]) -> None:
    calculated = calculate(TABLE, expression)
    assert calculated.dtype == np.float64
    np.testing.assert_allclose(calculated, found, rtol=1e-15)


def test_a_table_without_rows_gives_no_numbers() -> None:
    assert calculate(TABLE[:0], "20 * steps").tolist() == []
    assert calculate(TABLE[:0], "7").tolist() == []


def test_the_table_stays_as_it_is() -> None:
    before = TABLE.copy()
    calculate(TABLE, "loss")[:] = 0
    calculate(TABLE, "stddev")[:] = 0
    pd.testing.assert_frame_equal(TABLE, before)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "cannot be read"),
        ("steps +", "cannot be read"),
        ("steps = 3", "cannot be read"),
        ("steps; loss", "cannot be read"),
        (
            "stepz",
            "there is no column 'stepz' (did you mean 'steps'?); known: steps, loss, reached, name, stddev, rank, n",
        ),
        ("name", "'name' holds words; calculate with a column of numbers"),
        ("2 * rank", "'rank' holds words"),
        ("'a'", "is no number, column, sum, product or power of them"),
        ("None", "is no number"),
        ("1j", "is no number"),
        ("+steps", "is no number"),
        ("steps // 2", "is no number"),
        ("steps % 2", "is no number"),
        ("steps @ steps", "is no number"),
        ("steps << 2", "is no number"),
        ("steps < 2", "is no number"),
        ("steps and loss", "is no number"),
        ("not reached", "is no number"),
        ("loss if reached else steps", "is no number"),
        ("[steps]", "is no number"),
        ("steps[0]", "is no number"),
        ("steps.values", "is no number"),
        ("(x := 1)", "is no number"),
        ("lambda: 1", "is no number"),
        ("[x for x in (1,)]", "is no number"),
        ("f'{steps}'", "is no number"),
        ("min(steps)", "is no number"),
        ("log()", "is no number"),
        ("log(steps, loss)", "is no number"),
        ("log(x=steps)", "is no number"),
        ("log(*steps)", "is no number"),
        ("open('x')", "is no number"),
        ("__import__('os')", "is no number"),
        ("log.__class__(steps)", "is no number"),
        ("10" * 499, "too large"),
        ("-" * 998 + "1", "too deeply nested"),
        ("a" * (LONGEST + 1), f"at most {LONGEST} are read"),
        ("steps\0", "cannot be read"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(expression: str, words: str) -> None:
    with warnings.catch_warnings(action="error"), pytest.raises(ExpressionError) as caught:
        calculate(TABLE, expression)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(st.sampled_from("stepslogabx0123456789.()[]{}+-*/ ,'\"_:=<>@%\\\n"), max_size=30))
@example("log(log(")
@example("'\\d'")
@example("1if 1else 2")
def test_any_text_is_calculated_or_refused(text: str) -> None:
    with warnings.catch_warnings(action="error"), suppress(ExpressionError):
        assert calculate(TABLE, text).shape == (3,)
