"""What a function, an array or an object does decides its fingerprint, and nothing else does, in any process."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from pydantic import BaseModel, Field

import freewalk
from freewalk.harness.base.fingerprint import NoFingerprint, fingerprint

FUNCTION = """
import numpy as np
SCALE = 2.0
def helper(x):
    return x + 1
def made(offset=1, *, names=frozenset({'a', 'b', 'c'})):
    table = np.arange(6.0)
    def inner(x):
        return [y * SCALE + table[0] + offset for y in helper(x) if y in names]
    return inner
value = made()
"""

SAME = {
    "comments, layout and docstrings": FUNCTION.replace(
        "    return x + 1", "    '''Add.'''\n\n    # one\n    return x+1"
    ),
    "what is not referred to": FUNCTION + "OTHER = 3\ndef another(): pass\n",
    "the order of a set": FUNCTION.replace("{'a', 'b', 'c'}", "{'c', 'b', 'a'}"),
}
OTHER = {
    "a constant": FUNCTION.replace("x + 1", "x + 2"),
    "the type of a constant": FUNCTION.replace("x + 1", "x + 1.0"),
    "an operator": FUNCTION.replace("x + 1", "x - 1"),
    "a global number": FUNCTION.replace("SCALE = 2.0", "SCALE = 3.0"),
    "a default": FUNCTION.replace("offset=1", "offset=2"),
    "a default that is closed over": FUNCTION.replace("'a', 'b', 'c'", "'a', 'b'"),
    "an array that is closed over": FUNCTION.replace("np.arange(6.0)", "np.arange(7.0)"),
    "the type of an array": FUNCTION.replace("np.arange(6.0)", "np.arange(6)"),
    "what a nested function does": FUNCTION.replace("if y in names", "if y not in names"),
}


def of(text: str, name: str = "value") -> str:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec"), scope)
    return fingerprint(scope[name])


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_what_decides_nothing_does_not_count(text: str) -> None:
    assert of(text) == of(FUNCTION)


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_whatever_decides_counts(text: str) -> None:
    assert of(text) != of(FUNCTION)


def test_every_process_gives_the_same() -> None:
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import test_fingerprint as t; print(t.of(t.FUNCTION))"
    found = {of(FUNCTION)}
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(freewalk.__file__).parents[1])}
        command = [sys.executable, "-c", code]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ("1", 1),
        (b"1", "1"),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),  # the order of parameters is that of columns
        (np.float32(1), np.float64(1)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array([0.0, -0.0]), np.array([0.0, 0.0])),
        (np.array(["a"], dtype=object), np.array(["b"], dtype=object)),
        (len, max),
        (np.add, np.subtract),
        (Path("a"), Path("b")),
        (int, float),
    ],
)
def test_values_that_differ(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_equal_parts_are_equal_whether_they_are_one_object_or_two() -> None:
    array = np.arange(3)
    assert fingerprint([array, array]) == fingerprint([array, array.copy()])


def test_what_lies_inside_itself_ends() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert fingerprint(loop) == fingerprint(loop) != fingerprint([1, [1]])
    text = "def value(n): return 1 if n < 2 else n * value(n - 1)\n"
    assert of(text) != of(text.replace("< 2", "< 3"))


def test_functions_that_numba_compiles_count_by_their_text() -> None:
    def plain(x: float) -> float:
        return x + 1

    assert fingerprint(numba.njit(plain)) != fingerprint(numba.njit(lambda x: x + 2))
    compiled = numba.njit(plain)
    before = fingerprint(compiled)
    compiled(1.0)
    assert fingerprint(compiled) == before


CLASS = """
import dataclasses
from functools import cached_property
@dataclasses.dataclass(frozen=True)
class Kind:
    rate: float = 0.1
    def step(self, x):
        return x * self.rate
    @property
    def double(self):
        return 2 * self.rate
    @cached_property
    def once(self):
        return self.rate
value = Kind(0.3)
"""


@pytest.mark.parametrize(
    "change",
    [("x * self", "x + self"), ("2 * self", "3 * self"), ("Kind(0.3)", "Kind(0.4)"), ("return self.rate", "return 1")],
)
def test_classes_count_by_their_members(change: tuple[str, str]) -> None:
    assert of(CLASS) == of(CLASS + "value.once\n"), "what is computed from it is no part of it"
    assert of(CLASS) != of(CLASS.replace(*change))


def test_models_count_by_their_fields() -> None:
    def model(default: float, most: float) -> type[BaseModel]:
        class Parameters(BaseModel):
            rate: float = Field(default, le=most, description="of steps")

        return Parameters

    assert fingerprint(model(0.1, 1)) == fingerprint(model(0.1, 1))
    assert len({fingerprint(model(*both)) for both in ((0.1, 1), (0.2, 1), (0.1, 2))}) == 3


@pytest.mark.parametrize("make", [lambda: (x for x in [1]), threading.Lock, lambda: [len, threading.Lock()]])
def test_what_nothing_can_tell_from_another_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(NoFingerprint):
        fingerprint(make())


def test_plain_objects_count_by_their_class_and_state() -> None:
    class Thing:
        def __init__(self, n: int) -> None:
            self.n = n

    assert fingerprint(Thing(1)) == fingerprint(Thing(1)) != fingerprint(Thing(2))
    assert fingerprint(dataclasses.make_dataclass("Two", ["n"])(1)) != fingerprint(Thing(1))
