"""Types of PTX, what they are called in C, and the error for what is not understood."""

from __future__ import annotations

from dataclasses import dataclass


class PtxError(ValueError):
    """PTX that the translator does not understand: better no numbers than wrong ones."""


@dataclass(frozen=True)
class Type:
    """A scalar type: kind b (bits), u, s, f or p (predicate), and its width."""

    kind: str
    bits: int

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.bits // 8

    @property
    def c(self) -> str:
        """The type in C that computes with such a value."""
        if self.kind == "f":
            return "float" if self.bits == 32 else "double"
        return f"{'' if self.kind == 's' else 'u'}int{self.bits}_t"

    @property
    def name(self) -> str:
        """The suffix of the helpers in instructions.h: f32, s64, ..."""
        return f"{self.kind}{self.bits}"

    @property
    def register(self) -> str:
        """The type in C that holds the bits of such a value."""
        return f"uint{self.bits}_t"

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point type."""
        return self.kind == "f"

    def of_kind(self, kind: str) -> Type:
        """Return the type of another kind and the same width."""
        return Type(kind, self.bits)

    def twice(self) -> Type:
        """Return the type of the same kind and twice the width."""
        return Type(self.kind, 2 * self.bits)


PREDICATE = Type("p", 8)
U32, U64, B32, B64 = Type("u", 32), Type("u", 64), Type("b", 32), Type("b", 64)
TYPES = {f"{kind}{bits}": Type(kind, bits) for kind in "bus" for bits in (8, 16, 32, 64)}
TYPES |= {"f32": Type("f", 32), "f64": Type("f", 64), "pred": PREDICATE}


def type_of(name: str) -> Type:
    """Return the type of a name.

    Raises
    ------
    PtxError
        If there is none, or none that is translated.
    """
    if name not in TYPES:
        raise PtxError(f"unknown type .{name}")
    return TYPES[name]


def wide(kind: str, bits: int) -> str:
    """Return the integer type in C that holds every product of two numbers of that kind and width."""
    sign = "" if kind == "s" else "unsigned "
    return f"{sign}__int128" if bits == 64 else f"{'' if kind == 's' else 'u'}int{max(32, 2 * bits)}_t"
