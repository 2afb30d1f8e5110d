"""Data files as they are found: other names, damage of every kind, and what is no file at all."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.tasks import DataError
from freewalk.tasks.characters import TASK as CHARACTERS
from freewalk.tasks.images import MNIST, find_idx

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: Any) -> bytes:
    array = np.asarray(values)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()


IMAGES, LABELS = np.random.default_rng(0).integers(0, 256, (60, 3, 2)), np.arange(60) % 10
PARTS = (idx(IMAGES), idx(LABELS), idx(IMAGES[:20]), idx(LABELS[:20]))


def write(folder: Path, rename: Callable[[str], str] = str, **others: bytes | None) -> None:
    """Write MNIST's four files under other names, some with other content or not at all (`train_images=...`)."""
    for name, content in zip(NAMES, PARTS, strict=True):
        found = others.get("_".join(name.split("-")[:2]), content)
        if found is not None:
            path = folder / rename(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found)


def problem_of(folder: Path) -> Any:
    return MNIST.problem({"source": str(folder)})


@pytest.mark.parametrize(
    "rename",
    [
        lambda n: n.replace("-idx", ".idx"),
        lambda n: f"{n}/{n}",
        lambda n: f"{n.replace('-idx', '.idx')}/{n.replace('-idx', '.idx')}",
        lambda n: f"{n}/{n.replace('-idx', '.idx')}",
        lambda n: "emnist-digits-" + n.replace("t10k", "test"),
        lambda n: "emnist-mnist-" + n.replace("t10k", "test"),
        lambda n: n.replace("t10k", "test"),
        str.upper,
        str.title,
        lambda n: n.replace("-", "_"),
        lambda n: n.rpartition("-")[0],
        lambda n: "-".join(n.split("-")[:2]),
    ],
)
@pytest.mark.parametrize("squeeze", [False, True])
def test_names_in_use_are_read(tmp_path: Path, rename: Callable[[str], str], squeeze: bool) -> None:
    write(tmp_path / "plain")
    if squeeze:
        packed = {"_".join(n.split("-")[:2]): gzip.compress(c, mtime=0) for n, c in zip(NAMES, PARTS, strict=True)}
        write(tmp_path / "other", lambda name: rename(name) + (".GZ" if rename("a") == "A" else ".gz"), **packed)
    else:
        write(tmp_path / "other", rename)
    plain, other = problem_of(tmp_path / "plain"), problem_of(tmp_path / "other")
    assert plain.content == other.content
    for a, b in zip(plain.load_stored().training, other.load_stored().training, strict=True):
        np.testing.assert_array_equal(a, b)


def test_own_names_come_first(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, lambda name: f"old-{name}")
    write(tmp_path, lambda name: f"{name}.gz", train_images=gzip.compress(b"other", mtime=0))
    assert [path.name for path in find_idx(tmp_path)] == list(NAMES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["data.npz", "readme.txt"], "has no train-images-idx3-ubyte or .*; it holds data.npz, readme.txt$"),
        (["MNIST/raw/train-images-idx3-ubyte"], "it holds MNIST/$"),
        ([], "it holds nothing$"),
        ([f"{k:02}.png" for k in range(12)], "it holds 00.png, .*07.png and 4 more$"),
        (
            ["emnist-digits-train-images-idx3-ubyte", "emnist-letters-train-images-idx3-ubyte"],
            "has several files that could be train-images-idx3-ubyte: emnist-digits-.*, emnist-letters-.*; leave one",
        ),
    ],
)
def test_a_folder_without_the_files_is_described(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PARTS[0])
    with pytest.raises(DataError, match=message):
        problem_of(tmp_path)


def poked(at: int, values: bytes) -> bytes:
    content = bytearray(gzip.compress(PARTS[0], mtime=0))
    content[at : at + len(values)] = values
    return bytes(content)


def an_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=IMAGES)
    return file.getvalue()


def a_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(NAMES[0], PARTS[0])
    return file.getvalue()


WHOLE = gzip.compress(PARTS[0], mtime=0)
GZIP = "train-images-idx3-ubyte is no whole gzip file"
NO_IDX = "train-images-idx3-ubyte is no IDX file of bytes"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (poked(12, b"\xff\xff"), GZIP),
        (poked(10, b"\x07"), GZIP),
        (poked(20, bytes(40)), GZIP),
        (poked(2, b"\x63"), GZIP),
        (poked(3, b"\xff"), GZIP),
        (poked(len(WHOLE) - 8, b"\x01\x02"), GZIP),
        (poked(len(WHOLE) - 4, b"\x01\x02"), GZIP),
        (WHOLE + b"garbage", GZIP),
        (WHOLE + WHOLE[:30], GZIP),
        *((WHOLE[:n], GZIP) for n in (2, 5, 10, 11, 40, len(WHOLE) - 8, len(WHOLE) - 1)),
        (gzip.compress(b"", mtime=0), NO_IDX),
        (b"<!DOCTYPE html><html>404</html>", NO_IDX + r" \(it looks like a web page\)"),
        (b"\n  <?xml version='1.0'?>", NO_IDX + r" \(it looks like a web page\)"),
        (gzip.compress(b"<html>", mtime=0), NO_IDX + r" \(it looks like a web page\)"),
        (gzip.compress(WHOLE, mtime=0), NO_IDX + r" \(it looks like a gzip file\)"),
        (a_zip(), NO_IDX + r" \(it looks like a zip file\)"),
        (an_npz(), NO_IDX + r" \(it looks like a zip file\)"),
        (bz2.compress(PARTS[0]), NO_IDX + r" \(it looks like a bzip2 file\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", NO_IDX),
        (b"", "train-images-idx3-ubyte is empty"),
        (PARTS[0][:-1], "should hold .* and holds 359; get it again"),
        (PARTS[0] + b"\n", "should hold .* and holds 361; get it again"),
        (bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255 + b"1", "has 255 axes"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"1", "should hold .* and holds 1; get it again"),
        (idx(IMAGES[:0]), "holds .* they must fit"),
        (idx(IMAGES[:, :0]), "holds images of no pixels"),
        (idx(LABELS), "holds .* they must fit"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, train_images=content)
    with pytest.raises(DataError, match=message) as found:
        problem_of(tmp_path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"train_labels": gzip.compress(PARTS[1], mtime=0)[:-9]}, "train-labels-idx1-ubyte is no whole gzip file"),
        ({"train_images": idx(IMAGES[:0]), "train_labels": idx(LABELS[:0])}, "train-images.* holds no images"),
        ({"train_images": idx(IMAGES[:1]), "train_labels": idx(LABELS[:1])}, "train-images.* holds 1 image, too few"),
        ({"train_images": idx(IMAGES[:2]), "train_labels": idx(LABELS[:2])}, "train-images.* holds 2 images, too few"),
        ({"t10k_images": idx(IMAGES[:20, :2])}, r"t10k-images.* holds images of \(2, 2\) pixels"),
        ({"train_labels": idx(LABELS + 1)}, "train-labels-idx1-ubyte: classes must be .* from 0 to 9, got 1 to 10"),
        ({"train_labels": idx(np.arange(60) % 26 + 1)}, "got 1 to 26; for others make a task of your own: from_arrays"),
        ({"train_images": None}, "has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path: Path, others: dict[str, bytes | None], message: str) -> None:
    write(tmp_path, **others)
    with pytest.raises(DataError, match=message):
        problem_of(tmp_path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_unreadable(path: Path) -> None:
    path.write_text("abc" * 100)
    path.chmod(0)


def make_nothing(path: Path) -> None:
    pass


def make_empty(path: Path) -> None:
    path.touch()


KINDS = [make_folder, make_pipe, make_device, make_loop, make_unreadable, make_nothing, make_empty]


@pytest.mark.parametrize("make", KINDS)
def test_a_text_that_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "text.txt"
    make(path)
    if make is make_unreadable and os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(DataError, match=r"text\.txt|/dev/zero") as found:
        CHARACTERS.problem({"source": str(path)})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("make", KINDS)
def test_digits_in_what_is_no_folder(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "digits"
    make(path)
    with pytest.raises(DataError, match=r"digits|/dev/zero"):
        problem_of(path)


@pytest.mark.parametrize("make", [make_pipe, make_device, make_folder, make_loop])
def test_digits_of_which_one_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    write(tmp_path, t10k_images=None)
    make(tmp_path / NAMES[2])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte|/dev/zero"):
        problem_of(tmp_path)


@pytest.mark.parametrize("source", ["~nobody-has-this-name/text", "a\0b", "x" * 5000])
def test_paths_that_no_file_can_have(source: str) -> None:
    for task in (CHARACTERS, MNIST):
        with pytest.raises(DataError, match=r"source=.* is no path|cannot be read"):
            task.problem({"source": source})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(b"abc" * 99, mtime=0),
            r"is not UTF-8 at byte 1 \(it looks like a gzip file\); save the file as UTF-8",
        ),
        ("abc".encode("utf-16"), r"is not UTF-8 at byte 0 \(it looks like a text in UTF-16\)"),
        (b"", "is empty"),
    ],
)
def test_texts_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        CHARACTERS.problem({"source": str(tmp_path / "text.txt")})


def test_the_mark_at_the_beginning_of_a_text_is_no_letter(tmp_path: Path) -> None:
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbf" + b"abcabd" * 30)
    (tmp_path / "plain.txt").write_bytes(b"abcabd" * 30)
    marked, plain = (CHARACTERS.problem({"source": str(tmp_path / f"{name}.txt")}) for name in ("marked", "plain"))
    assert marked.n_input == plain.n_input == 4
    assert marked.load_stored().address == plain.load_stored().address  # type: ignore[misc]
    assert marked.content == plain.content
