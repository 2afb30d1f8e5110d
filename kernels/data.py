"""How tasks hand their data to the kernels: compiled functions called by address, and the random words they draw.

A task compiles one C function with the signature FILL. It is called for a group of LANES datapoints and writes x and y,
with the datapoints innermost. Calling by address keeps the kernels free of any knowledge of tasks, and a new task
compiles nothing but itself.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from freewalk.kernels.cpu.lanes import LANES, intrinsic
from freewalk.kernels.jit import inline_function
from freewalk.kernels.noise import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

FILL = types.void(
    types.uint64,  # seed
    types.uint32,  # stream
    types.uint32,  # step
    types.uint32,  # first datapoint of the group
    types.int64,  # timesteps
    types.int64,  # the task's own argument
    types.CPointer(types.float32),  # OUT x (input_rows, n_input, LANES)
    types.CPointer(types.float32),  # OUT y (output_rows, n_output, LANES)
)
"""Signature of a data function."""

_FLOATS = ctypes.POINTER(ctypes.c_float)
_FILL_CTYPE = ctypes.CFUNCTYPE(None, ctypes.c_uint64, *[ctypes.c_uint32] * 3, *[ctypes.c_int64] * 2, _FLOATS, _FLOATS)

_ROUNDS = ROUNDS
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_M0, _M1 = np.uint64(MULTIPLIER_0), np.uint64(MULTIPLIER_1)
_W0, _W1 = np.uint64(WEYL_0), np.uint64(WEYL_1)
_UNIFORM_SHIFT = np.uint32(8)
_UNIFORM_SCALE = np.float32(2.0**-24)


@intrinsic
def call_fill(
    typing_context: Any,
    address: Any,
    seed: Any,
    stream: Any,
    step: Any,
    first: Any,
    timesteps: Any,
    argument: Any,
    x: Any,
    y: Any,
) -> Any:
    """Call the data function at `address` with numbers and two 1-D arrays."""
    llvm_types = [
        ir.IntType(64),
        *[ir.IntType(32)] * 3,
        *[ir.IntType(64)] * 2,
        *[ir.FloatType().as_pointer()] * 2,
    ]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function_type = ir.FunctionType(ir.VoidType(), llvm_types)
        function = builder.inttoptr(args[0], function_type.as_pointer())
        numbers = [
            context.cast(builder, value, given, wanted)
            for value, given, wanted in zip(args[1:7], sig.args[1:7], FILL.args[:6], strict=True)
        ]
        arrays = [
            context.make_array(given)(context, builder, value).data
            for value, given in zip(args[7:], sig.args[7:], strict=True)
        ]
        builder.call(function, [*numbers, *arrays])
        return context.get_dummy_value()

    signature = types.void(types.intp, seed, stream, step, first, timesteps, argument, x, y)
    return signature, codegen


@inline_function
def data_words(
    seed: int, stream: int, step: int, datapoint: int, block: int
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return four uint32 words of random bits, counter (block, datapoint, step, stream); see freewalk.kernels.noise."""
    key_0 = np.uint64(seed) & _LOW
    key_1 = np.uint64(seed) >> _SHIFT
    c0, c1 = np.uint64(block), np.uint64(datapoint)
    c2, c3 = np.uint64(step), np.uint64(stream)
    for _ in range(_ROUNDS):
        product_0 = c0 * _M0
        product_1 = c2 * _M1
        c0 = (product_1 >> _SHIFT) ^ c1 ^ key_0
        c1 = product_1 & _LOW
        c2 = (product_0 >> _SHIFT) ^ c3 ^ key_1
        c3 = product_0 & _LOW
        key_0 = (key_0 + _W0) & _LOW
        key_1 = (key_1 + _W1) & _LOW
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@inline_function
def uniform(word: np.uint32) -> np.floating[Any]:
    """Return the float32 in [0, 1) that the top 24 bits of a word give."""
    return np.float32(word >> _UNIFORM_SHIFT) * _UNIFORM_SCALE


def fill_arrays(
    address: int,
    argument: int,
    *,
    seed: int,
    stream: int,
    step: int,
    n_datapoints: int,
    timesteps: int,
    x_shape: tuple[int, int],
    y_shape: tuple[int, int],
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Return a data function's first datapoints as arrays x (n, *x_shape) and y (n, *y_shape), float32."""
    function = _FILL_CTYPE(address)
    n_groups = -(-n_datapoints // LANES)
    x = np.zeros((n_groups, *x_shape, LANES), dtype=np.float32)
    y = np.zeros((n_groups, *y_shape, LANES), dtype=np.float32)
    for group in range(n_groups):
        x_at, y_at = x[group].ctypes.data_as(_FLOATS), y[group].ctypes.data_as(_FLOATS)
        function(seed, stream, step, group * LANES, timesteps, argument, x_at, y_at)
    return tuple(np.moveaxis(a, -1, 1).reshape(-1, *a.shape[1:-1])[:n_datapoints] for a in (x, y))  # type: ignore[return-value]
