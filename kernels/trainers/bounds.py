"""Does a loss of one's own stay inside its arrays? Numba looks at no index, so that memory of others would be read.

The loss, and what it calls, is compiled once more with checks of every index and run on a few datapoints. Where one
fails, plain Python tells which array and which index.
"""

from __future__ import annotations

import traceback
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import checked_function

_MOST_DATAPOINTS = 256


def check_indices(loss: Any, weights: NDArray[Any], xs: NDArray[Any], ys: NDArray[Any]) -> None:
    """Run a loss on the first datapoints, with checks.

    Parameters
    ----------
    loss
        ``loss(weights, x, y)``, compiled by Numba.
    weights
        (n,), as it is called with.
    xs, ys
        Datapoints along the first axis.

    Raises
    ------
    IndexError
        If it reads or writes beyond an array: with the array's name and the index, if they can be told.
    ValueError
        If it writes to an array that it was given.
    """
    checked = _checked(loss)
    for b in range(min(len(xs), _MOST_DATAPOINTS)):
        given = weights.copy(), xs[b].copy(), ys[b].copy()
        try:
            with np.errstate(all="ignore"):
                checked(*given)
        except IndexError:
            raise IndexError(_where(loss, weights, xs[b], ys[b])) from None
        except NumbaError:
            return  # what does not compile is said where it is compiled without checks
        for name, now, before in zip(("weights", "x", "y"), given, (weights, xs[b], ys[b]), strict=True):
            if not np.array_equal(now, before, equal_nan=now.dtype.kind in "fc"):
                raise ValueError(f"the loss writes to {name}, which others read too; let it work on {name}.copy()")


@cache
def _checked(loss: Any) -> Any:
    return _rebuilt(loss, checked_function, {})


def _rebuilt(function: Any, wrap: Callable[[Any], Any], done: dict[int, Any]) -> Any:
    """Return a compiled function's plain one, wrapped, in which the compiled functions that it calls are so too."""
    if id(function) in done:
        return done[id(function)]
    plain = function.py_func
    names = _names(plain.__code__)
    known = dict(plain.__globals__)
    cells = plain.__closure__ and tuple(types.CellType(cell.cell_contents) for cell in plain.__closure__)
    copy = types.FunctionType(plain.__code__, known, plain.__name__, plain.__defaults__, cells)
    copy.__kwdefaults__ = plain.__kwdefaults__
    done[id(function)] = wrapped = wrap(copy)
    known.update({name: _rebuilt(known[name], wrap, done) for name in names if _is_compiled(known.get(name))})
    for cell in cells or ():
        if _is_compiled(cell.cell_contents):
            cell.cell_contents = _rebuilt(cell.cell_contents, wrap, done)
    return wrapped


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _is_compiled(value: Any) -> bool:
    return isinstance(value, Dispatcher)


class _Named(np.ndarray):
    """An array that says its name when an index lies beyond it."""

    name = ""

    def __getitem__(self, index: Any) -> Any:
        with _Saying(self, index):
            part = super().__getitem__(index)
        if isinstance(part, _Named):
            part.name = f"{self.name}[{_text(index)}]"
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        with _Saying(self, index):
            super().__setitem__(index, value)

    def __array_finalize__(self, other: Any) -> None:
        self.name = ""  # what is computed from it is another array


class _Beyond(Exception):  # noqa: N818 - carries a text out of the loss, past its own handlers of IndexError
    pass


class _Saying:
    def __init__(self, array: _Named, index: Any) -> None:
        self._array, self._index = array, index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, IndexError) and self._array.name:
            raise _Beyond(f"{self._array.name}[{_text(self._index)}], and {self._array.name} has {_size(self._array)}")


def _text(index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    return ", ".join(":" if isinstance(part, slice) else str(part) for part in parts)


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[0]:,}" if array.ndim == 1 else f"shape {array.shape}"


def _where(loss: Any, weights: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> str:
    """Say which array is read beyond, and where, from a run in plain Python."""
    named = []
    for name, array in (("weights", weights), ("x", x), ("y", y)):
        one: Any = array.copy()
        if isinstance(array, np.ndarray) and array.ndim:
            one = one.view(_Named)
            one.name = name
        named.append(one)
    plain = _rebuilt(loss, lambda function: function, {})
    remedy = "; count the weights, and the columns of x and y, that it uses"
    try:
        with np.errstate(all="ignore"):
            plain(*named)
    except _Beyond as error:
        return f"the loss uses {error}{_line(plain, error)}{remedy}"
    except IndexError as error:
        return f"the loss uses an index beyond an array: {error}{_line(plain, error)}{remedy}"
    except Exception:
        pass  # what runs compiled need not run in Python
    return f"the loss uses an index beyond an array{remedy}"


def _line(function: Any, error: Exception) -> str:
    here = Path(__file__).name
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name != here]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
