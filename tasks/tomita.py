"""Tomita's grammars: whether a string of several hundred symbols belongs to a regular language.

The seven languages over 0 and 1 of Tomita (Dynamic construction of finite-state automata from examples using
hill-climbing, Proc. 4th Annual Cognitive Science Conference, 1982, 105-108):

1. ones alone
2. 10 repeated
3. no odd number of zeros follows an odd number of ones
4. no 000
5. an even number of zeros and an even number of ones
6. the number of zeros less that of ones is a multiple of 3
7. 0*1*0*1*

Schmidhuber, Hochreiter and Bengio (2001) guess the weights of networks for 1, 2 and 4, of strings with 500 to 600
symbols. Inputs are 1 and -1 for the symbols 1 and 0, the target is 1 for a string of the language, and half of the
strings are. They do not say how these were drawn, which matters for how hard it is: here symbol by symbol, uniformly
among those after which a string of the wanted class and length can still come. So long strings outside of the languages
1 and 2 leave them early. Lengths are uniform from 5/6 of `length` to all of it, up to length=20 from 1. Where a class
has no string of a length, such as an odd one in language 2, the next longer length that has one is taken, or the next
shorter. Of `freewalk.tasks.timed` in all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from freewalk.kernels.machine.jit import data_function
from freewalk.tasks.bits import random_bit
from freewalk.tasks.task import Problem, Task
from freewalk.tasks.timed import length_and_class, timed_problem, unpacked, which, write_answer
from freewalk.tasks.wiring import wired

AUTOMATA: Mapping[int, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    1: (((1, 0), (1, 1)), (0,)),
    2: (((2, 1), (0, 2), (2, 2)), (0,)),
    3: (((0, 1), (2, 0), (3, 4), (2, 1), (4, 4)), (0, 1, 3)),
    4: (((1, 0), (2, 0), (3, 0), (3, 3)), (0, 1, 2)),
    5: (((1, 2), (0, 3), (3, 0), (2, 1)), (0,)),
    6: (((1, 2), (2, 0), (0, 1)), (0,)),
    7: (((0, 1), (2, 1), (2, 3), (4, 3), (4, 4)), (0, 1, 2, 3)),
}
"""By grammar: the states after 0 and after 1 in each state, 0 the first, and those in which a string belongs."""

_MOST_STATES = 5
_SHORTEST = 4  # a `length` up to which both classes of every language have a string
_SHORT = 20  # lengths up to which strings begin at one symbol
_REMAINING = 8  # numbers of symbols to come that differ: from there on, even ones are like 6 and odd ones like 7
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def reachable(grammar: int, kind: int, remaining: int) -> set[int]:
    """Return the states from which a string of a class, 1 for the language, can come with so many symbols."""
    steps, accepting = AUTOMATA[grammar]
    states = {state for state in range(len(steps)) if (state in accepting) == bool(kind)}
    for _ in range(remaining):
        states = {state for state, after in enumerate(steps) if states & set(after)}
    return states


def _steps(grammar: int) -> int:
    """Return the automaton in one number: three bits for the state after each symbol in each state."""
    return sum(
        after << 3 * (2 * state + symbol)
        for state, row in enumerate(AUTOMATA[grammar][0])
        for symbol, after in enumerate(row)
    )


def _reachable(grammar: int, kind: int) -> int:
    """Return `reachable` in one number: a bit for each state and number of symbols to come."""
    return sum(
        1 << _MOST_STATES * remaining + state
        for remaining in range(_REMAINING)
        for state in reachable(grammar, kind, remaining)
    )


_TABLES = np.array([(_steps(g), _reachable(g, 0), _reachable(g, 1)) for g in AUTOMATA], dtype=np.int64)


@data_function
def _can_come(table: int, state: int, remaining: int) -> bool:
    """Return whether a string of a class can come from a state with so many symbols."""
    like = remaining if remaining < _REMAINING else 6 + (remaining & 1)
    return bool((table >> (_MOST_STATES * like + state)) & 1)


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write 1 or -1 for the symbols of a string, zeros after it, and y: 1 if it belongs to the language."""
    longest, delay, sequences, grammar = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    shortest = 1 if longest <= _SHORT else (5 * longest + 5) // 6
    n, kind = length_and_class(seed, stream, step, index, shortest, longest, fixed)
    steps, table = _TABLES[grammar - 1, 0], _TABLES[grammar - 1, 1 + kind]
    drawn = n
    while n < longest and not _can_come(table, 0, n):
        n += 1
    if not _can_come(table, 0, n):
        n = drawn
    while not _can_come(table, 0, n):
        n -= 1
    state = np.int64(0)
    for t in range(timesteps):
        value = _ZERO
        if t < n:
            after_0, after_1 = (steps >> (6 * state)) & 7, (steps >> (6 * state + 3)) & 7
            symbol = random_bit(seed, stream, step, index, t)
            if not _can_come(table, after_0, n - t - 1):
                symbol = np.int64(1)
            elif not _can_come(table, after_1, n - t - 1):
                symbol = np.int64(0)
            state = after_1 if symbol else after_0
            value = _ONE if symbol else -_ONE
        x[t, 0] = value
    write_answer(n - 1 + delay, kind, y)


def _make_problem(grammar: int, length: int, delay: int, sequences: int, wiring: str) -> Problem:
    if grammar not in AUTOMATA:
        raise ValueError(f"grammar={grammar} does not fit task tomita: from 1 to {len(AUTOMATA)}")
    connected = wired(TASK.name, wiring)
    return timed_problem(TASK.name, datapoint, length, delay, sequences, least=_SHORTEST, more=grammar, **connected)


TASK = Task(
    name="tomita",
    summary="does a string of 5/6 `length` to `length` symbols belong to Tomita's language number `grammar`?",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"grammar": 4, "length": 600, "delay": 0, "sequences": 0, "wiring": "full"},
    baseline=0.5,
    baseline_text="chance: either answer always, for every grammar",
    difficulty=(
        "guesses of all weights from -100 to 100 until 100 training strings are right, means of 10 runs with wiring=a1"
        " and with wiring=a2 hidden=10: grammar 1, hidden=1: 182 and 288; grammar 2, hidden=3: 1,511 and 17,953;"
        " grammar 4, hidden=2: 13,833 and 35,610; how strings were drawn is not said (Hochreiter, Schmidhuber,"
        " NIPS 9, 1997, 473-479)"
    ),
)
