"""The peers by name, and what a reader should know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from freewalk.harness.bench.peers.arrays import make_cupy, make_numpy
from freewalk.harness.bench.peers.evosax_peer import make_evosax
from freewalk.harness.bench.peers.jax_peer import make_jax
from freewalk.harness.bench.peers.peer import Device, Peer, Unavailable
from freewalk.harness.bench.peers.tensorflow_peer import make_tensorflow
from freewalk.harness.bench.peers.torch_peer import make_torch


@dataclass(frozen=True)
class Entry:
    """One peer of the table."""

    make: Callable[[Device], Peer]
    """Raises Unavailable where the peer cannot run."""
    description: str
    package: str
    """Name of the distribution, for its version."""
    main_only: bool = False
    """Whether it takes part in the main workloads alone, because it takes long to prepare."""


PEERS: Mapping[str, Entry] = {
    "jax": Entry(make_jax, "JAX: jit, vmap, scans over timesteps and steps; its default generator", "jax"),
    "jax-rbg": Entry(
        lambda device: make_jax(device, "rbg"), "the same with JAX's fastest generator", "jax", main_only=True
    ),
    "torch": Entry(make_torch, "PyTorch: batched products, an operation a launch", "torch"),
    "torch-graph": Entry(lambda device: make_torch(device, "graph"), "the same captured in a CUDA graph", "torch"),
    "torch-compile": Entry(
        lambda device: make_torch(device, "compile"),
        "the same compiled by torch.compile, on a GPU captured in a CUDA graph",
        "torch",
        main_only=True,
    ),
    "torch-func": Entry(
        lambda device: make_torch(device, "func"), "PyTorch: one datapoint's loss, batched by torch.func.vmap", "torch"
    ),
    "evosax": Entry(
        make_evosax, "evosax: OpenAI-ES, as many members in antithetic pairs; half the normals and passes", "evosax"
    ),
    "tensorflow": Entry(
        make_tensorflow, "TensorFlow, in the original program's form: a session, a graph fed from NumPy", "tensorflow"
    ),
    "cupy": Entry(make_cupy, "CuPy: batched products by cuBLAS, normals by cuRAND", "cupy"),
    "numpy": Entry(make_numpy, "NumPy: batched products", "numpy"),
}


def make_peers(device: Device) -> tuple[dict[str, Peer], dict[str, str]]:
    """Return the peers that run on a device, and for each other one the reason why not."""
    peers: dict[str, Peer] = {}
    reasons: dict[str, str] = {}
    for name, entry in PEERS.items():
        try:
            peers[name] = entry.make(device)
        except Unavailable as reason:
            reasons[name] = str(reason)
        except Exception as error:  # a library that is there but broken is no reason to stop
            reasons[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return peers, reasons
