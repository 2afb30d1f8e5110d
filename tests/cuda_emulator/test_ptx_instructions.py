"""Single instructions of PTX, translated and run: their numbers are those of the PTX manual, bit by bit."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import pytest
from emulator.build import why_impossible
from ptx_pieces import kernel, run_all

REASON = why_impossible()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

INF, NAN = math.inf, math.nan
TINY = 2.0**-149
F32_MAX = float.fromhex("0x1.fffffep127")
ABOVE_1 = 1 + 2.0**-23  # the float32 after 1
BELOW_1 = 1 - 2.0**-24
SIGN32, SIGN64, ALL32, ALL64 = 1 << 31, 1 << 63, (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True)
class Piece:
    """Instructions on the registers a, b, c that leave d; `types` are those of d, a, b, c."""

    code: str
    types: str
    given: tuple[float, ...]
    wanted: float


def _bits(value: float, kind: str) -> int:
    if kind == "f32":
        return int.from_bytes(struct.pack("<f", value), "little")
    if kind == "f64":
        return int.from_bytes(struct.pack("<d", value), "little")
    return int(value) & ((1 << (8 if kind == "pred" else int(kind[1:]))) - 1)


def p(code: str, types: str, *numbers: float) -> Piece:
    """Return a piece: the last number is what it leaves."""
    return Piece(code, types, numbers[:-1], numbers[-1])


PIECES = [
    # ---- floating point: rounding modes, in both widths
    p("add.rn.f32 d, a, b", "f32 f32 f32", 1, 2**-30, 1),
    p("add.rz.f32 d, a, b", "f32 f32 f32", -1, -(2**-30), -1),
    p("add.rp.f32 d, a, b", "f32 f32 f32", 1, 2**-30, ABOVE_1),
    p("add.rm.f32 d, a, b", "f32 f32 f32", 1, -(2**-30), BELOW_1),
    p("sub.rp.f64 d, a, b", "f64 f64 f64", 1, 2**-80, 1),
    p("sub.rz.f64 d, a, b", "f64 f64 f64", 1, 2**-80, 1 - 2**-53),
    p("mul.rn.f32 d, a, b", "f32 f32 f32", ABOVE_1, ABOVE_1, 1 + 2**-22),
    p("mul.rp.f32 d, a, b", "f32 f32 f32", ABOVE_1, ABOVE_1, 1 + 2**-22 + 2**-23),
    p("div.rn.f32 d, a, b", "f32 f32 f32", 1, 3, float.fromhex("0x1.555556p-2")),
    p("div.rz.f32 d, a, b", "f32 f32 f32", 1, 3, float.fromhex("0x1.555554p-2")),
    p("div.rp.f64 d, a, b", "f64 f64 f64", 2, 3, float.fromhex("0x1.5555555555556p-1")),
    p("div.rn.f32 d, a, b", "f32 f32 f32", 1, 0, INF),
    p("div.full.f32 d, a, b", "f32 f32 f32", 6, 3, 2),
    p("rcp.rn.f32 d, a", "f32 f32", -0.0, -INF),
    p("rcp.rm.f64 d, a", "f64 f64", 3, float.fromhex("0x1.5555555555555p-2")),
    p("rcp.rp.f64 d, a", "f64 f64", 3, float.fromhex("0x1.5555555555556p-2")),
    p("sqrt.rn.f32 d, a", "f32 f32", 2, float.fromhex("0x1.6a09e6p0")),
    p("sqrt.rp.f32 d, a", "f32 f32", 2, float.fromhex("0x1.6a09e8p0")),
    p("sqrt.rn.f64 d, a", "f64 f64", 2, math.sqrt(2)),
    p("add.rz.f32 d, a, b", "f32 f32 f32", F32_MAX, F32_MAX, F32_MAX),
    p("add.rn.f32 d, a, b", "f32 f32 f32", F32_MAX, F32_MAX, INF),
    # one rounding, where two would go the other way
    p("fma.rn.f32 d, a, b, c", "f32 f32 f32 f32", ABOVE_1, ABOVE_1, -(1 + 2**-22), 2**-46),
    p("mad.rn.f32 d, a, b, c", "f32 f32 f32 f32", ABOVE_1, ABOVE_1, -(1 + 2**-22), 2**-46),
    p("mul.f32 d, a, b; add.f32 d, d, c", "f32 f32 f32 f32", ABOVE_1, ABOVE_1, -(1 + 2**-22), 0),
    p("fma.rn.f64 d, a, b, c", "f64 f64 f64 f64", 1 + 2**-52, 1 + 2**-52, -(1 + 2**-51), 2**-104),
    # 1 - 2^-60 is nearer to 1 as a double too, and rounds down all the same
    p("fma.rm.f32 d, a, b, c", "f32 f32 f32 f32", 2**-30, -(2**-30), 1, BELOW_1),
    p("fma.rp.f32 d, a, b, c", "f32 f32 f32 f32", 2**-30, 2**-30, 1, ABOVE_1),
    p("fma.rz.f32 d, a, b, c", "f32 f32 f32 f32", 2**-30, 2**-30, -1, -BELOW_1),
    # ---- subnormal numbers, saturation, signs
    p("mul.f32 d, a, b", "f32 f32 f32", 2**-100, 2**-49, TINY),
    p("mul.ftz.f32 d, a, b", "f32 f32 f32", -(2**-100), 2**-49, -0.0),
    p("add.ftz.f32 d, a, b", "f32 f32 f32", TINY, 0, 0),
    p("add.sat.f32 d, a, b", "f32 f32 f32", 3, 4, 1),
    p("add.sat.f32 d, a, b", "f32 f32 f32", -3, 1, 0),
    p("mul.sat.f32 d, a, b", "f32 f32 f32", NAN, 1, 0),
    p("neg.f32 d, a", "f32 f32", 0.0, -0.0),
    p("abs.f64 d, a", "f64 f64", -INF, INF),
    p("copysign.f32 d, a, b", "f32 f32 f32", -0.0, 3, -3),
    # ---- minimum and maximum with NaN and zeros
    p("min.f32 d, a, b", "f32 f32 f32", NAN, 2, 2),
    p("max.f32 d, a, b", "f32 f32 f32", 2, NAN, 2),
    p("max.NaN.f32 d, a, b", "f32 f32 f32", 2, NAN, NAN),
    p("min.NaN.f32 d, a, b", "f32 f32 f32", NAN, 2, NAN),
    p("max.f64 d, a, b", "f64 f64 f64", NAN, NAN, NAN),
    p("max.f32 d, a, b", "f32 f32 f32", -0.0, 0.0, 0.0),
    p("min.f32 d, a, b", "f32 f32 f32", 0.0, -0.0, -0.0),
    p("min.f64 d, a, b", "f64 f64 f64", -INF, 1, -INF),
    # ---- functions
    p("ex2.approx.ftz.f32 d, a", "f32 f32", 3, 8),
    p("ex2.approx.ftz.f32 d, a", "f32 f32", -140, 0),
    p("ex2.approx.f32 d, a", "f32 f32", -140, 2**-140),
    p("lg2.approx.f32 d, a", "f32 f32", 8, 3),
    p("rsqrt.approx.f64 d, a", "f64 f64", 4, 0.5),
    p("rcp.approx.ftz.f64 d, a", "f64 f64", 4, 0.25),
    p("rcp.approx.ftz.f64 d, a", "f64 f64", 2**-1030, INF),
    # ---- comparisons
    p("setp.lt.f32 d, a, b", "pred f32 f32", NAN, 1, 0),
    p("setp.ltu.f32 d, a, b", "pred f32 f32", NAN, 1, 1),
    p("setp.ne.f32 d, a, b", "pred f32 f32", NAN, 1, 0),
    p("setp.neu.f64 d, a, b", "pred f64 f64", NAN, 1, 1),
    p("setp.equ.f64 d, a, b", "pred f64 f64", 1, 2, 0),
    p("setp.num.f32 d, a, b", "pred f32 f32", NAN, 1, 0),
    p("setp.nan.f32 d, a, b", "pred f32 f32", NAN, 1, 1),
    p("setp.eq.f32 d, a, b", "pred f32 f32", 0.0, -0.0, 1),
    p("setp.lt.s32 d, a, b", "pred s32 s32", -1, 1, 1),
    p("setp.lt.u32 d, a, b", "pred u32 u32", -1, 1, 0),
    p("setp.hi.u64 d, a, b", "pred u64 u64", ALL64, 1, 1),
    p("setp.lt.and.s32 d, a, b, c", "pred s32 s32 pred", 1, 2, 0, 0),
    p("setp.lt.or.s32 d, a, b, !c", "pred s32 s32 pred", 3, 2, 0, 1),
    p("setp.lt.xor.s32 d, a, b, c", "pred s32 s32 pred", 1, 2, 1, 0),
    p("setp.ge.s32 c|d, a, b", "pred s32 s32 pred", 1, 2, 0, 1),
    p("set.lt.u32.f32 d, a, b", "u32 f32 f32", 1, 2, ALL32),
    p("set.lt.f32.s32 d, a, b", "f32 s32 s32", 1, 2, 1.0),
    p("selp.f32 d, a, b, c", "f32 f32 f32 pred", 1, 2, 0, 2),
    p("slct.u32.f32 d, a, b, c", "u32 u32 u32 f32", 1, 2, -0.0, 1),
    p("testp.finite.f32 d, a", "pred f32", INF, 0),
    p("testp.subnormal.f32 d, a", "pred f32", TINY, 1),
    # ---- predicates
    p("mov.u32 d, 1; @c mov.u32 d, 2", "u32 u32 u32 pred", 0, 0, 1, 2),
    p("mov.u32 d, 1; @!c mov.u32 d, 2", "u32 u32 u32 pred", 0, 0, 1, 1),
    p("and.pred d, a, !b", "pred pred pred", 1, 0, 1),
    p("xor.pred d, a, b", "pred pred pred", 1, 1, 0),
    p("not.pred d, a", "pred pred", 1, 0),
    # ---- integers
    p("add.s32 d, a, b", "s32 s32 s32", 2**31 - 1, 1, -(2**31)),
    p("add.sat.s32 d, a, b", "s32 s32 s32", 2**31 - 1, 1, 2**31 - 1),
    p("sub.sat.s32 d, a, b", "s32 s32 s32", -(2**31), 1, -(2**31)),
    p("mul.lo.s32 d, a, b", "s32 s32 s32", 2**31 - 1, 3, 2**31 - 3),
    p("mul.hi.s32 d, a, b", "s32 s32 s32", -1, 1, -1),
    p("mul.hi.u32 d, a, b", "u32 u32 u32", ALL32, ALL32, ALL32 - 1),
    p("mul.hi.u64 d, a, b", "u64 u64 u64", ALL64, ALL64, ALL64 - 1),
    p("mul.hi.s64 d, a, b", "s64 s64 s64", -1, 5, -1),
    p("mul.wide.s32 d, a, b", "s64 s32 s32", -3, 5, -15),
    p("mul.wide.u32 d, a, b", "u64 u32 u32", ALL32, 2, 2**33 - 2),
    p("mul.wide.u16 d, a, b", "u32 u16 u16", 65535, 65535, 65535**2),
    p("mad.lo.s32 d, a, b, c", "s32 s32 s32 s32", -3, 5, 7, -8),
    p("mad.hi.u32 d, a, b, c", "u32 u32 u32 u32", ALL32, ALL32, 3, 1),
    p("mad.wide.s32 d, a, b, c", "s64 s32 s32 s64", -3, 5, 7, -8),
    p("add.cc.u32 d, a, b; addc.u32 d, c, 0", "u32 u32 u32 u32", ALL32, 1, 5, 6),
    p("sub.cc.u32 d, a, b; subc.u32 d, c, 0", "u32 u32 u32 u32", 0, 1, 5, 4),
    p("add.cc.u64 d, a, b; addc.u64 d, c, 0", "u64 u64 u64 u64", ALL64, 1, 5, 6),
    p("mad.lo.cc.u32 d, a, b, c; madc.hi.u32 d, a, b, 0", "u32 u32 u32 u32", ALL32, ALL32, ALL32, ALL32),
    p("div.s32 d, a, b", "s32 s32 s32", -7, 2, -3),
    p("rem.s32 d, a, b", "s32 s32 s32", -7, 2, -1),
    p("div.s32 d, a, b", "s32 s32 s32", -(2**31), -1, -(2**31)),
    p("rem.s64 d, a, b", "s64 s64 s64", -(2**63), -1, 0),
    p("div.u32 d, a, b", "u32 u32 u32", ALL32, 2, 2**31 - 1),
    p("min.s32 d, a, b", "s32 s32 s32", -1, 1, -1),
    p("min.u32 d, a, b", "u32 u32 u32", -1, 1, 1),
    p("max.s64 d, a, b", "s64 s64 s64", -1, 1, 1),
    p("abs.s32 d, a", "s32 s32", -(2**31), -(2**31)),
    p("neg.s64 d, a", "s64 s64", 5, -5),
    # ---- shifts, also beyond the width
    p("shl.b32 d, a, b", "b32 b32 u32", 1, 31, SIGN32),
    p("shl.b32 d, a, b", "b32 b32 u32", 1, 32, 0),
    p("shl.b64 d, a, b", "b64 b64 u32", 1, 1000, 0),
    p("shr.u32 d, a, b", "u32 u32 u32", ALL32, 33, 0),
    p("shr.s32 d, a, b", "s32 s32 u32", -5, 1, -3),
    p("shr.s32 d, a, b", "s32 s32 u32", -5, 100, -1),
    p("shr.s64 d, a, b", "s64 s64 u32", SIGN64, ALL32, -1),
    p("shr.u64 d, a, b", "u64 u64 u32", ALL64, 64, 0),
    p("shf.l.wrap.b32 d, a, b, c", "b32 b32 b32 u32", SIGN32, 1, 33, 3),
    p("shf.r.wrap.b32 d, a, b, c", "b32 b32 b32 u32", 2, 1, 1, SIGN32 + 1),
    p("shf.r.clamp.b32 d, a, b, c", "b32 b32 b32 u32", 2, 7, 100, 7),
    p("shf.l.clamp.b32 d, a, b, c", "b32 b32 b32 u32", 9, 7, 100, 9),
    # ---- bits
    p("popc.b64 d, a", "u32 b64", ALL64, 64),
    p("clz.b32 d, a", "u32 b32", 1, 31),
    p("clz.b64 d, a", "u32 b64", 0, 64),
    p("brev.b32 d, a", "b32 b32", 1, SIGN32),
    p("bfind.u32 d, a", "u32 u32", 0, ALL32),
    p("bfind.s32 d, a", "u32 s32", -2, 0),
    p("bfe.u32 d, a, 4, 8", "u32 u32", 0xABC5, 0xBC),
    p("bfe.s32 d, a, 4, 8", "s32 s32", 0xABC5, 0xBC - 256),
    p("bfe.u32 d, a, 28, 8", "u32 u32", 0xF0000000, 0xF),
    p("bfi.b32 d, a, b, 4, 8", "b32 b32 b32", 0xFF, 0, 0xFF0),
    p("prmt.b32 d, a, b, c", "b32 b32 b32 b32", 0x33221100, 0x77665544, 0x7531, 0x77553311),
    p("prmt.b32 d, a, b, 0x8888", "b32 b32 b32", 0x80, 0, ALL32),
    p("lop3.b32 d, a, b, c, 0x96", "b32 b32 b32 b32", 0b1100, 0b1010, 0b0001, 0b0111),
    p("not.b64 d, a", "b64 b64", 0, ALL64),
    p("cnot.b32 d, a", "b32 b32", 0, 1),
    # ---- conversions: saturating, rounding, widening
    p("cvt.rzi.s32.f32 d, a", "s32 f32", -2.9, -2),
    p("cvt.rni.s32.f32 d, a", "s32 f32", 2.5, 2),
    p("cvt.rmi.s32.f64 d, a", "s32 f64", -2.1, -3),
    p("cvt.rpi.s64.f64 d, a", "s64 f64", -2.9, -2),
    p("cvt.rzi.s32.f32 d, a", "s32 f32", 1e20, 2**31 - 1),
    p("cvt.rzi.u32.f32 d, a", "u32 f32", -1, 0),
    p("cvt.rzi.u64.f64 d, a", "u64 f64", 1e30, ALL64),
    p("cvt.rzi.u64.f64 d, a", "u64 f64", 2.0**63, 2**63),
    p("cvt.rzi.s64.f32 d, a", "s64 f32", -INF, -(2**63)),
    p("cvt.rzi.s8.f32 d, a", "s8 f32", 1000, 127),
    p("cvt.rzi.s32.f32 d, a", "s32 f32", NAN, 0),
    p("cvt.rzi.s32.f64 d, a", "s32 f64", NAN, SIGN32),
    p("cvt.rzi.u64.f32 d, a", "u64 f32", NAN, SIGN64),
    p("cvt.rn.f32.f64 d, a", "f32 f64", 1 + 2**-30, 1),
    p("cvt.rp.f32.f64 d, a", "f32 f64", 1 + 2**-30, ABOVE_1),
    p("cvt.rz.f32.f64 d, a", "f32 f64", 1e300, F32_MAX),
    p("cvt.f64.f32 d, a", "f64 f32", TINY, TINY),
    p("cvt.ftz.f64.f32 d, a", "f64 f32", TINY, 0),
    p("cvt.rni.f32.f32 d, a", "f32 f32", 3.5, 4),
    p("cvt.rzi.f64.f64 d, a", "f64 f64", -3.5, -3),
    p("cvt.sat.f32.f32 d, a", "f32 f32", 7, 1),
    p("cvt.rn.f32.s32 d, a", "f32 s32", 2**24 + 1, 2**24),
    p("cvt.rp.f32.s32 d, a", "f32 s32", 2**24 + 1, 2**24 + 2),
    p("cvt.rn.f32.u64 d, a", "f32 u64", ALL64, 2.0**64),
    p("cvt.rz.f32.u64 d, a", "f32 u64", ALL64, 2.0**64 - 2.0**40),
    p("cvt.rm.f64.u64 d, a", "f64 u64", ALL64, 2.0**64 - 2.0**11),
    p("cvt.rn.f64.s64 d, a", "f64 s64", -(2**63), -(2.0**63)),
    p("cvt.s64.s32 d, a", "s64 s32", -5, -5),
    p("cvt.u64.u32 d, a", "u64 u32", -5, 2**32 - 5),
    p("cvt.u32.u64 d, a", "u32 u64", 2**40 + 3, 3),
    p("cvt.s32.s8 d, a", "s32 s32", 0xFF, -1),
    p("cvt.sat.u8.s32 d, a", "u32 s32", 300, 255),
    p("cvt.sat.s32.s64 d, a", "s32 s64", -(2**40), -(2**31)),
    # ---- moves
    p(
        "{ .reg .b32 lo, hi; mov.b64 {lo, hi}, a; mov.b64 d, {hi, lo}; }",
        "b64 b64",
        0x0123456789ABCDEF,
        0x89ABCDEF01234567,
    ),
    p("mov.f32 d, 0f3FC00000", "f32 f32", 0, 1.5),
    p("mov.f64 d, 0dBFF8000000000000", "f64 f64", 0, -1.5),
    p("mov.b32 d, -1", "b32 b32", 0, ALL32),
]


def _in_ptx(pieces: list[Piece]) -> tuple[str, list[int]]:
    """Return a kernel that runs pieces one after another on one thread, and the words that they are given."""
    words: list[int] = []
    body = []
    for k, piece in enumerate(pieces):
        kinds = piece.types.split()
        declared = " ".join(f".reg .{kind} {name};" for kind, name in zip(kinds, "dabc", strict=False))
        body.append(f"{{ {declared} .reg .b32 flag;")
        for name, kind, value in zip("abc", kinds[1:], piece.given, strict=False):
            place = f"[%rd1+{8 * len(words)}]"
            words.append(_bits(value, kind))
            if kind == "pred":
                body.append(f"ld.global.u32 flag, {place}; setp.ne.u32 {name}, flag, 0;")
            else:
                body.append(f"ld.global.b{kind[1:]} {name}, {place};")
        body.append(f"{piece.code};")
        if kinds[0] == "pred":
            body.append(f"selp.b32 flag, 1, 0, d; st.global.u32 [%rd2+{8 * k}], flag; }}")
        else:
            body.append(f"st.global.b{kinds[0][1:]} [%rd2+{8 * k}], d; }}")
    return kernel("\n".join(body)), words


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    ptx, words = _in_ptx(PIECES)
    task = {"ptx": ptx, "threads": 1, "words": words, "n_out": len(PIECES)}
    (result,) = run_all([task], tmp_path_factory.mktemp("pieces"))
    assert result["code"] == 0, result["message"]
    found: list[int] = result["words"]
    return found


@pytest.mark.parametrize("k", range(len(PIECES)), ids=[f"{piece.code} of {piece.given}" for piece in PIECES])
def test_an_instruction_gives_the_manual_s_number(numbers: list[int], k: int) -> None:
    kind = PIECES[k].types.split()[0]
    width = 32 if kind == "pred" else int(kind[1:])
    found, wanted = numbers[k] & ((1 << width) - 1), _bits(PIECES[k].wanted, kind)
    if kind[0] == "f" and math.isnan(PIECES[k].wanted):  # which NaN it is differs between processors
        assert math.isnan(struct.unpack("<f" if kind == "f32" else "<d", found.to_bytes(width // 8, "little"))[0])
    else:
        assert hex(found) == hex(wanted)
