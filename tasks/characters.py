"""The character that comes next, in a text made by a Markov chain, whose best answer is known, or in a file.

The chain has the letters a to h. The next letter is g(last) with probability 0.3, h(the one before) with probability
0.5, and any letter with equal chances otherwise; g and h are two permutations. So a network that forgets all but the
last letter finds 0.385 of the letters, one that keeps one more finds 0.561. `chain_facts` computes the bounds from the
stationary distribution of the pairs of letters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.noise import Stream, counters, philox, uniform_from_words
from freewalk.tasks.errors import DataError
from freewalk.tasks.files import kind_of, located, read_file, read_once
from freewalk.tasks.stored import HEADER_WORDS, Array32, Rows, Source, Stored, first_row, float_at
from freewalk.tasks.task import Place, Problem, Task

MARKOV = "markov"
"""The value of `source` that stands for the chain's text."""
LETTERS = "abcdefgh"
AFTER_LAST = (3, 0, 5, 7, 1, 6, 2, 4)
AFTER_ONE_BEFORE = (6, 4, 1, 0, 7, 3, 5, 2)
BY_LAST, BY_ONE_BEFORE = 0.3, 0.5
TIMESTEPS = 16
N_MADE = 2**18
_SHARES = (8, 1, 1)  # of a text: training, validation, test, one after the other
_MOST_CHARACTERS = 256
_MARK = b"\xef\xbb\xbf"  # that some editors put before UTF-8
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write a window of a text, a one for each character, and y: the characters that follow each.

    Training takes windows anywhere in its part, an evaluation those of the validation part one after the other.
    """
    start = first_row(seed, stream, step, index, argument, timesteps)
    for t in range(timesteps):
        now = int(float_at(argument, HEADER_WORDS + start + t))
        following = int(float_at(argument, HEADER_WORDS + start + t + 1))
        for k in range(x.shape[1]):
            x[t, k] = _ONE if k == now else _ZERO
            y[t, k] = _ONE if k == following else _ZERO


@dataclass(frozen=True, eq=False)
class Text(Stored):
    """A text as numbers of characters."""

    characters: str
    """The alphabet, in order."""
    codes: NDArray[np.int64]
    """(n,) places of the text's characters in it."""

    @property
    def _ends(self) -> tuple[int, int]:
        """Where the training part and the validation part end."""
        ends = np.cumsum(_SHARES[:2]) * len(self.codes) // sum(_SHARES)
        return int(ends[0]), int(ends[1])

    def _header(self) -> Sequence[int]:
        training, validation = self._ends
        return training, validation - training

    def _words(self) -> Sequence[Array32]:
        return [self.codes.astype(np.float32)]

    @property
    def longest_window(self) -> int:
        """Timesteps for which every part has a window."""
        training, validation = self._ends
        return min(training, validation - training, len(self.codes) - validation) - 1

    def test_rows(self, timesteps: int) -> Rows | None:
        """Return the windows of the test part, one after the other."""
        codes = self.codes[self._ends[1] :]
        n = (len(codes) - 1) // timesteps
        one_hot = np.eye(len(self.characters), dtype=np.float32)
        x, y = (one_hot[codes[first : first + n * timesteps]].reshape(n, timesteps, -1) for first in (0, 1))
        return x, y


class ChainFacts(NamedTuple):
    """What can be known of the chain's next letter."""

    entropy_rate: float
    """Bits a letter."""
    best_accuracy: float
    """Share of letters found by the best guess from the last two letters."""
    accuracy_without_memory: float
    """Share found by the best guess from the last letter alone."""


def transitions() -> NDArray[np.float64]:
    """Return the chance of each next letter after (the one before, the last), (8, 8, 8)."""
    n = len(LETTERS)
    chances = np.full((n, n, n), (1 - BY_LAST - BY_ONE_BEFORE) / n)
    for before in range(n):
        for last in range(n):
            chances[before, last, AFTER_LAST[last]] += BY_LAST
            chances[before, last, AFTER_ONE_BEFORE[before]] += BY_ONE_BEFORE
    return chances


@cache
def chain_facts() -> ChainFacts:
    """Compute the bounds from the stationary distribution of pairs of letters."""
    chances = transitions()
    n = len(LETTERS)
    pairs = np.full((n, n), 1 / n**2)
    for _ in range(200):  # each round forgets at least a fifth of what it started from
        pairs = np.einsum("bl,bln->ln", pairs, chances)
    rate = -float(np.einsum("bl,bln->", pairs, chances * np.log2(chances)))
    by_last = np.einsum("bl,bln->ln", pairs, chances)
    return ChainFacts(rate, float((pairs * chances.max(axis=2)).sum()), float(by_last.max(axis=1).sum()))


@cache
def markov_text() -> Text:
    """Return the text of the chain, always the same."""
    uniforms = uniform_from_words(philox(counters(0, np.arange(N_MADE), 0, Stream.DATA), 0)[:, 0])
    ends = transitions().cumsum(axis=2)
    codes = np.zeros(N_MADE, dtype=np.int64)
    before, last = 0, 1
    for k, share in enumerate(uniforms):
        following = min(int(np.searchsorted(ends[before, last], share, side="right")), len(LETTERS) - 1)
        codes[k] = following
        before, last = last, following
    digest = hashlib.sha256(codes.astype(np.uint8).tobytes()).hexdigest()
    return Text((Source("the chain's text", digest),), LETTERS, codes)


@read_once
def read_text(path: str) -> Text:
    """Return the text of a UTF-8 file, without the mark at its beginning that some editors put there.

    Raises
    ------
    DataError
        If it cannot be read, or has one character only or too many different ones.
    """
    content = read_file(Path(path), f"{MARKOV} or a UTF-8 file")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"source={path} is not UTF-8 at byte {error.start}{kind_of(content)}; save the file as UTF-8"
        ) from None
    unmarked = content.removeprefix(_MARK)
    text = text.removeprefix(_MARK.decode())
    characters = "".join(sorted(set(text)))
    if not 2 <= len(characters) <= _MOST_CHARACTERS:
        raise DataError(f"source={path} has {len(characters)} different characters; from 2 to {_MOST_CHARACTERS} fit")
    places = {character: k for k, character in enumerate(characters)}
    codes = np.fromiter((places[character] for character in text), dtype=np.int64, count=len(text))
    digests = (hashlib.sha256(one).hexdigest() for one in (content, unmarked))
    return Text((Source(path, *digests),), characters, codes)


def _make_problem(source: str) -> Problem:
    if source == MARKOV:
        return _problem(len(LETTERS), 0, markov_text, N_MADE // 10 - 2)
    text = _text_of(source)
    argument = int(text.sources[0].sha256[:15], 16)
    return _problem(len(text.characters), argument, lambda: text, text.longest_window)


def _text_of(source: str) -> Text:
    path = located(source)
    text = read_text(str(path))
    if text.longest_window < 2:
        raise DataError(f"source={source} has {len(text.codes)} characters; give a text of at least 30")
    return text


def _place(source: str) -> Place | None:
    return None if source == MARKOV else Place(str(located(source)), _text_of(source).content)


def _problem(n: int, argument: int, load: Any, longest: int) -> Problem:
    return Problem(
        n_input=n,
        n_output=n,
        datapoint=datapoint,
        argument=argument,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=min(TIMESTEPS, longest),
        most_timesteps=longest,
        load_stored=load,
    )


def _target() -> float:
    """Return what only a network that keeps more than the last letter reaches: halfway between the two bounds."""
    facts = chain_facts()
    return math.floor(50 * (facts.best_accuracy + facts.accuracy_without_memory)) / 100


TASK = Task(
    name="characters",
    summary="the next character: of a Markov chain's text, or of the UTF-8 file source (give it a --target)",
    metric="accuracy",
    target=_target(),
    make_problem=_make_problem,
    parameters={"source": MARKOV},
    places={"source": _place},
    baseline=1 / len(LETTERS),
    baseline_text="one letter always: the chain shows all eight equally often",
    difficulty=(
        f"computed from the chain: the best guess finds {chain_facts().best_accuracy:.3f} of the letters, the best from"
        f" the last letter alone {chain_facts().accuracy_without_memory:.3f}; entropy rate"
        f" {chain_facts().entropy_rate:.3f} bits a letter"
    ),
)
