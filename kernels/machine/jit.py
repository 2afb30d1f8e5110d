"""The JIT options of the CPU kernels, defined once.

No fast-math flag is set anywhere: fused multiply-adds are written out and sums run in a written order, so that results
have the same bits on every machine with FMA, and NaN and infinity stay visible.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import typeof
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.errors import NumbaError
from numba.core.sigutils import normalize_signature

from freewalk.kernels.machine.cache import MachineCodeCache

F = TypeVar("F", bound=Callable[..., Any])

_PLACE = re.compile(r" at (?P<file>[^\n]+) \((?P<line>\d+)\)")
_NO_REASON = ("Failed in", "Resolution failure")
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False, "fastmath": False}


class _WithoutAddresses:
    """What generates machine code, for functions that have no address that an environment could be written to."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def set_env(self, env_name: str, env: Any) -> None:
        """Leave it: kernels use their own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)


class _OfAHelper(JITCodeLibrary):  # type: ignore[misc]
    """What a helper compiles to: LLVM's code, that kernels take into their own and optimise with it.

    Numba would optimise it alone, and again with each helper that calls it, once for every level of calls, and make
    machine code of it that nothing runs: more than half of the time that a kernel takes to compile.
    """

    @property
    def codegen(self) -> Any:
        return _WithoutAddresses(self._codegen)

    def get_pointer_to_function(self, name: str) -> int:
        """Return what raises TypeError where Python calls a helper."""
        address = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value
        assert address is not None
        return address

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class _HelperCompiler(Compiler):  # type: ignore[misc]
    def define_pipelines(self) -> Any:
        """Return Numba's pipelines, whose code goes into a library of a helper."""
        state = self.state
        if state.library is None:
            state.library = _OfAHelper(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


_OF_HELPERS: dict[str, Any] = {
    **_OPTIONS,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _HelperCompiler,
}


def inline_function(function: F) -> F:
    """Compile a helper that is inlined into the kernels that call it, not cached on its own, not called from Python."""
    compiled: F = numba.njit(forceinline=True, **_OF_HELPERS)(function)
    return compiled


def data_function(function: F) -> F:
    """Compile a helper of functions that make data: inlined, and called from Python too, where these are."""
    compiled: F = numba.njit(forceinline=True, **_OPTIONS)(function)
    return compiled


def helper_function(function: F) -> F:
    """Compile a helper that the kernels call, too large to inline; cached with its callers, not called from Python."""
    compiled: F = numba.njit(**_OF_HELPERS)(function)
    return compiled


def choice(functions: Sequence[Any]) -> Any:
    """Return a function (k, *arguments) that calls the k-th of these compiled functions, and the last for any other k.

    It is inlined, and so is one comparison for each function.
    """
    own = functions[0]
    others = choice(functions[1:]) if len(functions) > 1 else None

    @inline_function
    def choose(k: int, *arguments: Any) -> None:
        if others is None or k == 0:
            own(*arguments)
        else:
            others(k - 1, *arguments)

    return choose


def checked_function(function: F) -> F:
    """Compile a helper that raises IndexError where an index lies beyond an array; slower, and never cached."""
    compiled: F = numba.njit(**{**_OPTIONS, "boundscheck": True})(function)
    return compiled


def uncached_kernel(function: F) -> F:
    """Compile an entry point that no cache keeps: one with functions of a user's own, whose edits none would notice."""
    compiled: F = numba.njit(**_OPTIONS)(function)
    return compiled


def kernel(function: F) -> F:
    """Compile an entry point: releases the GIL, runs on one thread, `prange` loops too, cached on disk."""
    return _cached(uncached_kernel(function), function, Path(function.__code__.co_filename).parent)


def told_by_numba(error: NumbaError, path: Path | None) -> tuple[list[int], str]:
    """Return the lines of a file that Numba could not compile, if it names some, and the first reason that says why."""
    message = str(error)
    places = _PLACE.finditer(message) if path is not None else ()
    found = [int(place["line"]) for place in places if Path(place["file"]).resolve() == path]
    lines = (line.strip().removeprefix("- ") for line in message.splitlines())
    return found, next((line for line in lines if line and not line.startswith(_NO_REASON)), "no reason given")


def entry_of(compiled: Any, arguments: Sequence[Any]) -> Any:
    """Return what runs a compiled function on arguments of just these types.

    It spares the look at every argument's type, which takes longer than a small kernel runs.
    """
    signature = tuple(typeof(argument) for argument in arguments)
    compiled.compile(signature)
    return compiled.overloads[signature].entry_point


def parallel_kernel(function: F) -> F:
    """Compile an entry point whose `prange` loops use all threads; cached on disk."""
    compiled = numba.njit(parallel=True, **_OPTIONS)(function)
    return _cached(compiled, function, Path(function.__code__.co_filename).parent, "parallel")


def c_function(signature: Any, sources: Path | None) -> Callable[[F], F]:
    """Compile a function with a C address and the given Numba `signature`.

    `sources` is the folder whose files the function may inline, besides the kernels': the machine code is cached on
    disk until one of them changes. None caches nothing.
    """

    def decorate(function: F) -> F:
        options = {"nopython": True, "error_model": "numpy", "boundscheck": False}
        compiled = CFunc(function, normalize_signature(signature), locals={}, options=options)
        if sources is not None:
            _cached(compiled, function, sources)  # before it compiles, which numba.cfunc does at once
        compiled.compile()
        return cast(F, compiled)

    return decorate


def _cached(compiled: Any, function: F, sources: Path, options: str = "") -> F:
    """Keep what it compiles to on disk until a file in `sources` or of the kernels changes, from which it may inline.

    Numba's own cache looks only at the file of the cached function itself, and would go on using machine code that
    holds an older version of a helper from another file. `options` says how it compiles, where one function does twice.
    """
    compiled._cache = MachineCodeCache(function, source_fingerprint(sources) + options)
    return cast(F, compiled)


@cache
def source_fingerprint(folder: Path) -> str:
    """Return a hash of every Python file of the kernels and of those that lie in `folder` itself."""
    here = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted({*here.rglob("*.py"), *folder.glob("*.py")}):
        digest.update(str(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
