"""Reading .npz and .npy files from anywhere: nothing pickled, nothing that unpacks to more than there is room for."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError

MOST_BYTES = 1 << 31
"""What one compressed array of a file may take, unpacked; one that is not compressed takes no more than the file."""

# What reading a strange file may raise: nested headers recurse, a zip may be encrypted (RuntimeError) or use an unknown
# compression (NotImplementedError, which is one), and a header may promise more than there is memory.
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(
    path: Path, names: Mapping[str, int], *, optional: Sequence[str] = (), what: str, remedy: str
) -> dict[str, NDArray[Any]]:
    """Return arrays of a .npz by name.

    Parameters
    ----------
    path
        The file.
    names
        The arrays wanted, each with the most bytes that it may take unpacked.
    optional
        Which of them may be missing.
    what, remedy
        For messages: what the file should be, and what to do about it.

    Raises
    ------
    UsageError
        If the file is missing, damaged, too large, or lacks an array.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            for name, most in names.items():
                if name in members:
                    stored = members[name].compress_type == zipfile.ZIP_STORED
                    _check_size(name, members[name].file_size, most if stored else min(most, MOST_BYTES))
                elif name not in optional:
                    there = ", ".join(sorted(members)[:8]) or "nothing"
                    raise ValueError(f"it holds {there}, but no {name}")
            arrays = {}
            for name in names:
                if name in members:
                    with archive.open(members[name]) as member:
                        arrays[name] = _read_array(member, members[name].file_size)
            return arrays
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; check the path") from None
    except _DAMAGE as error:
        raise UsageError(f"{path} is no {what} or is damaged ({_problem(error)}); {remedy}") from None


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a .npy.

    Raises
    ------
    UsageError
        If the file is missing, damaged, too large, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            return _read_array(file, path.stat().st_size)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; check the path") from None
    except _DAMAGE as error:
        raise UsageError(f"{path} is no .npy file or is damaged ({_problem(error)}); save it with np.save") from None


def _problem(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"its {name} is too long: {size:,} bytes unpacked, the limit is {most:,}")


def _read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array after its header has been compared with the bytes that there are."""
    version = npy.read_magic(file)
    headers: Mapping[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"version {version} of the array format")
    shape, fortran_order, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects")
    n_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes > size:
        raise ValueError(f"an array of shape {shape} needs {n_bytes:,} bytes, there are {size:,}")
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise EOFError(f"an array of shape {shape} ends after {len(data):,} of {n_bytes:,} bytes")
    file.read(1)  # past the end, where a zip's checksum is compared
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran_order else "C")
