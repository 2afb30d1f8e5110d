"""Weights files: there and back, never over another file, and nothing strange believed."""

import json
import pickle
import zipfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.weights import weights_file
from freewalk.harness.weights.weights_file import FORMAT_VERSION, SavedWeights, load_weights, save
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork

NETWORK = FreeNetwork(2, 1, 3, sequence_input=True)
SAVED = SavedWeights(
    np.random.default_rng(0).normal(size=(NETWORK.n_from, NETWORK.n_to)),
    NETWORK,
    "xor",
    {"stddev": 0.1, "update": "raw"},
    {"outcome": "reached", "steps": 5, "seed": 2**62},
)
LAYERS = LayeredNetwork((2, 3, 1), hidden_activation="tanh")
LAYERED = SavedWeights(
    LAYERS.initial_weights(0), LAYERS.free_network, "xor", {"architecture": "2-3-1"}, {}, "backprop", (2, 3, 1)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.npz"


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_weights(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 500 + len(str(path))
    return text


def everything_else(saved: SavedWeights) -> dict[str, Any]:
    """Return what a file holds besides the weights, as what can be compared: arrays cannot."""
    return {name: value for name, value in vars(saved).items() if name != "weights"}


def test_there_and_back(path: Path) -> None:
    save(path, SAVED)
    loaded = load_weights(path)
    assert np.array_equal(loaded.weights, SAVED.weights)
    assert loaded.weights.dtype == np.float64
    assert everything_else(loaded) == everything_else(SAVED)
    assert [entry.name for entry in path.parent.iterdir()] == ["w.npz"], "no temporary file is left"
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive) == ["description", "weights"]


def test_a_layered_network_there_and_back(path: Path) -> None:
    save(path, LAYERED)
    loaded = load_weights(path)
    assert np.array_equal(loaded.weights, LAYERED.weights)
    assert everything_else(loaded) == everything_else(LAYERED)
    assert loaded.layers == LAYERS
    assert SAVED.layers is None


def test_a_file_of_the_first_version_is_a_walk_on_a_free_network_of_sigmoids(path: Path) -> None:
    network = asdict(NETWORK)
    del network["hidden_activation"]
    np.savez(path, weights=SAVED.weights, description=np.array(description(version=1, network=network)))
    loaded = load_weights(path)
    assert loaded.network == NETWORK
    assert (loaded.method, loaded.widths, loaded.layers) == ("walk", None, None)


def layered_description(**changes: Any) -> str:
    return description(network=asdict(LAYERS.free_network), widths=[2, 3, 1], method="backprop", **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"widths": [2, 4, 1]}, "its network is not the layered network 2-4-1"),
        ({"widths": [2, 1, 2, 1]}, "it has weights where the layered network 2-1-2-1 has none"),
        ({"widths": [2]}, "damaged: widths must be two or more"),
        ({"widths": [2, 3.0, 1]}, "damaged"),
        ({"widths": "2-3-1"}, "damaged"),
        ({"widths": 3}, "damaged"),
        ({"widths": [2, 0, 1]}, "damaged"),
    ],
)
def test_widths_that_do_not_fit_are_refused(path: Path, changes: dict[str, Any], problem: str) -> None:
    np.savez(path, weights=LAYERED.weights, description=np.array(layered_description()))
    assert load_weights(path).layers == LAYERS
    spoilt = json.dumps(json.loads(layered_description()) | changes)
    np.savez(path, weights=LAYERED.weights, description=np.array(spoilt))
    assert problem in refusal(path)


def test_a_weight_outside_the_layers_is_refused(path: Path) -> None:
    weights = LAYERED.weights.copy()
    weights[-1, -1] = 1e-300  # from a hidden neuron to one of its own layer
    np.savez(path, weights=weights, description=np.array(layered_description()))
    assert "it has weights where the layered network 2-3-1 has none" in refusal(path)


def test_weights_that_are_not_finite_survive(path: Path) -> None:
    wild = np.full_like(SAVED.weights, np.nan)
    wild[0] = np.inf
    save(path, replace(SAVED, weights=wild))
    assert np.array_equal(load_weights(path).weights, wild, equal_nan=True)


def test_an_existing_file_stays(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already; give another name"):
        save(path, SAVED)
    assert path.read_text() == "mine"
    assert len(list(path.parent.iterdir())) == 1


def test_a_file_that_came_in_between_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_file, "check_free", lambda path, option: path.write_text("mine"))
    with pytest.raises(UsageError, match="exists already; give another name"):
        save(path, SAVED)
    assert path.read_text() == "mine"
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("replacing", [False, True])
def test_a_disk_that_fills_up_leaves_things_as_they_were(
    path: Path, monkeypatch: pytest.MonkeyPatch, replacing: bool
) -> None:
    def half(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    if replacing:
        save(path, SAVED)
    whole = path.read_bytes() if replacing else None
    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(UsageError, match=r"cannot be written \(No space left on device\)"):
        save(path, SAVED, replace=replacing)
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == ([whole] if replacing else [])


def test_a_file_is_replaced_when_asked_for(path: Path) -> None:
    save(path, SAVED)
    other = replace(SAVED, weights=SAVED.weights + 1)
    save(path, other, replace=True)
    assert np.array_equal(load_weights(path).weights, other.weights)
    assert len(list(path.parent.iterdir())) == 1
    path.unlink()
    save(path.parent / "new" / "w.npz", SAVED, replace=True)
    path.mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        save(path, SAVED, replace=True)


@pytest.mark.parametrize("place", ["/proc/w.npz", "file/w.npz"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot be written .*give another name"):
        save(tmp_path / place, SAVED)


def test_no_file(path: Path) -> None:
    assert "there is no file" in refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    save(path, SAVED)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "damaged" in refusal(path)


def test_any_flipped_bit_is_refused_or_harmless(path: Path) -> None:
    save(path, SAVED)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << at % 8
        path.write_bytes(spoilt)
        with suppress(UsageError):
            loaded = load_weights(path)  # a time stamp was hit, say
            assert np.array_equal(loaded.weights, SAVED.weights)
            assert loaded.network == SAVED.network


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        return Path.touch, (self.where,)


def test_a_pickle_is_never_run(path: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(trap)))
    assert "damaged" in refusal(path)
    np.savez(path, weights=np.array([Trap(trap)], dtype=object), description=np.array(description()))
    assert "damaged" in refusal(path)
    np.savez(path, weights=SAVED.weights, description=np.array([Trap(trap)], dtype=object))
    assert "damaged" in refusal(path)
    assert not trap.exists()


def description(**changes: Any) -> str:
    fields = {
        "mark": "freewalk weights",
        "version": FORMAT_VERSION,
        "network": asdict(NETWORK),
        "task": "xor",
        "parameters": {},
        "record": {},
    }
    return json.dumps(fields | changes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "damaged"),
        ("[]", "is no weights file"),
        ("null", "is no weights file"),
        ("[" * 100_000, "damaged"),
        (description(mark="other"), "is no weights file"),
        (description(version=FORMAT_VERSION + 1), f"this freewalk reads up to {FORMAT_VERSION}"),
        (description(network=None), "damaged"),
        (description(network={"n_input": 2}), "damaged"),
        (description(network=asdict(NETWORK) | {"n_hidden": -1}), "damaged"),
        (description(network=asdict(NETWORK) | {"n_hidden": "3"}), "damaged"),
        (description(network=asdict(NETWORK) | {"n_hidden": 10**15}), "damaged"),
        (description(network=asdict(NETWORK) | {"loss": "none"}), "damaged"),
        (description(padding="x" * 300_000), "description is too long"),
    ],
)
def test_a_strange_description_is_refused(path: Path, text: str, problem: str) -> None:
    np.savez(path, weights=SAVED.weights, description=np.array(text))
    assert problem in refusal(path)


@pytest.mark.parametrize(
    "weights",
    [SAVED.weights[:-1], SAVED.weights.T, SAVED.weights.astype(np.float32), np.zeros(()), np.array("text")],
    ids=["rows", "turned", "float32", "scalar", "text"],
)
def test_weights_that_do_not_fit_their_network_are_refused(path: Path, weights: Any) -> None:
    np.savez(path, weights=weights, description=np.array(description()))
    assert "its network needs float64 of shape (7, 4)" in refusal(path)


def test_other_numpy_files_are_refused(path: Path) -> None:
    np.savez(path, other=np.zeros(3))
    assert "damaged" in refusal(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "damaged" in refusal(path)
    path.unlink()
    path.mkdir()
    assert "damaged" in refusal(path)


def test_a_header_that_promises_more_than_there_is(path: Path) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**15},), }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        entry = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        archive.writestr("weights.npy", entry)
        archive.writestr("description.npy", entry)
    assert "damaged" in refusal(path)
