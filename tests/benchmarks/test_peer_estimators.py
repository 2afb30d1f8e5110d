"""The estimators of EvoX and evosax: what their mean and their mean square are, and that they are methods like ours."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import estimators
from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan import plugins
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.testing import check_method

SPREAD = 4.5
"""Standard errors by which a mean may miss: by chance one in 150,000, and seeds are fixed."""

needs_evox = pytest.mark.skipif(find_spec("evox") is None, reason="needs evox: pip install evox")
needs_evosax = pytest.mark.skipif(find_spec("evosax") is None, reason="needs evosax: pip install evosax")
BY_NAME = {one.name: one for one in estimators.METHODS}
EACH = [
    pytest.param("evox-virtual-es", marks=needs_evox),
    pytest.param("evox-virtual-lora-es", marks=needs_evox),
    pytest.param("evosax-open-es", marks=needs_evosax),
]
CASES = [
    pytest.param("evox-virtual-es", {}, marks=needs_evox, id="VirtualES"),
    *(
        pytest.param("evox-virtual-lora-es", {"lora_rank": rank}, marks=needs_evox, id=f"VirtualLoRAES, rank {rank}")
        for rank in (1, 2, 4)
    ),
    pytest.param("evosax-open-es", {}, marks=needs_evosax, id="Open_ES"),
]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with plugins.lent(estimators.METHODS):
        yield


def start(name: str, *, seed: int = 0, **parameters: Any) -> Any:
    cell = {"batch_size": 64, "hidden": 8, "timesteps": 4, "learning_rate": 1.0, **parameters}
    problem = resolve_problem("xor", name, fill(name, cell, {}))
    return problem.start(resolve_backend("cpu"), seed=seed, evaluation_points=4)


@dataclass(frozen=True)
class Measured:
    """What steps from the same weights on the same datapoints were, in lengths of the gradient."""

    slope: float
    """Mean of the estimates along the gradient."""
    error: float
    """Of the slope, its standard error."""
    square: float
    """Mean square of the estimates."""
    paired: float
    """What the mean square should be of estimates from loss differences."""
    alone: float
    """What the loss itself should add to that where there is neither pair nor baseline."""


def measured(name: str, n: int, *, off: float | None = None, **parameters: Any) -> Measured:
    """Take n steps on xor; with `off`, targets lie so far from the outputs, so that losses hide the gradient less."""
    trainer = start(name, **parameters)
    network, first, own = trainer.network, trainer.weights, trainer.start.parameters
    x, y = trainer.batch()
    if off is not None:
        y = (reference.forward(network, first, x, 4) + off).astype(np.float32)
    trainer.batch = lambda: (x, y)
    loss, gradient = loss_gradient(network, first, x, y, 4)
    length = float((gradient**2).sum())
    found = np.empty((n, *gradient.shape))
    for k in range(n):
        trainer.train(1)
        found[k] = first - trainer.values
        trainer.values = first.copy()
    slopes = (found * gradient).sum(axis=(1, 2)) / length
    m, p, rows, columns = own.members, network.n_weights, *first.shape
    r = getattr(own, "lora_rank", 1)
    paired = {
        "evox-virtual-es": (m + p + 1) / m,
        "evox-virtual-lora-es": ((m - 1) * r**2 + r * (rows + 2) * (columns + 2) + r * (r - 1) * (p + 2)) / m,
        "evosax-open-es": (m / 2 + p + 1) / (m / 2),
    }
    return Measured(
        slope=float(slopes.mean()),
        error=float(slopes.std() / np.sqrt(n)),
        square=float((found**2).sum(axis=(1, 2)).mean() / length),
        paired=paired[name],
        alone=r * p * loss**2 / (m * own.stddev**2 * length),
    )


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_the_mean_is_the_gradient_and_of_low_rank_the_rank_times_it(name: str, parameters: dict[str, int]) -> None:
    """Measured, 700 to 1,000 steps of 2,048 members: 0.999 ± 0.002; 0.996 ± 0.003, 1.992 ± 0.006 and 3.972 ± 0.011 of

    rank 1, 2 and 4; Open_ES over 4,000 steps of 64 members 1.000 ± 0.004.
    """
    found = measured(name, 150, off=0.02, members=256, **parameters)
    rank = parameters.get("lora_rank", 1)
    assert found.error < 0.04 * rank
    assert abs(found.slope - rank) < SPREAD * found.error


@pytest.mark.parametrize(("name", "parameters"), CASES[:-1])
def test_without_a_baseline_the_loss_itself_is_most_of_the_mean_square(name: str, parameters: dict[str, int]) -> None:
    found = measured(name, 150, members=64, **parameters)
    assert found.alone > 50_000 * found.paired
    assert found.square == pytest.approx(found.paired + found.alone, rel=0.1)


@pytest.mark.parametrize(("name", "parameters"), CASES[:-1])
def test_a_baseline_is_all_that_they_lack(
    name: str, parameters: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own step, told what losses exceed that of the centre by."""
    plain = estimators.members_losses
    centre = start("evox-virtual-es").weights.astype(np.float32)[None]

    def lowered(torch: Any, sigmoid: Any, network: Any, timesteps: int, weights: Any, *data: Any) -> Any:
        both = plain(torch, sigmoid, network, timesteps, torch.concatenate([torch.from_numpy(centre), weights]), *data)
        return both[1:] - both[0]

    monkeypatch.setattr(estimators, "members_losses", lowered)
    found = measured(name, 150, members=256, **parameters)
    rank = parameters.get("lora_rank", 1)
    assert found.square == pytest.approx(found.paired, rel=0.1)
    assert found.error < 0.02 * rank
    assert abs(found.slope - rank) < SPREAD * found.error


@needs_evosax
@pytest.mark.parametrize("off", [None, 0.02], ids=["loss 0.25", "loss 0.0004"])
def test_mirrored_pairs_need_no_baseline(off: float | None) -> None:
    found = measured("evosax-open-es", 2000, off=off)
    assert found.square == pytest.approx(found.paired, rel=0.1)
    assert abs(found.slope - 1) < SPREAD * found.error < 0.1


@needs_evosax
def test_shaped_losses_keep_the_way_and_lose_the_length() -> None:
    lengths = {shaping: measured("evosax-open-es", 300, shaping=shaping) for shaping in ("none", "std", "ranks")}
    assert all(one.slope > 10 * one.error for one in lengths.values())
    assert lengths["std"].slope > lengths["ranks"].slope > 10 * lengths["none"].slope


@pytest.mark.parametrize("name", EACH)
def test_it_is_a_method_like_others(name: str) -> None:
    check_method(BY_NAME[name])
    trainer = start(name, members=6, batch_size=5)
    trainer.train(3)
    assert trainer.evaluations == 3 * 30
    assert estimators._evaluations(trainer.start.parameters, 5, 108) == 30


@pytest.mark.parametrize("name", EACH)
def test_trials_in_threads_have_the_bits_of_trials_alone(name: str) -> None:
    def trained(seed: int) -> Any:
        trainer = start(name, seed=seed, members=4, batch_size=4)
        trainer.train(20)
        return trainer.weights

    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: trained(k)})) for k in range(2)]  # type: ignore[misc]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for k in range(2):
        np.testing.assert_array_equal(found[k], trained(k))
    assert not np.array_equal(found[0], found[1])


class _Watched:
    """A lock that notices draws from PyTorch's generator by those who do not hold it."""

    def __init__(self, generator: Any) -> None:
        self.generator, self.drawn_without = generator, 0
        self.left = generator.get_state()

    def __enter__(self) -> None:
        self.drawn_without += not self.left.equal(self.generator.get_state())

    def __exit__(self, *raised: object) -> None:
        self.left = self.generator.get_state()


@needs_evox
@pytest.mark.parametrize("name", ["evox-virtual-es", "evox-virtual-lora-es"])
def test_nothing_is_drawn_from_the_one_generator_beside_its_lock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = _Watched(pytest.importorskip("torch").default_generator)
    monkeypatch.setattr(estimators, "_TORCH", watched)
    for seed in range(3):
        start(name, seed=seed, members=4, batch_size=4).train(2)
    assert watched.drawn_without == 0


@needs_evox
def test_noise_is_what_evox_s_own_layer_adds_and_members_are_no_pairs() -> None:
    torch = pytest.importorskip("torch")
    from evox.triton_kernels import virtual_perturbed_linear  # type: ignore[import-not-found, unused-ignore]

    rows, columns = 5, 3
    seeds = torch.randint(0, 2**31, (40,))
    _, noise = estimators.VirtualEs._strategy(_Shaped((rows, columns)), _options(torch, rows, columns))  # type: ignore[arg-type]
    added = virtual_perturbed_linear(torch.eye(columns), torch.zeros(rows, columns), None, seeds, 1.0, 0)
    found = noise(seeds)
    assert torch.equal(found, added.mT)
    distances = (found[:, None] + found[None]).square().sum(dim=(2, 3))
    assert distances.min() > 0.1


class _Shaped:
    def __init__(self, shape: tuple[int, int]) -> None:
        self.values = np.zeros(shape)


def _options(torch: Any, rows: int, columns: int) -> dict[str, Any]:
    return {
        "param_shapes": [(rows, columns)],
        "pop_size": 40,
        "center_init": torch.zeros(rows * columns),
        "learning_rate": 1.0,
        "noise_stdev": 1.0,
    }


@pytest.mark.parametrize(
    "module", [pytest.param("torch", marks=needs_evox), pytest.param("jax.numpy", marks=needs_evosax)]
)
@pytest.mark.parametrize("is_sequence", [False, True])
def test_losses_are_the_reference_s(module: str, is_sequence: bool) -> None:
    library = pytest.importorskip(module)
    to = library.from_numpy if module == "torch" else library.asarray
    sigmoid = library.sigmoid if module == "torch" else pytest.importorskip("jax").nn.sigmoid
    network, random = FreeNetwork(3, 2, 4, sequence_input=is_sequence), np.random.default_rng(0)
    weights = random.standard_normal((5, network.n_from, network.n_to), dtype=np.float32)
    x = random.standard_normal((7, 6, 3) if is_sequence else (7, 3), dtype=np.float32)
    y = random.random((7, 2), dtype=np.float32)
    y[2, 1] = np.nan
    found = estimators.members_losses(library, sigmoid, network, 6, *map(to, (weights, x, y)))
    outputs = [reference.forward(network, w.astype(np.float64), x, 6) for w in weights]
    np.testing.assert_allclose(found, [reference.losses(network, o, y).mean() for o in outputs], rtol=1e-5)


@pytest.mark.parametrize(("name", "package"), [("evox-virtual-es", "evox"), ("evosax-open-es", "evosax")])
def test_a_library_that_is_not_here_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "evox", "jax", "evosax"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"^this method needs {package}, .*; install it with: pip install {package}$"):
        start(name)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("evox-virtual-es", {"architecture": "2-3-1"}, "learns free networks only"),
        ("evosax-open-es", {"activation": "tanh", "leak": 0.5}, "that are not sigmoid and neurons that leak"),
        ("evox-virtual-lora-es", {"output": "linear"}, "not outputs that are not sigmoid"),
        ("evosax-open-es", {"members": 7}, "give members=8"),
    ],
)
def test_what_is_not_written_here_is_refused(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, ValueError), match=words):
        start(name, **parameters)


def test_it_loads_as_a_plug_in_that_knows_nothing_of_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(estimators.__file__)
    assert "from benchmarks" not in file.read_text()
    monkeypatch.setattr(plugins, "_register", lambda found, *_: ((), tuple(one.name for one in found)))
    assert plugins._load(plugins.Plugin.of(str(file))).methods == tuple(BY_NAME)
