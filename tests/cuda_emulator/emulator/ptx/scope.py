"""What names mean inside of a function: operands as expressions of C, and what instructions consume."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from emulator.ptx.parse import Instruction, Module, Parameter
from emulator.ptx.types import PREDICATE, PtxError, Type, type_of

SPECIAL_REGISTERS = {
    **{f"%tid.{axis}": f"thread->{axis}" for axis in "xyz"},
    **{f"%ntid.{axis}": f"thread->block->threads_{axis}" for axis in "xyz"},
    **{f"%ctaid.{axis}": f"thread->block->{axis}" for axis in "xyz"},
    **{f"%nctaid.{axis}": f"thread->block->blocks_{axis}" for axis in "xyz"},
    "%laneid": "(thread->number % 32)",
    "%lanemask_eq": "(1u << thread->number % 32)",
    "%lanemask_lt": "((1u << thread->number % 32) - 1)",
    "%lanemask_le": "((2u << thread->number % 32) - 1)",
    "%lanemask_gt": "~((2u << thread->number % 32) - 1)",
    "%lanemask_ge": "~((1u << thread->number % 32) - 1)",
}
_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?$")
_FLOAT = re.compile(r"0([fF])([0-9A-Fa-f]{8})$|0([dD])([0-9A-Fa-f]{16})$")
_SUM = re.compile(r"(.+?)\s*\+\s*(-?\d+)$")
RED_ZONE = 64
"""Bytes between arrays in shared memory, so that a step past the end of one is not a place of the next."""


@cache
def c_name(name: str) -> str:
    """Return a name in C for a register (`%r1`), a register of inline assembly (`r1`) or a symbol."""
    prefix = "r_" if name.startswith("%") else "v_"
    return prefix + re.sub(r"\W", "_", name.removeprefix("%").replace("$", "_S_"))


@dataclass
class Scope:
    """The names of a module, and those of the function being translated."""

    module: Module
    shared: dict[str, int] = field(default_factory=dict)
    """Offsets in the block's shared memory."""
    statements: list[tuple[str, str]] = field(default_factory=list)
    """Text and source line of the statements that the emulator's messages may name."""
    parameters: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Where a parameter lies, in C, and its bytes."""
    registers: set[str] = field(default_factory=set)
    """Those that were declared so far."""
    depots: set[str] = field(default_factory=set)
    """Arrays in the thread's local memory."""
    branch_targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    """Registers that are written and never read."""
    source_line: str = ""

    def symbol(self, name: str) -> str | None:
        """Return the address of something in memory, in C; None if it is not known."""
        if name in self.shared:
            return f"(uint64_t)(thread->block->shared + {self.shared[name]})"
        if name in self.depots:
            return f"(uint64_t){c_name(name)}"
        if name in self.parameters:
            return f"(uint64_t){self.parameters[name][0]}"
        if any(name == variable.name for variable in self.module.variables):
            return f"(uint64_t){c_name(name)}"
        return None

    def bits(self, operand: str, width: int) -> str:
        """Return an operand's bits as an unsigned expression of C that is `width` bits wide."""
        if operand in SPECIAL_REGISTERS:
            return f"((uint{width}_t){SPECIAL_REGISTERS[operand]})"
        if found := _FLOAT.match(operand):
            digits = found[2] or found[4]
            if len(digits) * 4 != width:
                raise PtxError(f"{operand} is no number of {width} bits")
            return f"0x{digits}{'u' if width == 32 else 'ull'}"
        if _INTEGER.match(operand):
            return f"((uint{width}_t){int(operand.rstrip('U'), 0) & (1 << 64) - 1:#x}ull)"
        if operand in self.registers:
            return f"((uint{width}_t){c_name(operand)})"
        found = _SUM.match(operand)
        address = self.symbol(found[1] if found else operand)
        if address is None or width != 64:
            raise PtxError(f"unknown operand {operand}")
        return f"({address} + {found[2]})" if found else f"({address})"

    def register(self, operand: str) -> str:
        """Return a register in C."""
        if operand not in self.registers:
            raise PtxError(f"unknown operand {operand}")
        return c_name(operand)

    def read(self, operand: str, kind: Type) -> str:
        """Return an operand as a value of a type, in C."""
        if kind == PREDICATE:
            if operand in ("0", "1", "-1"):
                return "0" if operand == "0" else "1"
            return f"!{self.register(operand[1:])}" if operand.startswith("!") else self.register(operand)
        bits = self.bits(operand, kind.bits)
        return f"as_{kind.name}({bits})" if kind.is_float else f"(({kind.c}){bits})"

    def write(self, destination: str, kind: Type, value: str) -> str:
        """Return a statement of C that puts a value into a register, which may be wider than its type."""
        if destination == "_":
            return f"(void)({value});"
        name = self.register(destination)
        if kind == PREDICATE:
            return f"{name} = ({value}) ? 1 : 0;"
        if kind.is_float:
            return f"{name} = bits_of_{kind.name}({value});"
        sign_extended = "(int64_t)" if kind.kind == "s" else ""
        return f"{name} = {sign_extended}({kind.c})({value});"

    def address(self, operand: str) -> str:
        """Return the address that `[...]` means, in C."""
        if not (operand.startswith("[") and operand.endswith("]")):
            raise PtxError(f"unknown address {operand}")
        inside = operand[1:-1].strip()
        if found := _SUM.match(inside):
            return f"({self.bits(found[1].strip(), 64)} + {int(found[2])}ll)"
        return self.bits(inside, 64)

    def parameter(self, operand: str, wanted: int) -> str:
        """Return the address of `wanted` bytes in a parameter, in C."""
        found = re.match(r"\[\s*([\w$]+)\s*(?:\+\s*(\d+))?\s*\]$", operand)
        if not found or found[1] not in self.parameters:
            raise PtxError(f"unknown parameter {operand}")
        place, size = self.parameters[found[1]]
        if int(found[2] or 0) + wanted > size:
            raise PtxError(f"{operand} reaches beyond the parameter's {size} bytes")
        return f"((uint64_t){place} + {found[2] or 0})"

    def declare_memory(self, parameter: Parameter) -> str:
        """Declare memory in which an argument or result is handed over."""
        name = c_name(parameter.name)
        self.parameters[parameter.name] = name, parameter.bytes
        return f"char {name}[{parameter.bytes}] __attribute__((aligned(16))) = {{0}};"

    def statement(self, instruction: Instruction) -> int:
        """Return the number under which messages name a statement."""
        self.statements.append((instruction.text, self.source_line))
        return len(self.statements) - 1


class Parts:
    """What follows an opcode, taken bit by bit; what nobody takes is unknown."""

    def __init__(self, instruction: Instruction) -> None:
        self._left = list(instruction.parts)

    def flag(self, name: str) -> bool:
        """Take a part that may be there."""
        if name in self._left:
            self._left.remove(name)
            return True
        return False

    def one_of(self, *names: str) -> str:
        """Take one of several parts; return an empty text if there is none."""
        return next((name for name in names if self.flag(name)), "")

    def drop(self, *names: str) -> None:
        """Take parts that change nothing here."""
        for name in names:
            self.flag(name)

    def drop_hints(self) -> None:
        """Take hints about caches."""
        self._left = [part for part in self._left if not part.startswith(("L1::", "L2::"))]

    def type(self, kinds: str = "busf") -> Type:
        """Take the type, which comes last."""
        if not self._left:
            raise PtxError("the type is missing")
        kind = type_of(self._left.pop())
        if kind.kind not in kinds:
            raise PtxError(f"a type that does not belong here: {kind.name}")
        return kind

    def finish(self) -> None:
        """Refuse what is left.

        Raises
        ------
        PtxError
            Names it.
        """
        if self._left:
            raise PtxError("unknown part ." + ".".join(self._left))
