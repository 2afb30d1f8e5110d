"""Labels of any kind as classes 0, 1, 2 and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from freewalk.tasks.given import is_missing

Names: TypeAlias = Sequence[int] | Sequence[str]
"""What the labels of classes 0, 1, 2 and so on say; a range where they are those numbers."""

_MOST_BYTES = 1 << 31
"""What a one for each label and zeros for the other classes may take."""
_FEW_CLASSES = 1000
_NUMBER_THEM = "number them from 0, such as np.unique(y, return_inverse=True)[1]"


def read_labels(y: NDArray[Any], name: str = "y", *, wanted: bool = False) -> NDArray[Any] | None:
    """Return labels as whole numbers or words, (n,) int64 or str objects; None where y holds values.

    Labels stand one in a row, words also in a column: True and False; whole numbers; words, as text or bytes; and
    floating-point numbers where they are what labels are read as, 0 to n - 1 without a gap, or -1 and 1.

    Parameters
    ----------
    y
        As it was given.
    name
        What messages call it.
    wanted
        Whether it is known that there are labels: then any whole floating-point numbers are, in a column too.

    Raises
    ------
    ValueError
        If a label is missing, or labels are of several kinds or of none.
    """
    if y.ndim == 2 and y.shape[1] == 1 and (wanted or _has_words(y)):
        y = y[:, 0]
    if y.ndim != 1:
        return None
    if y.dtype.kind in "OfmM":
        missing = next((k for k, label in enumerate(y) if is_missing(label)), None)
        if missing is not None:
            raise ValueError(f"{name} holds {y[missing]} in row {missing}, which is no label; remove that row")
    if _has_words(y):
        words = [label.decode("utf-8", "replace") if isinstance(label, bytes) else label for label in y.tolist()]
        other = next((word for word in words if not isinstance(word, str)), None)
        if other is not None:
            raise ValueError(f"{name} holds words and {other!r}; give labels of one kind")
        return np.array(words, dtype=object)
    if y.dtype.kind == "O":
        y = np.array(y.tolist())
    if y.dtype.kind == "f" and not _are_whole(y, wanted):
        return None
    if y.dtype.kind not in "biuf" or y.ndim != 1:
        raise ValueError(f"{name} holds {y.dtype}; give a number or a word for each class")
    return y.astype(np.int64)


def _has_words(y: NDArray[Any]) -> bool:
    return y.dtype.kind in "US" or (y.dtype.kind == "O" and any(isinstance(label, str | bytes) for label in y.flat))


def _are_whole(y: NDArray[Any], wanted: bool) -> bool:
    """Return whether floating-point numbers are labels."""
    if wanted:
        return bool(np.isfinite(y).all() and (y == np.floor(y)).all() and (abs(y) < 2**53).all())
    numbers = np.unique(y)
    return np.array_equal(numbers, np.arange(len(numbers))) or np.array_equal(numbers, [-1, 1])


def names_of(labels: NDArray[Any]) -> Names:
    """Return the classes of labels from `read_labels`: the words in order, -1 and 1, or the numbers from 0.

    Raises
    ------
    ValueError
        If there is one class alone, too many, or one below 0.
    """
    low, high = np.array([labels.min(), labels.max()], dtype=labels.dtype).tolist()
    if low == high:
        raise ValueError(f"y holds the label {low!r} alone; classes are two or more")
    if labels.dtype.kind == "O":
        return _checked(sorted(set(labels)), len(labels))
    if (low, high) == (-1, 1) and labels.all():
        return (-1, 1)
    if low < 0:
        raise ValueError(f"classes must be whole numbers from 0 on, got {low} to {high}; {_NUMBER_THEM}")
    return _checked(range(high + 1), len(labels))


def _checked(names: Names, n_rows: int) -> Names:
    if len(names) > max(_FEW_CLASSES, n_rows) or len(names) * n_rows * 4 > _MOST_BYTES:
        raise ValueError(
            f"labels are classes, and y has {len(names):,} of them for {n_rows:,} rows; {_NUMBER_THEM};"
            " values are floating-point numbers from 0 to 1, of shape (n, n_output)"
        )
    return names


def one_hot(labels: NDArray[Any], names: Names, name: str = "y") -> NDArray[np.float32]:
    """Return a one at each label's class, (n, 1, classes) float32.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    if isinstance(names, range):
        if labels.dtype.kind == "O" or (len(labels) and not (labels.min() >= 0 and labels.max() < len(names))):
            raise ValueError(
                f"classes must be whole numbers from 0 to {len(names) - 1}, got {min(labels)} to {max(labels)}"
            )
        places = labels
    else:
        numbers = {label: k for k, label in enumerate(names)}
        other = next((k for k, label in enumerate(labels) if label not in numbers), None)
        if other is not None:
            raise ValueError(f"{name} holds {labels[other]!r} in row {other}, which is none of {listed(names)}")
        places = np.array([numbers[label] for label in labels], dtype=np.int64)
    rows: NDArray[np.float32] = np.zeros((len(places), 1, len(names)), dtype=np.float32)
    rows[np.arange(len(places)), 0, places] = 1
    return rows


def listed(names: Names) -> str:
    """List the first classes, for people."""
    return ", ".join(map(str, names[:8])) + (", …" if len(names) > 8 else "")
