"""PTX of several threads, memory and functions; what the translator refuses; faults that numba-cuda cannot make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from emulator.build import why_impossible
from emulator.ptx import translate
from emulator.ptx.types import PtxError
from ptx_pieces import HEADER, kernel, run_all

REASON = why_impossible()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

LANES = range(32)
OWN_PLACE = "mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 8; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;"
STORE = "cvt.u64.u32 %rd6, %r2; st.global.u64 [%rd4], %rd6;"


@dataclass(frozen=True)
class Many:
    """A kernel of several threads, each of which stores a word."""

    body: str
    wanted: list[int]
    before: str = ""
    registers: str = ""
    given: tuple[int, ...] = tuple(range(100, 132))


def _shuffle(form: str, lane: int, limits: int = 31) -> str:
    return f"{OWN_PLACE} shfl.sync.{form}.b32 %r2|%p1, %r1, {lane}, {limits}, -1; @!%p1 add.u32 %r2, %r2, 1000; {STORE}"


MANY = {
    "shuffle down": Many(_shuffle("down", 3), [i + 3 if i < 29 else i + 1000 for i in LANES]),
    "shuffle up": Many(_shuffle("up", 3, 0), [i - 3 if i >= 3 else i + 1000 for i in LANES]),
    "shuffle by bits": Many(_shuffle("bfly", 5), [i ^ 5 for i in LANES]),
    "shuffle from one": Many(_shuffle("idx", 7), [7] * 32),
    "shuffle in segments of 8": Many(_shuffle("idx", 2, 31 | 24 << 8), [i // 8 * 8 + 2 for i in LANES]),
    "vote": Many(
        f"{OWN_PLACE} setp.lt.u32 %p1, %r1, 5; vote.sync.ballot.b32 %r2, %p1, -1; vote.sync.any.pred %p2, %p1, -1;"
        f"vote.sync.all.pred %p3, %p1, -1; @%p2 add.u32 %r2, %r2, 1000; @%p3 add.u32 %r2, %r2, 5000; {STORE}",
        [1031] * 32,
    ),
    "vote of half a warp": Many(
        f"{OWN_PLACE} mov.u32 %r2, 7; setp.lt.u32 %p1, %r1, 16; @!%p1 bra $L_end;"
        f"vote.sync.ballot.b32 %r2, %p1, 0xffff; $L_end: {STORE}",
        [0xFFFF] * 16 + [7] * 16,
    ),
    "barrier with a count": Many(
        f"{OWN_PLACE} setp.lt.u32 %p1, %r1, 5; bar.red.popc.u32 %r2, 0, %p1; {STORE}", [5] * 32
    ),
    "barrier with a question": Many(
        f"{OWN_PLACE} setp.lt.u32 %p1, %r1, 5; bar.red.or.pred %p2, 0, %p1; bar.red.and.pred %p3, 0, %p1;"
        f"selp.u32 %r2, 1, 0, %p2; @%p3 add.u32 %r2, %r2, 2; {STORE}",
        [1] * 32,
    ),
    "lane masks": Many(f"{OWN_PLACE} mov.u32 %r2, %lanemask_lt; {STORE}", [(1 << i) - 1 for i in LANES]),
    "atomic addition": Many(
        f"{OWN_PLACE} atom.global.add.u64 %rd6, [%rd1], 2; sub.s64 %rd6, %rd6, 100; st.global.u64 [%rd4], %rd6;",
        [2 * i for i in LANES],
    ),
    "atomic maximum and reduction": Many(
        f"{OWN_PLACE} setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [s], 0; bar.sync 0;"
        f"red.shared.max.s32 [s], %r1; bar.sync 0;"
        f"ld.shared.u32 %r2, [s]; {STORE}",
        [31] * 32,
        before=".shared .align 4 .b8 s[4];",
    ),
    "compare and swap": Many(
        f"{OWN_PLACE} add.u32 %r3, %r1, 100; atom.global.cas.b32 %r2, [%rd1], %r3, 55; {STORE}",
        [100] + [55] * 31,
    ),
    "increment that wraps": Many(
        f"{OWN_PLACE} atom.global.inc.u32 %r2, [%rd1], 2; {STORE}", [0, 1, 2] * 10 + [0, 1], given=(0,)
    ),
    "vector loads and stores": Many(
        f"{OWN_PLACE} mul.wide.u32 %rd3, %r1, 16; add.s64 %rd7, %rd1, %rd3;"
        f"ld.global.v4.u32 {{%r2, %r3, %r4, _}}, [%rd7];"
        f"add.u32 %r2, %r2, %r4; {STORE}",
        [4 * i + 1 for i in LANES],
        given=tuple(range(64)),
    ),
    "bytes with and without sign": Many(
        f"{OWN_PLACE} ld.global.s8 %r2, [%rd5]; ld.global.u8 %r3, [%rd5]; add.u32 %r2, %r2, %r3; {STORE}",
        [2**32 - 56 + 200 & 2**32 - 1] * 32,
        given=(200,) * 32,
    ),
    "local memory by a general address": Many(
        f"mov.u64 %rd8, depot; cvta.local.u64 %rd8, %rd8; {OWN_PLACE}"
        f"st.u32 [%rd8+4], %r1; ld.local.u32 %r2, [depot+4]; {STORE}",
        list(LANES),
        registers=".local .align 8 .b8 depot[8];",
    ),
    "constants": Many(
        f"{OWN_PLACE} mov.u64 %rd7, table; and.b32 %r3, %r1, 1; mul.wide.u32 %rd8, %r3, 4; add.s64 %rd7, %rd7, %rd8;"
        f"ld.const.u32 %r2, [%rd7]; {STORE}",
        [11, 22] * 16,
        before=".const .align 4 .u32 table[2] = {11, 22};",
    ),
    "a function": Many(
        f"{OWN_PLACE} {{ .param .b32 argument; st.param.b32 [argument+0], %r1; .param .b32 result;"
        f"call.uni (result), twice, (argument); ld.param.b32 %r2, [result+0]; }} {STORE}",
        [2 * i for i in LANES],
        before=".func (.param .b32 found) twice(.param .b32 x) { .reg .b32 %r<3>; ld.param.u32 %r1, [x];"
        "add.u32 %r2, %r1, %r1; st.param.b32 [found+0], %r2; ret; }",
    ),
    "a branch by a table": Many(
        f"{OWN_PLACE} and.b32 %r3, %r1, 1; mov.u32 %r2, 5; targets: .branchtargets $A, $B; brx.idx %r3, targets;"
        f"$B: mov.u32 %r2, 6; $A: {STORE}",
        [5, 6] * 16,
    ),
    "a loop": Many(
        f"{OWN_PLACE} mov.u32 %r2, 0; mov.u32 %r3, 0; $L: add.u32 %r2, %r2, %r3; add.u32 %r3, %r3, 1;"
        f"setp.le.u32 %p1, %r3, %r1; @%p1 bra $L; {STORE}",
        [i * (i + 1) // 2 for i in LANES],
    ),
}

LOCAL = ".local .align 8 .b8 depot[8];"
FAULTS = {
    "an integer is divided by zero": ("mov.u32 %r1, 0; div.u32 %r2, 7, %r1;", "", ""),
    "read of local memory that was never written": ("ld.local.u32 %r1, [depot]; add.u32 %r1, %r1, 1;", "", LOCAL),
    "out of bounds: write of 4 bytes outside the thread's local arrays": ("st.local.u32 [depot+8], 1;", "", LOCAL),
    "out of bounds: read of 8 bytes": ("mov.u64 %rd3, 64; ld.u64 %rd3, [%rd3]; add.s64 %rd3, %rd3, 1;", "", ""),
    "misaligned write of 8 bytes, 4 beyond": ("st.global.v2.u32 [%rd2+4], {%r1, %r2};", "", ""),
    "write to constant memory": ("mov.u64 %rd3, c; st.u32 [%rd3], 1;", ".const .align 4 .u32 c[1] = {1};", ""),
    "a branch goes beyond its list": ("$A: t: .branchtargets $A; mov.u32 %r1, 3; brx.idx %r1, t;", "", ""),
    "the kernel stops itself": ("trap;", "", ""),
    "a lane that its own mask leaves out": ("bar.warp.sync 2;", "", ""),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tasks = {
        name: {"ptx": kernel(m.body, m.before, m.registers), "threads": 32, "words": list(m.given), "n_out": 32}
        for name, m in MANY.items()
    }
    for name, (body, before, registers) in FAULTS.items():
        tasks[name] = {"ptx": kernel(body, before, registers), "threads": 1, "words": [0], "n_out": 1}
    found = run_all(list(tasks.values()), tmp_path_factory.mktemp("kernels"))
    return dict(zip(tasks, found, strict=True))


@pytest.mark.parametrize("name", MANY)
def test_threads_compute_what_the_manual_says(results: dict[str, Any], name: str) -> None:
    assert results[name]["code"] == 0, results[name]["message"]
    assert results[name]["words"] == MANY[name].wanted


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(results: dict[str, Any], fault: str) -> None:
    assert results[fault]["code"] != 0
    assert results[fault]["message"].startswith(f"kernel piece: {fault}")


UNKNOWN = {
    "frobnicate.u32 %r1, %r2": "unknown instruction frobnicate",
    "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f1}, {%r1}, {%r2}, {%f2}": "unknown instruction mma",
    "cp.async.ca.shared.global [%r1], [%rd1], 4": "unknown instruction cp",
    "add.rq.f32 %f1, %f2, %f3": "unknown part .rq",
    "add.f16 %r1, %r2, %r3": "unknown type .f16",
    "add.ftz.f64 %rd1, %rd2, %rd3": "unknown part .ftz",
    "add.sat.u32 %r1, %r2, %r3": "unknown part .sat",
    "mul.s32 %r1, %r2, %r3": "neither .lo, .hi nor .wide",
    "cvt.s32.f32 %r1, %f1": "needs .rni, .rzi, .rmi or .rpi",
    "cvt.f32.f64 %f1, %rd1": "a narrower float needs a rounding mode",
    "cvt.rn.bf16.f32 %r1, %f1": "unknown type .bf16",
    "ex2.approx.f64 %rd1, %rd2": "unknown form of ex2",
    "max.f32 %f1, %f2, %f3, %f4": "max of 3 numbers",
    "setp.close.f32 %p1, %f1, %f2": "unknown comparison .",
    "setp.lt.and.f32 %p1|%p2, %f1, %f2, %p3": "unknown part .and beside two predicates",
    "mov.u32 %r1, %clock": "unknown operand %clock",
    "mov.u32 %r1, nothing": "unknown operand nothing",
    "bar.sync 0, 64": "unknown form of bar",
    "bar.arrive 0, 64": "unknown form of bar",
    "shfl.down.b32 %r1, %r2, 1, 31": "unknown form of shfl",
    "vote.ballot.b32 %r1, %p1": "unknown form of vote",
    "atom.global.add.f16 %r1, [%rd1], %r2": "unknown type .f16",
    "atom.global.mul.u32 %r1, [%rd1], %r2": "unknown atomic operation",
    "ld.global.v8.f32 {%f1}, [%rd1]": "unknown part .v8",
    "ld.global.v2.f32 {%f1}, [%rd1]": "1 registers for 2 numbers",
    "ld.param.u64 %rd1, [given+4]": "reaches beyond the parameter's 8 bytes",
    "ld.surface.f32 %f1, [%rd1]": "unknown part .surface",
    "add.u32 %r1": "unknown form",
    "call.uni (retval0), vprintf, (param0)": "unknown form",
    "call.uni vprintf": "unknown function vprintf",
    "testp.odd.f32 %p1, %f1": "unknown question of testp",
}


@pytest.mark.parametrize(("statement", "why"), UNKNOWN.items())
def test_what_is_unknown_is_refused_by_name(statement: str, why: str) -> None:
    with pytest.raises(PtxError) as error:
        translate(kernel(f"{statement};"))
    assert str(error.value).startswith(f"the emulator does not translate `{statement}`: ")
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("ptx", "why"),
    [
        (HEADER, "0 kernels in one text"),
        (kernel("").replace("64\n", "32\n", 1), "only PTX of .address_size 64"),
        (kernel(".callprototype x;"), "unknown directive .callprototype"),
        (kernel("").replace(".visible", ".texref t; .visible"), "unknown declaration: .texref t"),
        (kernel("", ".global .align 8 .u64 a[1] = {piece};"), "unknown value piece of a"),
        (kernel("{"), "a brace is never closed"),
        (kernel("", registers=".reg .b128 %q<2>;"), "unknown type .b128"),
    ],
)
def test_a_text_that_is_not_understood_is_refused(ptx: str, why: str) -> None:
    with pytest.raises(PtxError, match=why):
        translate(ptx)
