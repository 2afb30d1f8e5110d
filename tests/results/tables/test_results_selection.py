"""Expressions: what they find, and what they must never do."""

import warnings

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freewalk.results.tables.frames import sorting_key
from freewalk.results.tables.selection import LONGEST, ExpressionError, column_name, select

TABLE = pd.DataFrame(
    {
        "name": pd.array(["a", "b", None, "d"], dtype="string"),
        "seed": pd.array([1, 2, 3, None], dtype="Int64"),
        "loss": [0.5, float("inf"), float("nan"), 0.25],
        "reached": pd.array([True, False, None, True], dtype="boolean"),
        "param_stddev": [0.1, 0.2, 0.3, 0.4],
        "param_rank": pd.array(["full", "1", "10", "2"], dtype="string"),
    }
)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("name == 'a'", [0]),
        ("name != 'a'", [1, 3]),
        ("'a' != name", [1, 3]),
        ("name == None", [2]),
        ("name != None", [0, 1, 3]),
        ("seed >= 2", [1, 2]),
        ("2 <= seed", [1, 2]),
        ("1 < seed < 3", [1]),
        ("seed in [1, 3]", [0, 2]),
        ("seed not in [1, 3]", [1, 3]),
        ("seed in [1, None]", [0, 3]),
        ("name in ('b', 'd')", [1, 3]),
        ("seed in []", []),
        ("reached", [0, 3]),
        ("not reached", [1, 2]),
        ("reached == True", [0, 3]),
        ("reached == False", [1]),
        ("loss < inf", [0, 3]),
        ("loss == inf", [1]),
        ("inf > loss", [0, 3]),
        ("loss > -inf", [0, 1, 3]),
        ("loss == -inf", []),
        ("loss == None", [2]),
        ("stddev > 0.15 and stddev < 0.35", [1, 2]),
        ("param_stddev > 0.15 and not stddev >= 0.35", [1, 2]),
        ("seed == 1 or name == 'd'", [0, 3]),
        ("(seed == 1) | (name == 'd')", [0, 3]),
        ("~(seed == 1) & reached", [3]),
        ("stddev == loss", []),
        ("loss > stddev", [0, 1]),
        ("name == 1", []),
        ("seed == 'a'", []),
        ("seed < 99999999999999999999999999", [0, 1, 2]),
        ("  seed == 1  ", [0]),
        ("name > 'a'", [1, 3]),
        ("rank == 1", [1]),
        ("rank == '1'", [1]),
        ("rank == 1.0", [1]),
        ("rank != 1", [0, 2, 3]),
        ("rank in [2, 'full']", [0, 3]),
        ("rank <= 2", [1, 3]),
        ("3 < rank", [2]),
        ("rank == 'full' or rank > 9", [0, 2]),
    ],
)
def test_what_an_expression_finds(expression: str, rows: list[int]) -> None:
    assert select(TABLE, expression).index.tolist() == rows


def test_numbers_among_words_sort_by_size_before_the_words() -> None:
    ordered = TABLE.sort_values(["param_rank", "name"], key=sorting_key)
    assert ordered["param_rank"].tolist() == ["1", "2", "10", "full"]
    assert TABLE.sort_values("name", key=sorting_key, ascending=False)["name"].tolist()[:3] == ["d", "b", "a"]


# Whatever would let an expression do more than look at values, and what merely makes no sense.
HOSTILE = [
    "__import__('os').system('touch pwned')",
    "().__class__.__bases__[0].__subclasses__()",
    "seed.__class__ == 1",
    "seed.map(print) == 1",
    "@seed == 1",
    "eval('1') == seed",
    "open('/etc/passwd') == name",
    "(lambda: 1)() == seed",
    "[print(1) for x in [1]] == seed",
    "seed == [x for x in [1]][0]",
    "(seed := 3) == 3",
    "seed == (yield)",
    "await seed",
    "f'{open(1)}' == name",
    "name == f'{1}'",
    "seed == 1 if open('x') else 2",
    "seed[0] == 1",
    "seed + 1 == 2",
    "seed == 2 ** 9 ** 9 ** 9",
    "seed == 'a' * 999999999",
    "-seed == 1",
    "seed == -'a'",
    "seed == 1j",
    "name == b'a'",
    "seed == ...",
    "name == {'a': 1}",
    "seed in {**{}}",
    "seed in [*[1]]",
    "name in 'abc'",
    "seed in name",
    "seed in [name]",
    "seed == 1; import os",
    "import os",
    "seed = 1",
    "del seed",
    "print(1)",
    "1 == 1",
    "1 < 2 < seed",
    "True",
    "'a'",
    "seed",
    "name",
    "not seed",
    "seed is 1",
    "seed is not None",
    "seed < None",
    "seed < 'a'",
    "name < 1",
    "name < seed",
    "nothing == 1",
    "`name` == 1",
    "",
    "   ",
    "(",
    "seed ==",
    "\0",
    "seed == '\0",
    "seed == 1\nname == 'a'",
    "#",
    "\\",
    "seed == 0777",
    "é == 1",
    "(" * 400 + "seed == 1" + ")" * 400,
    "not " * 240 + "seed == 1 == ",
    "[" * 900,
    "seed == " + "9" * 5000,
    "a" * (LONGEST + 1),
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_anything_else_is_refused_in_one_line(
    expression: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(ExpressionError) as caught:
        select(TABLE, expression)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert not list(__import__("pathlib").Path(str(tmp_path)).iterdir())
    assert capsys.readouterr().out == ""


def test_unknown_columns_are_named_with_the_known_ones() -> None:
    with pytest.raises(
        ExpressionError,
        match=r"no column 'stdev' \(did you mean 'stddev'\?\); known: name, seed, loss, reached, stddev",
    ):
        select(TABLE, "stdev > 1")
    assert column_name("stddev", TABLE) == "param_stddev"
    assert column_name("seed", TABLE) == "seed"


def test_odd_backslashes_are_no_warning() -> None:
    with warnings.catch_warnings(action="error"):
        assert select(TABLE, r"name == '\d'").empty


ALPHABET = [
    "seed",
    "name",
    "loss",
    "reached",
    "(",
    ")",
    "[",
    "]",
    "==",
    "<",
    "in",
    "not",
    "and",
    "~",
    "&",
    "-",
    ",",
    ".",
]
WORDS = st.lists(st.sampled_from([*ALPHABET, "1", "'a'", "None", "inf", "lambda", ":", "*", "**", "@"]), max_size=12)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=30), WORDS.map(" ".join)))
@example("seed in ()")
def test_no_text_does_anything_but_choose_rows_or_be_refused(expression: str) -> None:
    try:
        found = select(TABLE, expression)
    except ExpressionError:
        return
    assert set(found.index) <= set(TABLE.index)
    assert list(found.columns) == list(TABLE.columns)
