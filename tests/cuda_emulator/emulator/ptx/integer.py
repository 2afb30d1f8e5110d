"""Integer arithmetic and bits."""

from __future__ import annotations

from emulator.ptx.parse import Instruction
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import B32, U32, PtxError, Type, wide


def _carried(scope: Scope, destination: str, kind: Type, value: str, *, sets_carry: bool) -> str:
    """Write a sum that may need a bit more than the type has."""
    carry = f"carry = (uint32_t)(sum >> {kind.bits}) & 1; " if sets_carry else ""
    total = f"{wide('u', kind.bits)} sum = {value}; "
    return total + carry + scope.write(destination, kind.of_kind("u"), "sum")


def add_or_subtract(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate add, sub, addc and subc of integers."""
    sign = "+" if i.opcode.startswith("add") else "-"
    sets_carry, uses_carry, saturates = parts.flag("cc"), i.opcode.endswith("c"), parts.flag("sat")
    unsigned = kind.of_kind("u")
    x, y = (scope.read(operand, unsigned) for operand in i.operands[1:3])
    if saturates:
        if kind.name != "s32" or sets_carry or uses_carry:
            raise PtxError("unknown part .sat")
        x, y = (scope.read(operand, kind) for operand in i.operands[1:3])
        return scope.write(i.operands[0], kind, f"clamp_s32((__int128){x} {sign} {y})")
    if sets_carry or uses_carry:
        total = f"({wide('u', kind.bits)}){x} {sign} {y}" + (f" {sign} carry" if uses_carry else "")
        return _carried(scope, i.operands[0], kind, total, sets_carry=sets_carry)
    return scope.write(i.operands[0], kind, f"{x} {sign} {y}")


def _product(scope: Scope, i: Instruction, kind: Type) -> str:
    big = wide(kind.kind, kind.bits)
    return f"(({big}){scope.read(i.operands[1], kind)} * ({big}){scope.read(i.operands[2], kind)})"


def multiply(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate mul and mad, madc of integers."""
    half = parts.one_of("lo", "hi", "wide")
    if not half or kind.kind == "b":
        raise PtxError("neither .lo, .hi nor .wide")
    sets_carry, uses_carry, product = parts.flag("cc"), i.opcode == "madc", _product(scope, i, kind)
    if half == "hi":
        product = f"({product} >> {kind.bits})"
    if half == "wide":
        kind = kind.twice()
    elif i.opcode != "mul":
        product = f"({kind.of_kind('u').c}){product}"
    if i.opcode == "mul":
        return scope.write(i.operands[0], kind, product)
    unsigned = kind.of_kind("u")
    addend = scope.read(i.operands[3], unsigned)
    if half == "wide":
        return scope.write(i.operands[0], kind, f"({unsigned.c}){product} + {addend}")
    total = f"({wide('u', kind.bits)}){product} + {addend}" + (" + carry" if uses_carry else "")
    return _carried(scope, i.operands[0], kind, total, sets_carry=sets_carry)


def divide(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate div and rem of integers; a division by zero ends the kernel."""
    x, y = (scope.read(operand, kind) for operand in i.operands[1:3])
    checked = f'if (!divisor) emu_fail(thread, "an integer is divided by zero", {scope.statement(i)}); '
    value = f"{x} {'/' if i.opcode == 'div' else '%'} divisor"
    if kind.kind == "s":  # the smallest number by -1 overflows, and wraps around
        value = f"divisor == -1 ? {f'({kind.c})-{x}' if i.opcode == 'div' else '0'} : {value}"
    return f"{kind.c} divisor = {y}; {checked}" + scope.write(i.operands[0], kind, value)


def smaller_or_larger(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate min and max of integers."""
    x, y = (scope.read(operand, kind) for operand in i.operands[1:3])
    return scope.write(i.operands[0], kind, f"{x} {'<' if i.opcode == 'min' else '>'} {y} ? {x} : {y}")


def absolute(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate abs of integers."""
    x = scope.read(i.operands[1], kind)
    return scope.write(i.operands[0], kind, f"{x} < 0 ? -{x} : {x}")


def negate(scope: Scope, i: Instruction, parts: Parts, kind: Type) -> str:
    """Translate neg of integers."""
    return scope.write(i.operands[0], kind, f"-{scope.read(i.operands[1], kind)}")


def shift(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate shl and shr: shifts by the width and more leave zeros, or the sign."""
    kind = parts.type("bus")
    by = scope.read(i.operands[2], U32)
    if i.opcode == "shr" and kind.kind == "s":
        last = kind.bits - 1
        return scope.write(i.operands[0], kind, f"{scope.read(i.operands[1], kind)} >> ({by} > {last} ? {last} : {by})")
    x, sign = scope.read(i.operands[1], kind.of_kind("u")), "<<" if i.opcode == "shl" else ">>"
    return scope.write(i.operands[0], kind, f"{by} >= {kind.bits} ? 0 : {x} {sign} {by}")


def funnel_shift(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate shf: 32 of the 64 bits of two registers."""
    parts.type("b")
    direction, mode = parts.one_of("l", "r"), parts.one_of("wrap", "clamp")
    low, high, by = (scope.read(operand, U32) for operand in i.operands[1:4])
    by = f"({by} & 31)" if mode == "wrap" else f"({by} > 32 ? 32 : {by})"
    both = f"((uint64_t){high} << 32 | {low})"
    return scope.write(i.operands[0], B32, f"{both} >> {by}" if direction == "r" else f"{both} << {by} >> 32")


def count(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate popc and clz."""
    kind = parts.type("b")
    x = scope.read(i.operands[1], kind)
    if i.opcode == "popc":
        return scope.write(i.operands[0], U32, f"__builtin_popcountll({x})")
    return scope.write(i.operands[0], U32, f"{x} ? __builtin_clzll({x}) - {64 - kind.bits} : {kind.bits}")


def find_bit(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate bfind: the highest bit that differs from the sign."""
    kind, from_the_top = parts.type("us"), parts.flag("shiftamt")
    x = scope.read(i.operands[1], kind)
    if kind.kind == "s":
        x = f"({x} < 0 ? ~{x} : {x})"
    unsigned = f"({kind.of_kind('u').c}){x}"
    place = f"__builtin_clzll({unsigned}) - {64 - kind.bits}"
    return scope.write(
        i.operands[0], U32, f"{unsigned} ? {place if from_the_top else f'{kind.bits - 1} - ({place})'} : 0xffffffffu"
    )


def reverse_bits(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate brev."""
    kind = parts.type("b")
    return scope.write(i.operands[0], kind, f"reverse_bits({scope.read(i.operands[1], kind)}, {kind.bits})")


def extract_field(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate bfe: a field of bits, with its sign."""
    kind = parts.type("us")
    x, begin, length = (scope.read(i.operands[1], kind), *(scope.read(operand, U32) for operand in i.operands[2:4]))
    signed = int(kind.kind == "s")
    bits = f"(uint64_t){'(int64_t)' if signed else ''}{x}"
    return scope.write(i.operands[0], kind, f"extract_field({bits}, {begin}, {length}, {kind.bits}, {signed})")


def insert_field(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate bfi: a field of bits is replaced."""
    kind = parts.type("b")
    field, into = (scope.read(operand, kind) for operand in i.operands[1:3])
    begin, length = (scope.read(operand, U32) for operand in i.operands[3:5])
    return scope.write(i.operands[0], kind, f"insert_field({field}, {into}, {begin}, {length}, {kind.bits})")


def permute_bytes(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate prmt in its default mode: four of eight bytes."""
    parts.type("b")
    low, high, selection = (scope.read(operand, U32) for operand in i.operands[1:4])
    return scope.write(i.operands[0], B32, f"permute_bytes({low}, {high}, {selection})")


def look_up_bits(scope: Scope, i: Instruction, parts: Parts) -> str:
    """Translate lop3: any logical function of three bits, as a table of eight."""
    parts.type("b")
    a, b, c = (scope.read(operand, U32) for operand in i.operands[1:4])
    table = int(i.operands[4], 0)
    terms = [
        "(" + " & ".join(name if row >> place & 1 else f"~{name}" for name, place in ((a, 2), (b, 1), (c, 0))) + ")"
        for row in range(8)
        if table >> row & 1
    ]
    return scope.write(i.operands[0], B32, " | ".join(terms) or "0")
