"""The grammar of --grid, files and presets, and what replaces what."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.values import parse_values
from freewalk.harness.plan.effects import useful_keys
from freewalk.harness.plan.grid import GridSpec, parse_grid
from freewalk.results.base.names import nearest


def axis(spec: str) -> tuple[object, ...]:
    (table,) = parse_grid([spec]).tables
    (values,) = table.values()
    return values


def numbers(text: str) -> NDArray[np.float64]:
    return np.array(parse_values(text), dtype=np.float64)


def refusal(*specs: str, **options: list[str]) -> str:
    with pytest.raises(UsageError) as caught:
        parse_grid(specs, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("stddev=0.01", (0.01,)),
        ("stddev = 0.01 , 1", (0.01, 1.0)),
        ("batch_size=16,1e3", (16, 1000)),
        ("batch_size=range(16,64,16)", (16, 32, 48)),
        ("batch_size=range(1,4)", (1, 2, 3)),
        ("batch_size=range(3,0,-1)", (3, 2, 1)),
        ("stddev=range(0.1,0.4,0.1)", (0.1, 0.2, 0.3)),
        ("stddev=range(0,0.6,0.2)", (0.0, 0.2, 0.4)),
        ("stddev=linspace(0,1,5)", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("stddev=linspace(2,9,1)", (2.0,)),
        ("timesteps=linspace(1,4,4)", (1, 2, 3, 4)),
        ("stddev=logspace(-3,-1,3)", (0.001, 0.01, 0.1)),
        ("batch_size=logspace(1,3,3)", (10, 100, 1000)),
        ("stddev=geomspace(0.001,1,4)", (0.001, 0.01, 0.1, 1.0)),
        ("stddev=5,logspace(-2,0,3),range(2,4)", (5.0, 0.01, 0.1, 1.0, 2.0, 3.0)),
        ("update=raw,normalised", ("raw", "normalised")),
        ("task=xor,shifted-sums", ("xor", "shifted-sums")),
    ],
)
def test_values_of_an_axis_and_their_types(spec: str, expected: tuple[object, ...]) -> None:
    values = axis(spec)
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]


@given(
    st.lists(st.integers(0, 10**6), min_size=1, unique=True),
    st.lists(st.floats(0, 1e300), min_size=1, unique=True),
)
def test_written_values_read_back(integers: list[int], floats: list[float]) -> None:
    assert axis("hidden=" + ",".join(map(str, integers))) == tuple(integers)
    assert axis("stddev=" + ",".join(map(repr, floats))) == tuple(floats)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(-50, 50).filter(bool))
def test_ranges_are_those_of_python_in_tenths_too(first: int, end: int, step: int) -> None:
    expected = range(first, end, step)
    tenths = f"range({first / 10},{end / 10},{step / 10})"
    if not expected:
        with pytest.raises(UsageError, match="the range is empty"):
            parse_values(tenths)
        return
    assert parse_values(f"range({first},{end},{step})") == tuple(expected)
    assert parse_values(tenths) == tuple(value / 10 for value in expected)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 30))
def test_spaces_agree_with_numpy(first: int, last: int, n: int) -> None:
    for name, space in (("linspace", np.linspace), ("logspace", np.logspace)):
        np.testing.assert_allclose(numbers(f"{name}({first},{last},{n})"), space(first, last, n), 1e-11, 1e-11)
    low, high = 10.0**first, 10.0**last
    expected = np.geomspace(low, high, n)
    np.testing.assert_allclose(numbers(f"geomspace({low},{high},{n})"), expected, rtol=1e-11)
    np.testing.assert_allclose(numbers(f"geomspace({-low},{-high},{n})"), -expected, rtol=1e-11)


@given(st.text(alphabet="logspacerg(),.0123456789eE+-_ \x00é", max_size=30))
def test_any_text_gives_values_or_a_usage_error(text: str) -> None:
    try:
        values = parse_values(text)
    except UsageError:
        return
    assert values


@pytest.mark.parametrize(
    ("spec", "culprit", "remedy"),
    [
        ("stddev=", "'stddev='", "write stddev=v1,v2"),
        ("stddev", "'stddev': no values", "write stddev=v1,v2"),
        ("stddev=0.1,,0.2", "a value is empty", "without stray commas"),
        ("=0.1", "the key is empty", "write key=v1,v2"),
        ("epochs=3", "epochs is no axis", "--epochs"),
        ("std=1", "'std'", "did you mean 'stddev'?"),
        ("batchsize=1", "'batchsize'", "did you mean 'batch_size'?"),
        ("stddev=lospace(1,2,3)", "'lospace'", "did you mean 'logspace'?"),
        ("stddev=linspace(1,x,3)", "'x' is not a number", "write linspace(a,b,n)"),
        ("stddev=range(nan,1)", "'nan' is not a finite number", "write range(a,b,s)"),
        ("stddev=linspace(1,2)", "2 numbers in linspace", "write linspace(a,b,n)"),
        ("stddev=range(1,2,0)", "the step is 0", "give another step"),
        ("stddev=range(2,1)", "the range is empty", "not including, b"),
        ("stddev=range(0,1e9)", "more than 5,000,000 values", "ask for fewer"),
        ("stddev=range(-1e308,1e308,1e-300)", "more than 5,000,000 values", "ask for fewer"),
        ("stddev=linspace(0,1,0)", "number of points is 0", "at least 1"),
        ("stddev=linspace(0,1,2.5)", "number of points is 2.5", "whole number"),
        ("stddev=logspace(1,400,3)", "out of range", "exponents of ten"),
        ("stddev=logspace(-400,-1,3)", "out of range", "exponents of ten"),
        ("stddev=geomspace(0,1,3)", "geomspace(a,b,n) needs", "use linspace"),
        ("stddev=logspace(1,2,3", "parentheses do not match", "write such as logspace"),
        ("stddev=0.1,0.10", "stddev has the value 0.1 twice", "remove one"),
        ("stddev=-1", "stddev=-1", "at least 0"),
        ("stddev=nan", "stddev=nan", "a finite number"),
        ("momentum=1", "momentum=1", "below 1"),
        ("learning_rate=0", "learning_rate=0", "greater than 0"),
        ("batch_size=1.5", "batch_size=1.5", "a whole number of at least 1"),
        ("update=normalized", "did you mean 'normalised'?", "one of raw, normalised"),
        ("task=1", "task=1", "the name of a task"),
        ("quickstar", "'quickstar'", "did you mean 'quickstart'?"),
        ("nowhere.toml", "'nowhere.toml': no such file", "quickstart"),
    ],
)
def test_a_malformed_spec_names_culprit_and_remedy(spec: str, culprit: str, remedy: str) -> None:
    message = refusal(spec)
    assert message.startswith(f"--grid {spec!r}: ")
    assert culprit in message
    assert remedy in message


def test_a_key_or_a_document_twice_is_refused() -> None:
    message = refusal("stddev=1", "stddev=2")
    assert "stddev is given twice" in message
    assert "in one list" in message
    message = refusal("quickstart", "original")
    assert "'quickstart'" in message
    assert "'original'" in message
    assert "one preset or file" in message
    message = refusal("task=xor", tasks=["and"])
    assert "--task" in message
    assert "give one of them" in message
    assert "'xor' twice" in refusal(tasks=["xor", "xor"])


def test_axes_collect_in_one_table_without_a_file() -> None:
    spec = parse_grid(["stddev=1,2", "batch_size=3"], tasks=["xor"], methods=["walk"])
    table = {"stddev": (1.0, 2.0), "batch_size": (3,), "task": ("xor",), "method": ("walk",)}
    assert spec == GridSpec(None, {}, (table,))  # type: ignore[arg-type]


DOCUMENT = """
name = "mine"
seeds = "0:3"
target = 1
[[grid]]
task = ["xor", "sign"]
stddev = "logspace(-3,-1,3)"
batch_size = [64, "range(1,3)"]
[[grid]]
task = "parity"
timesteps = 2
update = "normalised"
optimizer = "momentum"
momentum = [0.5]
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a=b.toml"
    path.write_text(DOCUMENT)
    return path


def test_a_file_gives_settings_and_tables(document: Path) -> None:
    spec = parse_grid([str(document)])
    assert spec.source == str(document)
    assert spec.settings == {"name": "mine", "seeds": "0:3", "target": 1}
    assert spec.tables[0] == {
        "task": ("xor", "sign"),
        "stddev": (0.001, 0.01, 0.1),
        "batch_size": (64, 1, 2),
    }
    assert spec.tables[1]["timesteps"] == (2,)


def test_the_command_line_replaces_an_axis_in_every_table(document: Path) -> None:
    first, second = parse_grid(["stddev=7", str(document)], tasks=["and"]).tables
    assert first == {"task": ("and",), "stddev": (7.0,), "batch_size": (64, 1, 2)}
    assert second["stddev"] == (7.0,)
    assert second["task"] == ("and",)
    assert second["momentum"] == (0.5,)


def test_file_axes_robbed_of_their_effect_go_but_those_of_the_user_stay(document: Path) -> None:
    _, second = parse_grid([str(document), "update=raw", "schedule=cosine"]).tables
    assert set(second) == {"task", "timesteps", "update", "schedule"}
    _, second = parse_grid([str(document), "optimizer=adam"]).tables
    assert set(second) == {"task", "timesteps", "update", "optimizer"}


def test_useful_keys_follow_the_chain_of_conditions() -> None:
    raw = useful_keys({"task": ("xor",), "update": ("raw",)})
    assert "stddev" in raw
    assert not {"optimizer", "learning_rate", "momentum", "schedule"} & raw
    assert "learning_rate" in useful_keys({"update": ("raw", "normalised")})
    assert "momentum" not in useful_keys({"optimizer": ("sgd",)})
    assert "momentum" not in useful_keys({"update": ("raw",), "optimizer": ("momentum",)})
    assert "momentum" in useful_keys({"task": ("xor",)}), "the defaults"
    assert "momentum" in useful_keys({"update": ("normalised",), "optimizer": ("sgd", "momentum")})
    assert "stddev" not in useful_keys({"method": ("other",)})


@pytest.mark.parametrize(
    ("text", "culprit", "remedy"),
    [
        ("a = \n", "line 1", "correct that line"),
        ("\nepochs = 1\nepochs = 2\nseeds = 1", "line 3", "correct that line"),
        ("epoch = 1", "'epoch'", "did you mean 'epochs'?"),
        ("stddev = 1", "'stddev'", "belong under [[grid]]"),
        ("epochs = 1.5", "epochs = 1.5", "a whole number"),
        ("epochs = true", "epochs = True", "a whole number"),
        ("seeds = [1, 'a']", "seeds = [1, 'a']", "a list"),
        ("name = 3", "name = 3", "text"),
        ("[grid]\ntask='xor'", "grid", "write [[grid]]"),
        ("[[grid]]\nepochs = 3", "epochs", "above the first [[grid]]"),
        ("[[grid]]\nstdev = 3", "'stdev'", "did you mean 'stddev'?"),
        ("[[grid]]\nstddev = true", "stddev=True", "must be a finite number"),
        ("[[grid]]\nstddev = []", "stddev has no values", "give at least one"),
        ("[[grid]]\nstddev = [1, [2]]", "stddev = [2]", "a number or text"),
        ("[[grid]]\nstddev = 1\n[[grid]]\nstddev = 'logspace(1)'", "table 2", "write logspace(a,b,n)"),
    ],
)
def test_a_malformed_file_is_named_with_culprit_and_remedy(
    tmp_path: Path, text: str, culprit: str, remedy: str
) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    message = refusal(str(path))
    assert message.startswith(f"--grid {str(path)!r}: ")
    assert culprit in message
    assert remedy in message


def test_a_file_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9"')
    assert "UTF-8" in refusal(str(path))
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "cannot be read" in refusal(str(folder))


def test_every_preset_parses() -> None:
    assert {"original", "quickstart"} <= set(preset_names())
    for name in preset_names():
        spec = parse_grid([name])
        assert spec.settings["name"] == name
        assert all("task" in table for table in spec.tables)


def test_names_are_suggested_only_when_near() -> None:
    assert nearest("XRO", ["and", "xor"]) == " (did you mean 'xor'?)"
    assert nearest("zzz", ["and", "xor"]) == ""
    assert str(unknown("task", "xro", ["and", "xor"])) == ("unknown task 'xro' (did you mean 'xor'?); known: and, xor")
