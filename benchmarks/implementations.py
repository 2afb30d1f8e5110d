"""The one table of implementations and of the workloads that they take on, on the CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from benchmarks.floors import Generator, Inference, NumpyNormals
from benchmarks.own import FromPeer, OfFullRank, OfOneSeed, Own, PeersPasses
from benchmarks.peers.cupy_peer import make_cupy
from benchmarks.peers.evosax_peer import make_evosax
from benchmarks.peers.evox_peer import make_evox
from benchmarks.peers.jax_peer import make_jax
from benchmarks.peers.peer import Device, InferringPeer, Peer
from benchmarks.peers.tensorflow_peer import make_tensorflow
from benchmarks.peers.torch_peer import make_torch
from freewalk.harness.bench import DEFAULT, HIDDEN_254, T_100, ArrayStep, Loop, Workload
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.noise import DEFAULT_NOISE, NOISES, Noise

OURS: Mapping[Device, str] = {"cpu": "freewalk", "cuda": "freewalk-cuda"}
SIGNS: Noise = "rademacher"


def ours(device: Device, workload: Workload) -> str:
    """Return what the ratios of a workload refer to: the default noise, and of low rank signs."""
    return f"{OURS[device]}-{SIGNS}" if device == "cpu" and workload.rank is not None else OURS[device]


MANY = usable_threads()
_DEEP = 0.1
"""stddev of deep networks; see `T_100`."""
WORKLOADS: Mapping[Device, tuple[Workload, ...]] = {
    "cpu": (
        DEFAULT,
        HIDDEN_254,
        T_100,
        Workload(n_trials=16),
        Workload(batch_size=100_000),
        Workload(hidden=126),
        Workload(timesteps=20, stddev=_DEEP),
        Workload(batch_size=10_000),
        *(
            Workload(hidden, timesteps, stddev=DEFAULT.stddev if timesteps == DEFAULT.timesteps else _DEEP, rank=1)
            for timesteps in (4, 100, 20)
            for hidden in (30, 126, 254, 1024)
        ),
    ),
    "cuda": (
        DEFAULT,
        *(Workload(n_trials=n) for n in (132, 2112, 528, 16)),
        *(Workload(batch_size=n) for n in (100_000, 1_000_000, 10_000)),
        *(Workload(hidden=n) for n in (254, 1022, 62, 126, 510)),
        Workload(timesteps=20, stddev=_DEEP),
        T_100,
    ),
}
"""The most telling first."""
_MOST_REFERENCE_NORMALS = 4_000_000
_TIMED_IN_FULL = ((30, 4), (126, 4), (254, 4), (1024, 4), (30, 20), (30, 100))
"""Hidden neurons and timesteps where full perturbations are timed beside those of rank 1: elsewhere they take long."""


class Competitor(Protocol):
    """Something that can take the step of a workload."""

    @property
    def largest_error(self) -> float:
        """What its error may be."""

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update, or of what a floor makes."""

    def start(self, workload: Workload) -> Loop:
        """Return a loop to be timed."""


_TAKES: Mapping[str, Callable[[Workload], bool]] = {
    "alone": lambda workload: workload.n_trials == 1 and workload.rank is None,
    "of any rank": lambda workload: workload.n_trials == 1,
    "of rank 1": lambda workload: workload.n_trials == 1 and workload.rank == 1,
    "beside rank 1": lambda workload: workload.rank == 1 and (workload.hidden, workload.timesteps) in _TIMED_IN_FULL,
    "together": lambda workload: workload.n_trials > 1,
    "default": lambda workload: workload == DEFAULT,
    "main": lambda workload: workload.label in ("default", "trials 132", "trials 2,112"),
    "all": lambda workload: True,
}
"""Which workloads an implementation takes on; those that are slow to prepare only the main ones."""


@dataclass(frozen=True)
class Implementation:
    """One line of the table."""

    make: Callable[[], Competitor]
    """Raises Unavailable where it cannot run."""
    kind: Literal["own", "floor", "peer"]
    description: str
    takes: str = "alone"
    device: Device = "cpu"
    package: str = "freewalk"
    """Name of the distribution, for its version."""
    generator: str | None = None
    """The floor whose noise it draws."""
    inference: str | None = None
    """The floor of its forward passes."""
    noise_copies: float = 0
    """How many arrays of all the noise of a step it holds at once, about; 0: none."""
    of_full_rank: bool = False
    """Whether its perturbations have full rank whatever the workload says."""

    def why_left_out(self, workload: Workload, free_bytes: float) -> str | None:
        """Return why it cannot take a workload on, in a few words; None if it can."""
        normals = workload.n_trials * workload.batch_size * workload.network.n_weights
        drawn = normals if self.of_full_rank else workload.n_trials * workload.batch_size * workload.numbers
        needed = 4 * self.noise_copies * drawn
        if needed > free_bytes:
            return f"left out: needs about {needed / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB are free"
        if self.description == _REFERENCE and normals > _MOST_REFERENCE_NORMALS:
            return "left out: too slow"
        return None


_REFERENCE = "this program's NumPy float64 reference on the same noise"


def _own() -> dict[str, Implementation]:
    """Return every noise, side and number of threads, each with its floors."""
    entries, sides = {}, ("one", "two")
    for threads in dict.fromkeys((MANY, 1)):
        few, words = "-1" * (threads == 1 < MANY), f"{threads} thread{'s' * (threads > 1)}"
        for noise, drawn in NOISES.items():
            usual = noise == DEFAULT_NOISE
            kind, signs = f"-{noise}" * (not usual), f", noise {drawn.summary}" * (not usual)
            many = "of any rank" if noise in get_args(Noise) else "alone"
            takes = ("alone" if usual else "default") if few else many
            for side in sides:
                entries[f"freewalk{few}{kind}{'-two' * (side == 'two')}"] = Implementation(
                    _maker(Own, "cpu", threads, noise, side),
                    "own",
                    f"this program, {words}{signs}{', antithetic pairs' * (side == 'two')}",
                    takes if side == "one" else "default",
                    generator=f"generator{few}{kind}",
                    inference=f"inference{few}",
                )
            entries[f"generator{few}{kind}"] = Implementation(
                _maker(Generator, threads, noise), "floor", f"the noise of a step alone, {words}{signs}", takes
            )
        entries[f"inference{few}"] = Implementation(
            _maker(Inference, threads),
            "floor",
            f"two forward passes without noise, {words}",
            "alone" if few else "of any rank",
        )
    return entries


def _maker(kind: Callable[..., Any], *given: Any) -> Callable[[], Competitor]:
    return lambda: kind(*given)


def _peer(
    make: Callable[..., Peer],
    description: str,
    package: str,
    *more: str,
    device: Device = "cpu",
    takes: str = "alone",
    copies: float = 0,
    inference: str | None = None,
) -> Implementation:
    return Implementation(
        lambda: FromPeer(make(device, *more)),
        "peer",
        description,
        takes,
        device,
        package,
        inference=inference,
        noise_copies=copies,
    )


def _passes(make: Callable[..., InferringPeer], package: str) -> Implementation:
    words = f"two forward passes of {package} without noise: one of twice as many datapoints"
    return Implementation(lambda: PeersPasses(make("cpu")), "floor", words, "of any rank", package=package)


def make_numpy(device: Device, noise: Noise = DEFAULT_NOISE) -> Peer:
    """Return the step in NumPy."""
    return ArrayStep(noise)


_JAX = "JAX: jit, vmap, scans over timesteps and steps; its default generator"
_RBG = "the same with JAX's fastest generator"
_TORCH = "PyTorch: batched products, an operation a launch"
_COMPILED = "the same compiled by torch.compile, on a GPU captured in a CUDA graph"
_FUNC = "PyTorch: one datapoint's loss, batched by torch.func.vmap"
_EVOSAX = "evosax: OpenAI-ES, as many members in antithetic pairs; half the normals and passes"
_EVOX = "EvoX: VirtualLoRAES with a datapoint a member and loss differences; Gaussian, drawn twice"
_TENSORFLOW = "TensorFlow, in the original program's form: a session, a graph fed from NumPy"

IMPLEMENTATIONS: Mapping[str, Implementation] = {
    **_own(),
    "numpy-normals": Implementation(
        NumpyNormals, "floor", "as many float32 normals by NumPy's fastest generator, 1 thread", "default"
    ),
    # copies: arrays as large as the noise of a step, rounded up from what test_memory.py measures
    "numpy": _peer(make_numpy, "NumPy: batched products", "numpy", copies=1.5),
    "jax": _peer(make_jax, _JAX, "jax", takes="of any rank", copies=7, inference="jax-inference"),
    "jax-rbg": _peer(make_jax, _RBG, "jax", "rbg", takes="default", copies=7, inference="jax-inference"),
    "torch": _peer(make_torch, _TORCH, "torch", takes="of any rank", copies=2, inference="torch-inference"),
    "torch-func": _peer(make_torch, _FUNC, "torch", "func", copies=3, inference="torch-inference"),
    "torch-compile": _peer(
        make_torch, _COMPILED, "torch", "compile", takes="default", copies=2.5, inference="torch-inference"
    ),
    "evosax": _peer(make_evosax, _EVOSAX, "evosax", copies=4),
    f"numpy-{SIGNS}": _peer(make_numpy, "NumPy: batched products; signs", "numpy", SIGNS, takes="of rank 1"),
    f"jax-{SIGNS}": _peer(
        make_jax, f"{_JAX}; signs", "jax", "threefry2x32", SIGNS, takes="of rank 1", inference="jax-inference"
    ),
    f"torch-{SIGNS}": _peer(
        make_torch, f"{_TORCH}; signs", "torch", "eager", SIGNS, takes="of rank 1", inference="torch-inference"
    ),
    "evox": _peer(make_evox, _EVOX, "evox", takes="of rank 1", inference="torch-inference"),
    "jax-inference": _passes(make_jax, "jax"),
    "torch-inference": _passes(make_torch, "torch"),
    "freewalk-full": Implementation(
        lambda: OfFullRank(Own("cpu", MANY)), "own", "this program with full Gaussian perturbations", "beside rank 1"
    ),
    "evosax-full": Implementation(
        lambda: OfFullRank(FromPeer(make_evosax("cpu"))),
        "peer",
        f"{_EVOSAX}; full perturbations",
        "beside rank 1",
        package="evosax",
        noise_copies=4,
        of_full_rank=True,
    ),
    "tensorflow": _peer(make_tensorflow, _TENSORFLOW, "tensorflow", copies=4),
    "reference": Implementation(_maker(Own, "reference"), "own", _REFERENCE, "default", noise_copies=16),
    "freewalk-alone": Implementation(
        _maker(OfOneSeed, False), "own", "this program, trials of one seed, each drawing its noise", "together"
    ),
    "freewalk-shared": Implementation(
        _maker(OfOneSeed, True), "own", "the same trials in batches that draw it once", "together"
    ),
    "freewalk-cuda": Implementation(_maker(Own, "cuda"), "own", "this program on the GPU", "all", "cuda"),
    "freewalk-cuda-block": Implementation(
        lambda: Own("cuda", always_batch=True), "own", "the same, one trial on one block", "default", "cuda"
    ),
    "jax-cuda": _peer(make_jax, _JAX, "jax", device="cuda", takes="all"),
    "jax-rbg-cuda": _peer(make_jax, _RBG, "jax", "rbg", device="cuda", takes="main"),
    "torch-cuda": _peer(make_torch, _TORCH, "torch", device="cuda", takes="all"),
    "torch-graph-cuda": _peer(
        make_torch, "the same captured in a CUDA graph", "torch", "graph", device="cuda", takes="all"
    ),
    "torch-compile-cuda": _peer(make_torch, _COMPILED, "torch", "compile", device="cuda", takes="main"),
    "torch-func-cuda": _peer(make_torch, _FUNC, "torch", "func", device="cuda", takes="all"),
    "cupy-cuda": _peer(
        make_cupy, "CuPy: batched products by cuBLAS, normals by cuRAND", "cupy", device="cuda", takes="all"
    ),
}


def taking_part(device: Device, workload: Workload) -> list[str]:
    """Return who takes part in a workload, freewalk's own first."""
    return [name for name, entry in IMPLEMENTATIONS.items() if entry.device == device and _TAKES[entry.takes](workload)]
