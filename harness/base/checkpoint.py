"""What a trial in progress needs to go on to the same bits, in memory and as bytes for the store."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from freewalk import __version__
from freewalk.kernels.model.walk import State
from freewalk.results.schema.records import CurvePoint

_FORMAT = 2
_STATE = "state."
_CURVE = "curve."
_HEADER = "header"
_TEXTS = ("split", "metric")
_DIGEST_BYTES = 16


class UnusableCheckpoint(ValueError):  # noqa: N818 - says what it is
    """These bytes are no checkpoint, or not one of this version."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial between two steps."""

    state: State
    """Of the trainer: weights, optimiser, step."""
    memory: Mapping[str, Any]
    """Of the trial's watch: judge, clocks and counters, as plain values."""
    curve: tuple[CurvePoint, ...]
    """All measurements so far."""
    backend: str
    """What computed it: another backend would go on to other bits."""

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.state["step"])

    @property
    def seconds(self) -> float:
        """What training and looks at held-out data have taken."""
        return float(self.memory["train_seconds"] + self.memory["evaluation_seconds"])

    def to_bytes(self, trial_id: str = "") -> bytes:
        """Return the checkpoint as a digest and a compressed .npz archive that says whose it is."""
        header = {
            "format": _FORMAT,
            "version": __version__,
            "trial": trial_id,
            "backend": self.backend,
            "memory": dict(self.memory),
        }
        columns = zip(*self.curve, strict=True) if self.curve else [()] * len(CurvePoint._fields)
        arrays: dict[str, Any] = {_STATE + name: value for name, value in self.state.items()}
        for name, column in zip(CurvePoint._fields, columns, strict=True):
            arrays[_CURVE + name] = np.array(column, dtype=str if name in _TEXTS else None)
        arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # allow_pickle would be one more array of it before NumPy 2.1
        return _digest(buffer.getvalue()) + buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, trial_id: str = "") -> Self:
        """Read what `to_bytes` wrote for the same trial.

        Raises
        ------
        UnusableCheckpoint
            If the bytes are damaged, are another trial's (whose state may have the same shape), or were written by
            another version of freewalk, whose steps may differ in the last bits.
        """
        digest, archived = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if digest != _digest(archived):
            raise UnusableCheckpoint("a damaged checkpoint")
        try:
            with np.load(io.BytesIO(archived), allow_pickle=False) as archive:
                arrays = dict(archive)
            header = json.loads(bytes(arrays.pop(_HEADER)))
            if (header["format"], header["version"]) != (_FORMAT, __version__):
                raise UnusableCheckpoint(f"a checkpoint of version {header['version']}")
            if header["trial"] != trial_id:
                raise UnusableCheckpoint(f"a checkpoint of trial {header['trial']}")
            columns = [arrays.pop(_CURVE + name).tolist() for name in CurvePoint._fields]
            state = {name.removeprefix(_STATE): value for name, value in arrays.items()}
            curve = tuple(CurvePoint(*point) for point in zip(*columns, strict=True))
            return cls(state, header["memory"], curve, header["backend"])
        except KeyError as error:
            raise UnusableCheckpoint(f"a checkpoint without {error}") from None


def _digest(data: bytes) -> bytes:
    """Return a checksum; those of the archive itself leave parts of it out."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
