"""Files from anywhere: each kind of damage is one clear error, and none is unpickled or unpacked without end."""

import io
import pickle
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.base import archive
from freewalk.harness.base.archive import read_npy, read_npz
from freewalk.harness.base.errors import UsageError

WANTED = {"x": 1 << 20, "y": 1 << 20}


def read(path: Path) -> dict[str, Any]:
    return read_npz(path, WANTED, optional=["y"], what="file of x and y", remedy="make another")


def refusal(path: Path, reader: Any = read) -> str:
    with pytest.raises(UsageError) as caught:
        reader(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.npz"


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "x",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 2)),
        np.array(3),
        np.array("text"),
        np.arange(3, dtype=">i4"),
    ],
    ids=["rows", "columns", "empty", "scalar", "text", "big-endian"],
)
def test_there_and_back(path: Path, x: Any, compressed: bool) -> None:
    (np.savez_compressed if compressed else np.savez)(path, x=x, z=np.ones(3))
    found = read(path)
    assert list(found) == ["x"]
    assert found["x"].dtype == x.dtype
    assert np.array_equal(found["x"], x)
    found["x"].reshape(-1)[:1] = x.reshape(-1)[:1]  # it may be written to


def test_npy_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.eye(3))
    assert np.array_equal(read_npy(path), np.eye(3))
    path.write_bytes(npy(np.eye(3), version=(2, 0)))
    assert np.array_equal(read_npy(path), np.eye(3))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "damaged"),
        (b"x = 1\n", "damaged"),
        (npy(np.eye(2)), "damaged"),
        (pickle.dumps([1]), "damaged"),
    ],
    ids=["empty", "text", "npy", "pickle"],
)
def test_other_files(path: Path, content: bytes, problem: str) -> None:
    path.write_bytes(content)
    message = refusal(path)
    assert problem in message
    assert "is no file of x and y" in message
    assert "make another" in message


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (b"", "damaged"),
        (b"\x93NUMPX\x01\x00", "damaged"),
        (header("{}"), "damaged"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (9,)}"), "needs 72 bytes"),
        (header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**15},)}}"), "needs 8,000,000,000,000,000"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"), "shape (-1,)"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': ()}") + pickle.dumps(1), "pickled Python objects"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", b"\x09\x00"), "version (9, 0)"),
        (header("(" * 9000), "damaged"),
    ],
    ids=["empty", "magic", "no keys", "short", "huge", "negative", "pickle", "version", "nested"],
)
def test_strange_arrays(path: Path, tmp_path: Path, entry: bytes, problem: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", entry)
    assert problem in refusal(path)
    (tmp_path / "x.npy").write_bytes(entry)
    assert problem in refusal(tmp_path / "x.npy", read_npy)


def test_a_file_that_unpacks_to_too_much(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        text = "{'descr': '|u1', 'fortran_order': False, 'shape': (30000000,)}"
        file.writestr("x.npy", header(text) + bytes(30_000_000))
    assert path.stat().st_size < 1e6
    start = time.perf_counter()
    assert "its x is too long: 30,000,0" in refusal(path)
    assert time.perf_counter() - start < 0.5, "nothing was unpacked"


def test_a_size_that_lies(path: Path) -> None:
    """The table of contents says little, the entry holds much: no more than was said is read."""
    np.savez_compressed(path, x=np.zeros(100_000))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24
    assert struct.unpack("<I", content[at : at + 4])[0] == 800_128
    content[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_a_flipped_bit_is_noticed(path: Path) -> None:
    np.savez(path, x=np.arange(100.0))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    assert "CRC" in refusal(path)


def test_missing_things(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no file" in refusal(path)
    assert "there is no file" in refusal(tmp_path / "x.npy", read_npy)
    np.savez(path, y=np.zeros(2), z=np.zeros(2))
    assert "it holds y, z, but no x" in refusal(path)
    (tmp_path / "folder").mkdir()
    assert "directory" in refusal(tmp_path / "folder")
    assert "directory" in refusal(tmp_path / "folder", read_npy)
    monkeypatch.setattr(archive, "MOST_BYTES", 500)
    np.savez(path, x=np.zeros(100))
    assert read(path)["x"].size == 100, "what is not compressed is no danger"
    np.savez_compressed(path, x=np.zeros(100))
    assert "its x is too long: 928 bytes unpacked, the limit is 500" in refusal(path)
