"""Puts the emulator in the place of the assembler: numba-cuda compiles to PTX as ever, and the rest happens here."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_IMAGE_MARK = b"EMULATED:"  # driver/driver_api.cpp reads a path after it


class KernelFaultError(RuntimeError):
    """A kernel did what it must not do; the message names it and the statement."""


def install() -> None:
    """Change numba-cuda when it is imported, and not import it for programs that do without."""
    sys.meta_path.insert(
        0, _Watcher({"numba.cuda.codegen": _change_codegen, "numba.cuda.dispatcher": _change_dispatcher})
    )


class _Watcher(MetaPathFinder):
    """Lets the other finders find some modules, and changes them when they have been loaded."""

    def __init__(self, changes: dict[str, Any]) -> None:
        self._changes = changes

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        change = self._changes.pop(name, None)
        if change is None:
            return None
        spec = None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                break
        loader: Any = spec.loader if spec else None
        if loader is not None:
            load = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                change(module)

            loader.exec_module = exec_module
        return spec


def _change_codegen(codegen: Any) -> None:
    from cuda.core import ObjectCode  # type: ignore[import-untyped]

    from emulator.build import build_kernel

    def get_cubin(self: Any, cc: Any = None) -> Any:
        """Return the translation of the library's PTX in the place of its machine code."""
        cc = self._ensure_cc(cc)
        if cc not in self._cubin_cache:
            path = build_kernel("\n".join(self.get_asm_strs(cc)))
            image = _IMAGE_MARK + str(path).encode() + b"\0" * 8
            self._cubin_cache[cc] = ObjectCode.from_cubin(image, name=self._entry_name)
        return self._cubin_cache[cc]

    codegen.CUDACodeLibrary.get_cubin = get_cubin


def _change_dispatcher(dispatcher: Any) -> None:
    launch = dispatcher.launch

    def launch_and_explain(*arguments: Any) -> Any:
        """Launch; an exception says what the emulator has found."""
        try:
            return launch(*arguments)
        except Exception as error:
            raise KernelFaultError(_message() or str(error)) from None

    dispatcher.launch = launch_and_explain


def _message() -> str:
    library = ctypes.CDLL("libcuda.so.1")
    library.emulator_message.restype = ctypes.c_char_p
    return str(library.emulator_message().decode())
