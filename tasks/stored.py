"""Data that lie in memory: one block of words, read by address from a datapoint function.

The argument of such a function is the block's address. A block is float32 words after a header of eight int64, and
points nowhere outside itself: kernels on a GPU give the function the address of a copy there.
"""

from __future__ import annotations

import ctypes
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numpy.typing import NDArray

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import data_function
from freewalk.kernels.machine.lanes import intrinsic
from freewalk.kernels.model.noise import Stream

Array32 = NDArray[np.float32]
Rows = tuple[Array32, Array32]

HEADER_WORDS = 16
"""Float32 words that the header takes."""
_SHIFT = np.uint64(32)
_EVALUATION = np.uint32(Stream.EVALUATION_DATA)


def _load(element: Any, result: Any, plain: Any) -> Any:
    """Return an intrinsic (address, k) that reads element k of an array at an address; plain Python without a JIT."""
    if config.DISABLE_JIT:  # as for Numba's CUDA simulator
        return lambda address, k: result(plain.from_address(int(address) + int(k) * ctypes.sizeof(plain)).value)

    def load(typing_context: Any, address: Any, k: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], element.as_pointer())
            return builder.load(builder.gep(pointer, [args[1]]))

        return result(types.int64, types.int64), codegen

    return intrinsic(load)


_load_float32 = _load(ir.FloatType(), types.float32, ctypes.c_float)
_load_int64 = _load(ir.IntType(64), types.int64, ctypes.c_int64)


@data_function
def float_at(address: int, k: int) -> np.floating[Any]:
    """Return float32 number k of those at an address."""
    return _load_float32(address, k)  # type: ignore[no-any-return]


@data_function
def whole_at(address: int, k: int) -> int:
    """Return int64 number k of those at an address."""
    return _load_int64(address, k)  # type: ignore[no-any-return]


@data_function
def drawn(word: np.uint32, n: int) -> int:
    """Return a number in 0..n-1 made of a random word: its share of 2**32, times n."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> _SHIFT)  # type: ignore[return-value]


@data_function
def first_row(seed: int, stream: Any, step: int, index: int, address: int, window: int) -> int:
    """Return the row at which a datapoint begins, the first of `window` or, if that is 0, one alone.

    Training draws them with replacement from its own part, a measurement shows the validation part's in order. The
    header begins with the rows of the two.
    """
    n_training, n_validation = whole_at(address, 0), whole_at(address, 1)
    if stream == _EVALUATION:
        return n_training + (index * max(1, window)) % max(1, n_validation - window)
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    return drawn(word, max(1, n_training - window))


@dataclass(frozen=True)
class Source:
    """What data came from."""

    path: str
    """The file, or the name of the data set in the package that holds it."""
    sha256: str
    """Of the file's bytes, or of the data set's numbers, in hex digits."""
    unpacked: str | None = None
    """Of what is learned from, where that is not the file as it lies: what a packed one holds, say."""


@dataclass(frozen=True, eq=False)
class Stored(ABC):
    """Data as one block of memory; equal data share one, which stays as long as the process."""

    sources: tuple[Source, ...]
    """What they came from."""

    @property
    def content(self) -> str:
        """The SHA-256 of the data, in hex digits: the same wherever files lie, whatever their names, packed or not."""
        digests = [source.unpacked or source.sha256 for source in self.sources]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @abstractmethod
    def _header(self) -> Sequence[int]:
        """Return up to eight numbers for the datapoint function."""

    @abstractmethod
    def _words(self) -> Sequence[Array32]:
        """Return the numbers after the header, 1-D arrays one after the other."""

    @abstractmethod
    def test_rows(self, timesteps: int) -> Rows | None:
        """Return x (n, input_rows, n_input) and y (n, output_rows, n_output) of the test part; None for no rows."""

    @cached_property
    def memory(self) -> Array32:
        """The block."""
        words = self._words()
        n = HEADER_WORDS + sum(map(len, words))
        block = np.zeros(-(-n // 2), dtype=np.int64)  # the header needs a boundary of 8 bytes
        block[: len(self._header())] = self._header()
        block.view(np.float32)[HEADER_WORDS:n] = np.concatenate(words)
        return _BLOCKS.setdefault(hashlib.sha256(block.tobytes()).hexdigest(), block.view(np.float32))

    @property
    def address(self) -> int:
        """Where the block lies."""
        return int(self.memory.ctypes.data)


_BLOCKS: dict[str, Array32] = {}
"""Every block by its digest. Kernels hold addresses, so none is ever freed."""
