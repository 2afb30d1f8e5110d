"""A digest of Python objects by what they do: the same in every process, another where code or numbers differ.

Functions count by their instructions, constants, defaults, and whatever they refer to: what they close over and the
global names that they load, with all that these refer to in turn. Comments, layout, docstrings and the names of files
do not count. What lies in an installed package counts by its name alone. Instructions differ between versions of
Python, and so do the digests.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from pydantic import BaseModel

_PACKAGE = __name__.partition(".")[0]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented))
_STANDARD = Path(sysconfig.get_paths()["stdlib"])
_OF_CLASSES = (FunctionType, staticmethod, classmethod, property, functools.cached_property)


class NoFingerprint(ValueError):  # noqa: N818 - it says what is missing
    """Something that nothing can tell from another of its kind."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of what an object does, in hex digits.

    Raises
    ------
    NoFingerprint
        If something that it refers to, an open file say, cannot be told from another of its kind.
    """
    return _Digest().of(value).hex()


class _Digest:
    """Digests of the parts of one object; one inside itself counts by how far out it is."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._done: dict[int, bytes] = {}
        self._kept: list[Any] = []
        """What was met: an address is not given to another object in the meantime."""

    def of(self, value: Any) -> bytes:
        """Return the digest of a value."""
        if isinstance(value, _PLAIN):
            return _hashed(type(value).__name__, repr(value))
        place = id(value)
        if place in self._open:
            return _hashed("inside", str(self._open[place]))
        if place not in self._done:
            self._kept.append(value)
            self._open[place] = len(self._open)
            self._done[place] = _hashed(type(value).__qualname__, *self._parts(value))
            del self._open[place]
        return self._done[place]

    def _parts(self, value: Any) -> Iterator[bytes | str]:
        """Yield what tells a value from others of its type."""
        value = getattr(value, "py_func", value)  # of a function that Numba compiles
        if isinstance(value, np.ndarray | np.generic):
            yield from self._array(np.asarray(value))
        elif isinstance(value, Mapping):
            yield from (self.of(part) for item in value.items() for part in item)
        elif isinstance(value, list | tuple):
            yield from map(self.of, value)
        elif isinstance(value, set | frozenset):
            yield from sorted(map(self.of, value))
        elif isinstance(value, PurePath | range | slice):
            yield repr(value)
        elif isinstance(value, CodeType):
            yield from self._code(value)
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, MethodType):
            yield from map(self.of, (value.__func__, value.__self__))
        elif isinstance(value, BuiltinFunctionType | np.ufunc):
            yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"
        elif isinstance(value, ModuleType):
            yield from _module(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif dataclasses.is_dataclass(value):
            yield self.of(type(value))
            yield from (self.of(getattr(value, one.name, None)) for one in dataclasses.fields(value))
        else:
            yield from self._object(value)

    def _array(self, array: np.ndarray[Any, Any]) -> Iterator[bytes | str]:
        yield f"{array.dtype.str}{array.dtype.descr if array.dtype.names else ''}{array.shape}"
        yield self.of(array.tolist()) if array.dtype.hasobject else np.ascontiguousarray(array).tobytes()

    def _function(self, function: FunctionType) -> Iterator[bytes | str]:
        if _is_installed(function.__module__):
            yield f"{function.__module__}.{function.__qualname__}"
        else:
            yield self.of(function.__code__)
            for name in sorted(_loaded(function.__code__)):
                if name in function.__globals__:
                    yield name
                    yield self.of(function.__globals__[name])
        if "<locals>" in function.__qualname__ or not _is_installed(function.__module__):
            yield self.of(function.__defaults__)
            yield self.of(function.__kwdefaults__)
            for cell in function.__closure__ or ():
                yield self.of(cell.cell_contents) if _is_filled(cell) else "empty"

    def _code(self, code: CodeType) -> Iterator[bytes | str]:
        yield f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount} {code.co_flags}"
        yield " ".join(code.co_freevars)
        yield code.co_exceptiontable
        for one in dis.get_instructions(code):
            yield one.opname
            # what is printed of an argument is a name, a place to jump to or a number; a constant counts as a value
            is_constant = one.opcode in dis.hasconst
            yield self.of(one.argval) if is_constant else repr(one.argval)

    def _class(self, kind: type) -> Iterator[bytes | str]:
        yield f"{kind.__module__ if _is_installed(kind.__module__) else ''}.{kind.__qualname__}"
        if _is_installed(kind.__module__):
            return
        yield from map(self.of, kind.__bases__)
        if issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                yield f"{name} {field.annotation!r} {field.metadata!r}"
                yield self.of(None if field.is_required() else field.get_default())
                yield self.of(field.default_factory)
        for name, value in sorted(vars(kind).items()):
            is_plain = not (name.startswith(("__", "_abc_")) or issubclass(kind, BaseModel))
            if isinstance(value, _OF_CLASSES) or (is_plain and not hasattr(value, "__objclass__")):
                yield name
                yield from map(self.of, _functions(value))

    def _object(self, value: Any) -> Iterator[bytes | str]:
        """Yield what copying would take: the class, and the state but for what is computed from it."""
        if isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):
            yield self.of(wrapped)
            return
        try:
            parts: str | tuple[Any, ...] = value.__reduce_ex__(2)
        except Exception:
            raise NoFingerprint(f"{value!r:.80} ({type(value).__module__}.{type(value).__qualname__})") from None
        if isinstance(parts, str):
            yield f"{type(value).__module__}.{parts}"
            return
        make, arguments, state, elements, items = (*parts, None, None, None)[:5]
        if isinstance(state, dict):
            computed = {
                name for name in state if isinstance(getattr(type(value), name, None), functools.cached_property)
            }
            state = {name: one for name, one in state.items() if name not in computed}
        yield from map(self.of, (make, arguments, state, list(elements or ()), list(items or ())))


def _hashed(kind: str, *parts: bytes | str) -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _loaded(code: CodeType) -> set[str]:
    """Return the global names that a function loads, and those that functions inside it load."""
    names = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_loaded(one) for one in code.co_consts if isinstance(one, CodeType)))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _functions(value: Any) -> list[Any]:
    """Return the functions of a member of a class, or the member."""
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, functools.cached_property):
        return [value.func]
    return [value.__func__ if isinstance(value, staticmethod | classmethod) else value]


def _module(module: ModuleType) -> Iterator[bytes | str]:
    """Yield an installed module's name; of one of the user's own the text of its file."""
    file = getattr(module, "__file__", None)
    if _is_installed(module.__name__) or file is None or not Path(file).is_file():
        yield module.__name__
    else:
        yield Path(file).read_bytes()


def _is_installed(module: str | None) -> bool:
    """Tell whether a module comes with Python, freewalk or another package, so that its name says what is in it."""
    if module is None or module == "__main__":
        return False
    if module.partition(".")[0] in (_PACKAGE, *sys.builtin_module_names):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    parents = Path(file).parents
    return any(one.name in ("site-packages", "dist-packages") for one in parents) or _STANDARD in parents
