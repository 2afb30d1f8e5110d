"""What the block that runs a tile of pairs keeps of them: inputs, activations, and products with left vectors.

It lies in shared memory where that is large enough, in global memory elsewhere. The numbers of all pairs for one neuron
are neighbours, so that a thread that has loaded a weight finds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from freewalk.kernels.cuda.jit import SIMULATED, device_function
from freewalk.kernels.cuda.layout import WARP, Family, Spec, family_in

_MOST_THREADS = 32 if SIMULATED else 256
_MOST_SHARED = 44 << 10  # bytes: every GPU gives a block 48 KB, and the kernel keeps a little besides
ALIGNMENT = None if SIMULATED else 16
"""Bytes: four neighbours come with one load."""
_MANY_COLUMNS = 128
_PARTS_OF_A_PRODUCT = 4096  # numbers, at most, unless there is one for each


@dataclass(frozen=True)
class Room:
    """Its measures, in numbers; all are compiled in."""

    spec: Spec
    widest: int
    """Columns of the largest block of weights."""
    perturbed: bool = True
    """Whether the tile is run with perturbations; otherwise with the weights as they are."""

    @property
    def family(self) -> Family:
        """Of the spec."""
        return family_in(self.spec)

    @property
    def pairs(self) -> int:
        """Of a tile."""
        return self.family.pairs

    @property
    def passes(self) -> int:
        """Two where W + D is run beside W or W - D."""
        return 2 if self.perturbed and not self.family.clean_apart else 1

    @property
    def states(self) -> int:
        """Numbers of a neuron: those of all pairs in the first pass, then in the second."""
        return self.passes * self.pairs

    @property
    def rank(self) -> int:
        """Products of vectors in a perturbation that are added to what the shared weights give."""
        return self.family.rank if self.perturbed else 0

    @property
    def columns_of_a_thread(self) -> int:
        """How many columns a thread adds up at a time."""
        full = self.family.rank == 0 and self.perturbed
        return 1 if full or self.widest <= _MANY_COLUMNS else 2

    @property
    def threads(self) -> int:
        """Of a block: whole warps, with as many columns as there are, if that is not too many."""
        wanted = -(-self.widest // self.columns_of_a_thread)
        return min(_MOST_THREADS, -(-wanted // WARP) * WARP)

    @property
    def products(self) -> int:
        """Products with left vectors that a timestep needs: for each pair and product, on each perturbed side."""
        return self.rank * self.pairs * (2 if self.spec.two_sided else 1)

    @property
    def parts(self) -> int:
        """Threads that share one of them."""
        return max(1, min(self.threads // self.pairs, _PARTS_OF_A_PRODUCT // max(1, self.products)))

    @property
    def input_buffers(self) -> int:
        """Two where the next timestep's inputs are read while this one's are used."""
        return 2 if self.spec.sequence_input else 1

    @cached_property
    def activations_at(self) -> int:
        """Where the activations begin, after the inputs and the bias."""
        return self.input_buffers * (self.spec.n_input + 1) * self.pairs

    @cached_property
    def products_at(self) -> int:
        """Where the products begin: whole ones, then the parts of each thread."""
        return self.activations_at + 2 * self.spec.n_to * self.states

    @cached_property
    def size(self) -> int:
        """Of all."""
        return self.products_at + (1 + self.parts) * self.products

    @property
    def is_shared(self) -> bool:
        """Whether all of it fits into shared memory."""
        return 4 * self.size <= _MOST_SHARED


def make_input_at(room: Room) -> Any:
    """Return a device function that says where the first pair's number of an input, or of the bias, is."""
    rows, pairs = room.spec.n_input + 1, room.pairs

    @device_function
    def input_at(buffer: int, row: int) -> int:
        return (buffer * rows + row) * pairs

    return input_at


def make_activation_at(room: Room) -> Any:
    """Return a device function that says where the first state of a neuron is."""
    begin, n_to, states = room.activations_at, room.spec.n_to, room.states

    @device_function
    def activation_at(buffer: int, column: int) -> int:
        return begin + (buffer * n_to + column) * states

    return activation_at
