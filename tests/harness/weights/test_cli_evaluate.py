"""`harness evaluate` and `harness train --weights`: saved weights used again, and files that are not to be believed."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import freewalk
from freewalk import NNRndTraining
from freewalk.harness.weights.weights_file import FORMAT_VERSION, SavedWeights, load_weights, save
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.tasks.registry import unregister

Harness = Callable[..., Any]
Refused = Callable[..., str]

SHORT = ("--batch-size", 16, "--epochs", 4, "--steps-per-epoch", 5, "--quiet", "--json")
XOR = ("--task", "xor", "--hidden", 4, "--stddev", 0.1, "--update", "normalised", "--optimizer", "momentum")


@pytest.fixture
def xor(harness: Harness) -> dict[str, Any]:
    """Train a little on xor; leave w.npz and return the result."""
    result = harness("train", *XOR, *SHORT, "--seed", 3, "--save", "w.npz")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


@pytest.mark.parametrize(
    "options",
    [
        XOR,
        ("--task", "shifted-sums", "--hidden", 3),
        ("--task", "addition", "--hidden", 3),
        ("--task", "addition", "--form", "static", "--bits", 5, "--architecture", "10-8-5", "--method", "backprop"),
        ("--task", "parity", "--form", "sequence", "--hidden", 3, "--activation", "tanh", "--timesteps", 6),
    ],
    ids=["static", "sequence", "sequence out", "layers", "tanh"],
)
def test_held_out_measures_are_those_of_the_training(harness: Harness, options: tuple[Any, ...]) -> None:
    trained = json.loads(harness("train", *options, *SHORT, "--seed", 7, "--save", "w.npz").out)
    found = json.loads(harness("evaluate", "w.npz", "--json").out)
    assert found["seed"] == 7
    assert found["loss"] == pytest.approx(trained["loss_final"], rel=1e-5)
    assert found[trained["metric_name"]] == pytest.approx(trained["metric_final"], rel=1e-5)
    others = json.loads(harness("evaluate", "w.npz", "--json", "--seed", 8).out)
    assert found["n_datapoints"] < 100 or others["loss"] != found["loss"]


def test_what_it_prints(harness: Harness, xor: dict[str, Any]) -> None:
    lines = harness("evaluate", "w.npz").out.splitlines()
    assert lines[0] == "task xor, seed 3: 4 datapoints"
    assert [line.split(" ")[0] for line in lines[1:5]] == ["loss", "bit_accuracy", "row_accuracy", "max_error"]
    assert lines[5].startswith("output 0: mean squared error ")
    assert len(lines) == 6


def test_a_task_of_classes_and_one_of_a_plugin(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from freewalk.tasks.arrays import from_arrays\n"
        "x = np.random.default_rng(0).uniform(-2, 3, (40, 2))\n"
        "TASK = from_arrays('mine', x, (x[:, 0] > x[:, 1]).astype(int))\n"
    )
    learn = ("--method", "backprop", "--hidden", 3, "--batch-size", 8, "--epochs", 2, "--quiet", "--json")
    result = harness("train", "--plugin", "mine.py", "--task", "mine", *learn, "--save", "w.npz")
    assert result.code == 0, result.err
    trained = json.loads(result.out)
    found = json.loads(harness("evaluate", "--plugin", "mine.py", "w.npz", "--json").out)
    assert found["accuracy"] == pytest.approx(trained["metric_final"], rel=1e-5)
    assert "\naccuracy " in harness("evaluate", "--plugin", "mine.py", "w.npz").out
    lines = harness("maximize", "--plugin", "mine.py", "w.npz").out.splitlines()
    assert lines[1] == "bounds: what 4,096 datapoints of task mine span"
    unregister("mine")
    missing = harness("evaluate", "w.npz")
    assert missing.code == 2
    assert "one of your own needs --plugin FILE" in missing.err
    assert "no task mine is loaded (--plugin FILE)" in harness("maximize", "w.npz").err


CLASSES = (
    "import numpy as np\n"
    "from freewalk.tasks import from_arrays\n"
    "x = np.random.default_rng(0).normal(size=(60, 2))\n"
    "THREE = from_arrays('three', x, np.arange(60) % 3)\n"
    "TWO = from_arrays('two', x, np.arange(60) % 2)\n"
)


@pytest.mark.parametrize(
    ("task", "labels", "columns"),
    [
        ("three", np.array([0, 2, 1, 1]), [0, 2, 1, 1]),
        ("three", np.array([0.0, 2.0, 1.0, 1.0]), [0, 2, 1, 1]),
        ("three", np.array([[0], [2], [1], [1]]), [0, 2, 1, 1]),
        ("three", np.array([2, 2, 2, 2], dtype=np.uint8), [2, 2, 2, 2]),
        ("two", np.array([True, False, False, True]), [1, 0, 0, 1]),
        ("two", np.array([-1, 1, 1, -1]), [0, 1, 1, 0]),
        ("two", np.array([-1.0, -1.0, -1.0, -1.0]), [0, 0, 0, 0]),
    ],
)
def test_labels_are_classes(
    harness: Harness, tmp_path: Path, task: str, labels: NDArray[Any], columns: list[int]
) -> None:
    (tmp_path / "own.py").write_text(CLASSES)
    layers = "2-3-3" if task == "three" else "2-3-2"
    training = ["train", "--plugin", "own.py", "--task", task, "--method", "backprop", "--architecture", layers]
    assert harness(*training, "--batch-size", "8", "--epochs", "1", "--quiet", "--save", "w.npz").code == 0
    x = np.random.default_rng(1).normal(size=(4, 2))
    np.savez(tmp_path / "labels.npz", x=x, y=labels)
    np.savez(tmp_path / "ones.NPZ.npz", x=x, y=np.eye(3 if task == "three" else 2)[columns])
    (tmp_path / "ones.NPZ.npz").rename(tmp_path / "ones.NPZ")  # capitals, as other systems write them
    found = [harness("evaluate", "w.npz", "--data", name, "--json") for name in ("labels.npz", "ones.NPZ")]
    assert [one.code for one in found] == [0, 0], found
    measures = [{k: v for k, v in json.loads(one.out).items() if k != "data"} for one in found]
    assert measures[0] == measures[1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3, 1, 1]), "classes must be whole numbers from 0 to 2, got 0 to 3"),
        (np.array([1, 2, -1, 1]), "classes must be whole numbers from 0 to 2, got -1 to 2"),
        (np.array(["a", "b", "c", "a"]), "y holds words, and the network knows its classes by number: give 0 to 2"),
        (np.array([0, 1, np.nan, 1]), "y holds nan in row 2, which is no label"),
        (np.array([0.5, 1, 0, 1]), "y must have shape (B, n_output=3)"),
    ],
)
def test_labels_that_do_not_fit(
    harness: Harness, refused: Any, tmp_path: Path, labels: NDArray[Any], message: str
) -> None:
    (tmp_path / "own.py").write_text(CLASSES)
    training = ["train", "--plugin", "own.py", "--task", "three", "--method", "backprop", "--architecture", "2-3-3"]
    assert harness(*training, "--batch-size", "8", "--epochs", "1", "--quiet", "--save", "w.npz").code == 0
    np.savez(tmp_path / "labels.npz", x=np.zeros((4, 2)), y=labels)
    assert message in refused("evaluate", "w.npz", "--data", "labels.npz")


def test_targets_of_one_output_need_no_column(harness: Harness, xor: dict[str, Any], tmp_path: Path) -> None:
    x, y = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]), np.array([1, 0, 0])
    for name, targets in (("flat", y), ("column", y[:, None]), ("bool", y == 1)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=targets)
    found = [harness("evaluate", "w.npz", "--data", f"{name}.npz") for name in ("flat", "column", "bool")]
    assert len({one.out.partition(":")[2] for one in found}) == 1
    assert "loss" in found[0].out


@pytest.mark.parametrize("name", ["d.csv", "d.CSV", "d.tsv", "d.txt"])
def test_a_table_of_text_is_named_with_the_way_out(
    harness: Harness, refused: Any, xor: dict[str, Any], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("a,b,y\n0,1,1\n")
    line = refused("evaluate", "w.npz", "--data", name)
    wanted = f"{name} is a table of text (CSV); read it with NumPy and save inputs and targets as a .npz"
    assert wanted in line
    np.save(tmp_path / "x.npy", np.zeros((1, 2)))
    assert wanted in refused("evaluate", "w.npz", "--data", "x.npy", "--y", name)


@pytest.mark.filterwarnings("always::freewalk.tasks.UnreachableTargets")
def test_targets_that_no_output_reaches_are_named(harness: Harness, xor: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "signs.npz", x=np.zeros((2, 2)), y=np.array([-1.0, 1.0]))
    found = harness("evaluate", "w.npz", "--data", "signs.npz")
    assert found.code == 0
    wanted = "harness: y reaches from -1 to 1, but outputs lie between 0 and 1, so that no network meets it; scale it"
    assert found.err.startswith(wanted)
    assert found.err.count("\n") == 1


@pytest.mark.parametrize("how", ["npz", "npy"])
def test_own_data(harness: Harness, xor: dict[str, Any], tmp_path: Path, how: str) -> None:
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 1, (9, 2)), random.uniform(0, 1, (9, 1))
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    data = ("--data", "d.npz") if how == "npz" else ("--data", "x.npy", "--y", "y.npy")
    found = json.loads(harness("evaluate", "w.npz", *data, "--json").out)
    saved = load_weights(tmp_path / "w.npz")
    errors = reference.forward(saved.network, saved.weights, x, 4) - y
    assert found["n_datapoints"] == 9
    assert found["loss"] == pytest.approx((errors**2).mean())
    assert found["outputs"][0]["mean_absolute_error"] == pytest.approx(np.abs(errors).mean())
    assert found["max_error"] == pytest.approx(np.abs(errors).max())


def test_the_environment_is_for_held_out_data(
    harness: Harness, xor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_SEED", "5")
    assert json.loads(harness("evaluate", "w.npz", "--json").out)["seed"] == 5
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2)), y=np.ones((4, 1)))
    assert harness("evaluate", "w.npz", "--data", "d.npz").code == 0


def test_each_output_has_its_own_errors() -> None:
    network = FreeNetwork(1, 2, 0, sequence_input=True, sequence_output=True)
    saved = SavedWeights(np.random.default_rng(0).normal(size=(4, 2)), network, None, {}, {}, timesteps=3)
    x = np.random.default_rng(1).normal(size=(5, 3, 1))
    y = np.random.default_rng(2).integers(0, 2, (5, 3, 2)).astype(float)
    outputs = saved.predict(x)
    measures = saved.evaluate(x, y)
    for k, errors in enumerate(measures.outputs):
        distance = np.abs(outputs[..., k] - y[..., k])
        assert errors.mean_squared_error == pytest.approx((distance**2).mean())
        assert errors.max_error == distance.max()
        assert errors.accuracy == (distance < 0.5).mean()
    assert measures.loss == pytest.approx(((outputs - y) ** 2).sum(axis=(1, 2)).mean())
    assert measures.row_accuracy == (np.abs(outputs - y) < 0.5).all(axis=(1, 2)).mean()


def test_many_datapoints_are_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = SavedWeights(np.random.default_rng(0).normal(size=(5, 2)), FreeNetwork(2, 1, 1), None, {}, {}, timesteps=2)
    x = np.random.default_rng(1).normal(size=(10, 2))
    whole = saved.predict(x)
    monkeypatch.setattr("freewalk.harness.weights.outputs._DATAPOINTS_AT_A_TIME", 3)
    np.testing.assert_allclose(saved.predict(x), whole, rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "xro"], "unknown task 'xro' (did you mean 'xor'?)"),
        (["--task", "sign"], "--task sign has data of another shape than the network in w.npz"),
        (["--evaluation-points", "0"], "--evaluation-points 0: must be a whole number of at least 1"),
        (["--seed", "-1"], "--seed -1: must be one whole number from 0"),
        (["--y", "y.npy"], "--y needs --data"),
        (["--data", "x.npy"], "give their targets with --y FILE"),
        (["--data", "none.npz"], "there is no file none.npz"),
        (["--data", "d.npz", "--y", "y.npy"], "--y has no effect"),
        (["--data", "d.npz", "--task", "xor"], "--task has no effect with --data"),
        (["--data", "d.npz", "--seed", "0"], "--seed has no effect with --data"),
        (["--data", "d.npz", "--evaluation-points", "5"], "--evaluation-points has no effect with --data"),
        (["--data", "d.npz"], "x must have shape (B, n_input=2) with B of at least 1, got (4, 3)"),
        (["--data", "x.npy", "--y", "y.npy"], "y must have shape (B, n_output=1)"),
        (["--data", "nan.npz"], "x holds numbers that are not finite"),
        (["--data", "text.npz"], "x must hold numbers, got <U1"),
        (["--data", "few.npz"], "y must have shape (4, 1), one target a datapoint of x, got (3, 1)"),
        (["--data", "empty.npz"], "with B of at least 1, got (0, 2)"),
        (["--evaluaton-points", "4"], "did you mean '--evaluation-points'?"),
    ],
)
def test_mistakes(refused: Refused, xor: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    one = np.ones((4, 1))
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3)), y=one)
    np.savez(tmp_path / "nan.npz", x=np.full((4, 2), np.nan), y=one)
    np.savez(tmp_path / "text.npz", x=np.full((4, 2), "a"), y=one)
    np.savez(tmp_path / "few.npz", x=np.zeros((4, 2)), y=one[:3])
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 2)), y=one[:0])
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.save(tmp_path / "y.npy", np.zeros((4, 2)))
    assert message in refused("evaluate", "w.npz", *arguments)


# --- files that are not to be believed, in every command that takes weights ---


def spoil(path: Path, kind: str) -> None:
    """Leave a file that is damaged in one way where w.npz was."""
    whole = path.read_bytes()
    with np.load(path) as archive:
        arrays = dict(archive)
    described = json.loads(str(arrays["description"]))
    path.unlink()
    if kind == "missing":
        return
    if kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        path.write_text("weights\n")
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("description.npy", bytes(50_000_000))
            file.writestr("weights.npy", bytes(8))
    else:
        changes: dict[str, Any] = {
            "large": {"weights": np.zeros((2000, 5))},
            "pickle": {"weights": np.array([None, 1], dtype=object)},
            "float32": {"weights": arrays["weights"].astype(np.float32)},
            "shape": {"weights": arrays["weights"][:-1]},
            "nan": {"weights": arrays["weights"] * np.nan},
            "future": {"description": described | {"version": FORMAT_VERSION + 1}},
            "task": {"description": described | {"task": 5}},
            "parameters": {"description": described | {"parameters": []}},
            "timesteps": {"description": described | {"timesteps": 0}},
            "mask": {"mask": np.zeros(arrays["weights"].shape, bool)},
            "mask of numbers": {"mask": np.ones(arrays["weights"].shape)},
        }[kind]
        if "description" in changes:
            changes["description"] = np.array(json.dumps(changes["description"]))
        np.savez(path, **{**arrays, **changes})


KINDS = {
    "missing": "there is no file w.npz",
    "folder": "directory",
    "truncated": "damaged",
    "text": "damaged",
    "bomb": "its description is too long: 50,000,000 bytes",
    "pickle": "pickled Python objects",
    "float32": "its weights are float32",
    "large": "its weights is too long: 80,128 bytes unpacked, the limit is 1,344",
    "shape": "its network needs float64 of shape (8, 5)",
    "nan": "has weights that are not finite",
    "future": f"this freewalk reads up to {FORMAT_VERSION}",
    "task": "its task is 5",
    "parameters": "its parameters is []",
    "timesteps": "timesteps must be at least 1",
    "mask": "it has weights where its mask has none",
    "mask of numbers": "mask must be boolean",
}


@pytest.mark.parametrize("command", ["evaluate", "maximize", "train", "gradcheck"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_not_to_be_believed(refused: Refused, xor: Any, tmp_path: Path, command: str, kind: str) -> None:
    path = tmp_path / "w.npz"
    spoil(path, kind)
    message = refused(command, "--weights", "w.npz")
    assert "w.npz" in message
    assert KINDS[kind] in message
    with pytest.raises(freewalk.UsageError):
        freewalk.load(path)


# --- going on from weights ---


def test_training_starts_at_the_weights(harness: Harness, xor: dict[str, Any], tmp_path: Path) -> None:
    result = harness("train", "--weights", "w.npz", "--epochs", 1, "--steps-per-epoch", 1, "--save", "v.npz")
    assert result.code == 0, result.err
    before, after = load_weights(tmp_path / "w.npz"), load_weights(tmp_path / "v.npz")
    assert after.parameters == before.parameters, "task, network and method are taken over"
    assert 0 < np.abs(after.weights - before.weights).max() < 0.5
    first = next(line for line in result.err.splitlines() if line.startswith("step 0/1 "))
    assert f"held-out loss {xor['loss_final']:.4g}" in first
    assert "trained with seed" not in result.err
    again = harness("train", "--weights", "w.npz", "--epochs", 1, "--seed", 3, "--save", "u.npz")
    assert "the weights were trained with seed 3 too; another --seed shows other data and noise" in again.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--optimizer", "adam"), {"optimizer": "adam", "learning_rate": 0.01, "stddev": 0.1}),
        (("--update", "raw"), {"update": "raw", "stddev": 0.1}),
        (("--method", "backprop"), {"optimizer": "momentum", "learning_rate": 0.3}),
        (("--stddev", "0.2"), {"optimizer": "momentum", "stddev": 0.2, "batch_size": 16}),
    ],
)
def test_options_differ_from_the_file(
    harness: Harness, xor: Any, tmp_path: Path, options: tuple[str, ...], expected: dict[str, Any]
) -> None:
    result = harness("train", "--weights", "w.npz", *options, "--epochs", 1, "--quiet", "--save", "v.npz")
    assert result.code == 0, result.err
    parameters = load_weights(tmp_path / "v.npz").parameters
    assert parameters["hidden"] == 4
    assert {name: parameters[name] for name in expected} == expected
    assert ("momentum" in parameters) == (expected.get("optimizer") == "momentum")


@pytest.mark.parametrize("method", ["walk", "backprop", "numerical", "synthetic"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_layers_go_on_by_every_method(harness: Harness, tmp_path: Path, method: str, backend: str) -> None:
    options = ("--architecture", "2-3-1", "--method", method, "--backend", backend, "--target", 0)
    assert harness("train", "--task", "xor", *options, *SHORT, "--save", "w.npz").code == 0
    result = harness("train", "--weights", "w.npz", "--backend", backend, "--target", 0, *SHORT[2:], "--save", "v.npz")
    assert result.code == 0, result.err
    before, after = load_weights(tmp_path / "w.npz"), load_weights(tmp_path / "v.npz")
    assert (after.method, after.widths) == (method, (2, 3, 1))
    assert not np.array_equal(after.weights, before.weights)


def test_weights_of_the_drop_in_class_learn_a_task(harness: Harness, tmp_path: Path) -> None:
    config = {"num_input": 2, "num_hidden": 3, "num_output": 1, "timesteps": 2, "batch_size": 16}
    training = NNRndTraining(config, echo=None)
    training.save(tmp_path / "w.npz")
    result = harness("train", "--task", "xor", "--weights", "w.npz", "--epochs", 1, "--quiet", "--save", "v.npz")
    assert result.code == 0, result.err
    assert load_weights(tmp_path / "v.npz").n_timesteps == 2
    assert json.loads(harness("evaluate", "w.npz", "--task", "xor", "--json").out)["n_datapoints"] == 4
    assert "give --task NAME" in harness("evaluate", "w.npz").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "sign"], "was trained on xor, not sign; leave --task out"),
        (["--hidden", "5"], "holds another network than these options make"),
        (["--timesteps", "5"], "holds another network than these options make"),
        (["--activation", "tanh"], "holds another network than these options make"),
        (["--architecture", "2-4-1"], "hidden"),
    ],
)
def test_what_does_not_fit_the_weights(refused: Refused, xor: Any, arguments: list[str], message: str) -> None:
    assert message in refused("train", "--weights", "w.npz", *arguments)


def test_a_mask_is_the_drop_in_classs_own(refused: Refused, tmp_path: Path) -> None:
    config = {"num_input": 2, "num_hidden": 3, "num_output": 1, "timesteps": 2, "mask": np.eye(7, 4) > 0}
    NNRndTraining(config, echo=None).save(tmp_path / "w.npz")
    assert "only freewalk.NNRndTraining trains on" in refused("train", "--task", "xor", "--weights", "w.npz")


def test_saving_from_python(xor: Any, tmp_path: Path) -> None:
    saved = freewalk.load(tmp_path / "w.npz")
    freewalk.save(tmp_path / "deep" / "copy.npz", saved)
    assert np.array_equal(freewalk.load(tmp_path / "deep" / "copy.npz").weights, saved.weights)
    with pytest.raises(freewalk.UsageError, match="exists already; give another name"):
        freewalk.save(tmp_path / "w.npz", saved)
    freewalk.save(tmp_path / "w.npz", saved, replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "w.npz"]


@pytest.mark.parametrize("version", [1, 2])
def test_older_files_take_their_timesteps_from_parameters_or_task(tmp_path: Path, version: int) -> None:
    network = FreeNetwork(2, 1, 3)
    for parameters, timesteps in (({"timesteps": 6}, 6), ({}, 4)):
        path = tmp_path / f"w{timesteps}.npz"
        save(path, SavedWeights(np.ones((7, 4)), network, "xor", parameters, {}))
        with np.load(path) as archive:
            described = json.loads(str(archive["description"])) | {"version": version}
        del described["timesteps"]
        np.savez(path, weights=np.ones((7, 4)), description=np.array(json.dumps(described)))
        loaded = freewalk.load(path)
        assert loaded.n_timesteps == timesteps
        x = np.ones((1, 2))
        assert np.array_equal(loaded.predict(x), reference.forward(network, np.ones((7, 4)), x, timesteps))
