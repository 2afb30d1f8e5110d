"""Which function translates which instruction."""

from __future__ import annotations

from collections.abc import Callable

from emulator.ptx import control, conversion, floating, integer, logic, memory
from emulator.ptx.parse import Instruction
from emulator.ptx.scope import Parts, Scope
from emulator.ptx.types import PtxError, Type

_TRANSLATORS: dict[str, Callable[[Scope, Instruction, Parts], str]] = {
    **dict.fromkeys(("shl", "shr"), integer.shift),
    "shf": integer.funnel_shift,
    **dict.fromkeys(("popc", "clz"), integer.count),
    "bfind": integer.find_bit,
    "brev": integer.reverse_bits,
    "bfe": integer.extract_field,
    "bfi": integer.insert_field,
    "prmt": integer.permute_bytes,
    "lop3": integer.look_up_bits,
    **dict.fromkeys(("addc", "subc"), lambda s, i, p: integer.add_or_subtract(s, i, p, p.type("us"))),
    "madc": lambda s, i, p: integer.multiply(s, i, p, p.type("us")),
    **dict.fromkeys(("sqrt", "rcp"), floating.root_or_reciprocal),
    **dict.fromkeys(("ex2", "lg2", "sin", "cos", "tanh", "rsqrt"), floating.approximate),
    "fma": lambda s, i, p: floating.arithmetic(s, i, p, p.type("f")),
    "copysign": floating.copy_sign,
    "testp": floating.test_property,
    "cvt": conversion.convert,
    "mov": logic.move,
    **dict.fromkeys(("and", "or", "xor"), logic.bitwise),
    **dict.fromkeys(("not", "cnot"), logic.invert),
    "selp": logic.select,
    "slct": logic.select_by_sign,
    "setp": logic.compare,
    "set": logic.compare_to_number,
    **dict.fromkeys(("ld", "ldu"), memory.load),
    "st": memory.store,
    **dict.fromkeys(("atom", "red"), memory.atomic),
    "cvta": memory.convert_address,
    "isspacep": memory.is_in_space,
    **dict.fromkeys(("prefetch", "prefetchu"), memory.hint),
    **dict.fromkeys(("fence", "membar"), memory.fence),
    "shfl": memory.shuffle,
    "vote": memory.vote,
    "bra": control.branch,
    "brx": control.branch_by_index,
    **dict.fromkeys(("ret", "exit"), control.leave),
    "trap": control.trap,
    "call": control.call,
    **dict.fromkeys(("bar", "barrier"), control.barrier),
}

_Typed = Callable[[Scope, Instruction, Parts, Type], str]
_OF_INTEGERS_OR_FLOATS: dict[str, tuple[_Typed, _Typed]] = {
    **dict.fromkeys(("add", "sub"), (integer.add_or_subtract, floating.arithmetic)),
    **dict.fromkeys(("mul", "mad"), (integer.multiply, floating.arithmetic)),
    "div": (integer.divide, floating.arithmetic),
    **dict.fromkeys(("min", "max"), (integer.smaller_or_larger, floating.smaller_or_larger)),
    "abs": (integer.absolute, floating.sign),
    "neg": (integer.negate, floating.sign),
}


def translate_instruction(scope: Scope, instruction: Instruction) -> str:
    """Return an instruction in C, without its predicate.

    Raises
    ------
    PtxError
        Names the statement, if the instruction or one of its forms is not known.
    """
    parts = Parts(instruction)
    try:
        code = _translate(scope, instruction, parts)
        parts.finish()
    except (PtxError, ValueError, IndexError, KeyError) as error:
        why = str(error) if isinstance(error, PtxError) else "unknown form"
        raise PtxError(f"the emulator does not translate `{instruction.text}`: {why}") from error
    return code


def _translate(scope: Scope, instruction: Instruction, parts: Parts) -> str:
    opcode = instruction.opcode
    if opcode in _TRANSLATORS:
        return _TRANSLATORS[opcode](scope, instruction, parts)
    if opcode == "rem":
        return integer.divide(scope, instruction, parts, parts.type("us"))
    if opcode not in _OF_INTEGERS_OR_FLOATS:
        raise PtxError(f"unknown instruction {opcode}")
    kind = parts.type("usf")
    return _OF_INTEGERS_OR_FLOATS[opcode][kind.is_float](scope, instruction, parts, kind)
