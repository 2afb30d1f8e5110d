"""How tasks hand their data to the kernels: compiled functions called by address, and the random words they draw.

A task is one plain function that writes one datapoint:

    datapoint(seed, stream, step, index, timesteps, argument, x, y)

with x (input_rows, n_input) and y (output_rows, n_output) as float32 arrays to fill; all of both must be written. From
it the CPU kernels get a C function with the signature FILL, which fills groups of LANES datapoints, with the datapoints
innermost. Calling by address keeps the kernels free of any knowledge of tasks, and a new task compiles nothing but
itself. The CUDA kernels compile the same function in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types

from freewalk.kernels.machine.jit import c_function, data_function
from freewalk.kernels.machine.lanes import LANES, intrinsic
from freewalk.kernels.model.noise import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

FILL = types.void(
    types.uint64,  # seed
    types.uint32,  # stream
    types.uint32,  # step
    types.uint32,  # first datapoint of the group
    types.int64,  # timesteps
    types.int64,  # the task's own argument
    types.int64,  # input_rows
    types.int64,  # n_input
    types.int64,  # output_rows
    types.int64,  # n_output
    types.CPointer(types.float32),  # OUT x (input_rows, n_input, LANES)
    types.CPointer(types.float32),  # OUT y (output_rows, n_output, LANES)
)
"""Signature of a compiled data function."""

_FLOATS = ctypes.POINTER(ctypes.c_float)
_FILL_CTYPE = ctypes.CFUNCTYPE(None, ctypes.c_uint64, *[ctypes.c_uint32] * 3, *[ctypes.c_int64] * 6, _FLOATS, _FLOATS)

_PACKAGE = __name__.partition(".")[0] + "."
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
    input_rows: Any,
    n_input: Any,
    output_rows: Any,
    n_output: Any,
    x: Any,
    y: Any,
) -> Any:
    """Call the data function at `address` with numbers and two 1-D arrays."""
    llvm_types = [
        ir.IntType(64),
        *[ir.IntType(32)] * 3,
        *[ir.IntType(64)] * 6,
        *[ir.FloatType().as_pointer()] * 2,
    ]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function_type = ir.FunctionType(ir.VoidType(), llvm_types)
        function = builder.inttoptr(args[0], function_type.as_pointer())
        numbers = [
            context.cast(builder, value, given, wanted)
            for value, given, wanted in zip(args[1:11], sig.args[1:11], FILL.args[:10], strict=True)
        ]
        arrays = [
            context.make_array(given)(context, builder, value).data
            for value, given in zip(args[11:], sig.args[11:], strict=True)
        ]
        builder.call(function, [*numbers, *arrays])
        return context.get_dummy_value()

    sizes = (input_rows, n_input, output_rows, n_output)
    signature = types.void(types.intp, seed, stream, step, first, timesteps, argument, *sizes, x, y)
    return signature, codegen


@data_function
def data_words(
    seed: int | np.unsignedinteger[Any], stream: int, step: int, datapoint: int, block: int
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return four uint32 words of random bits, counter (block, datapoint, step, stream); see kernels.model.noise."""
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


@data_function
def uniform(word: np.uint32) -> np.floating[Any]:
    """Return the float32 in [0, 1) that the top 24 bits of a word give."""
    return np.float32(word >> _UNIFORM_SHIFT) * _UNIFORM_SCALE


def _fill(
    seed: int,
    stream: int,
    step: int,
    first: int,
    timesteps: int,
    argument: int,
    input_rows: int,
    n_input: int,
    output_rows: int,
    n_output: int,
    x: Any,
    y: Any,
) -> None:
    """Fill one group; `_datapoint` is the task's function, put into this one's globals by `compiled_fill`."""
    xs = carray(x, (input_rows, n_input, LANES))
    ys = carray(y, (output_rows, n_output, LANES))
    for lane in range(LANES):
        _datapoint(seed, stream, step, first + lane, timesteps, argument, xs[:, :, lane], ys[:, :, lane])  # type: ignore[name-defined]  # noqa: F821


@cache
def compiled_fill(datapoint: Callable[..., None]) -> Any:
    """Compile a task's function, or load one of our own from the cache; return a C function with the signature FILL."""
    # a function of its own for each task, under the task's name: Numba's cache goes by the name
    name = f"{datapoint.__module__}.{datapoint.__qualname__}".replace(".", "_")
    fill = FunctionType(
        _fill.__code__.replace(co_name=name, co_qualname=name),
        {**globals(), "_datapoint": data_function(datapoint)},
        name,
    )
    # only of our own files is it known that nothing but their text decides what they compile to
    is_ours = datapoint.__module__.startswith(_PACKAGE) and datapoint.__closure__ is None
    return c_function(FILL, sources=Path(datapoint.__code__.co_filename).parent if is_ours else None)(fill)


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
    before: float = 0.0,
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Return a data function's first datapoints as arrays x (n, *x_shape) and y (n, *y_shape), float32.

    `before` is what stands in the arrays when the function gets them.
    """
    function = _FILL_CTYPE(address)
    n_groups = -(-n_datapoints // LANES)
    x = np.full((n_groups, *x_shape, LANES), before, dtype=np.float32)
    y = np.full((n_groups, *y_shape, LANES), before, dtype=np.float32)
    for group in range(n_groups):
        x_at, y_at = x[group].ctypes.data_as(_FLOATS), y[group].ctypes.data_as(_FLOATS)
        function(seed, stream, step, group * LANES, timesteps, argument, *x_shape, *y_shape, x_at, y_at)
    return tuple(np.moveaxis(a, -1, 1).reshape(-1, *a.shape[1:-1])[:n_datapoints] for a in (x, y))  # type: ignore[return-value]
