"""The walk on a PyTorch module: its estimates are those of the reference, and its steps those of any optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import freewalk
from freewalk import check_estimator
from freewalk.harness.frameworks.population import blocks_of_arrays
from freewalk.kernels.model.directions import unit_directions
from freewalk.kernels.reference.reference import shaped

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("freewalk.torch")

STDDEV = 0.02
functional = torch.nn.functional


def model(seed: int = 0, dtype: Any = torch.float64) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).to(dtype)


def data(n: int = 12, dtype: Any = torch.float64) -> tuple[Any, Any]:
    torch.manual_seed(1)
    return torch.randn(n, 3, dtype=dtype), torch.randn(n, 2, dtype=dtype)


def reference_estimate(module: Any, x: Any, y: Any, k: int, each: int | None, step: int = 0, **kind: Any) -> Any:
    """Return the estimate as it is written, from the reference's perturbations and the module run plainly."""
    sides, shaping = kind.pop("sides"), kind.pop("shaping")
    parameters = dict(module.named_parameters())
    blocks = blocks_of_arrays([tuple(one.shape) for one in parameters.values()])
    shape = tuple(sum(sizes) for sizes in zip(*(block.shape for block in blocks), strict=True))
    units = unit_directions(blocks, shape, step=step, indices=np.arange(k), **kind)
    own = [
        {
            name: torch.tensor(unit[np.ix_(*block)].reshape(parameter.shape))
            for (name, parameter), block in zip(parameters.items(), blocks, strict=True)
        }
        for unit in units
    ]

    def loss(k: int, side: float) -> float:
        rows = slice(None) if each is None else slice(k * each, (k + 1) * each)
        moved = {name: parameter + side * STDDEV * own[k][name] for name, parameter in parameters.items()}
        return float(functional.mse_loss(torch.func.functional_call(module, moved, x[rows]), y[rows]))

    plus, other = (np.array([loss(i, side) for i in range(k)]) for side in (1, -1 if sides == "two" else 0))
    by = shaped(plus, other, STDDEV, sides, each is None, shaping) / STDDEV / k
    return {name: sum(b * one[name] for b, one in zip(by, own, strict=True)) for name in parameters}


def assert_alike(found: Any, wanted: Any, rel: float = 1e-4) -> None:
    assert found.keys() == wanted.keys()
    size = max(float(one.detach().abs().max()) for one in wanted.values())
    for name, one in wanted.items():
        assert float((found[name] - one).detach().abs().max()) < rel * size, name


@pytest.mark.parametrize("directions", ["independent", "orthogonal"])
@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("rank", [None, 1, 4])
@pytest.mark.parametrize(
    ("each", "sides", "shaping"), [(None, "two", "none"), (3, "one", "none"), (None, "one", "ranks")]
)
def test_the_estimate_is_the_one_that_is_written(
    rank: int | None, noise: Any, directions: Any, each: int | None, sides: Any, shaping: Any
) -> None:
    module, (x, y) = model(), data()
    kind = {"rank": rank, "noise": noise, "directions": directions, "sides": sides, "shaping": shaping, "seed": 7}
    k = 4 if each else 6
    counts: dict[str, Any] = {"datapoints": each} if each else {"perturbations": k}
    walk = freewalk.torch.walk(module, functional.mse_loss, stddev=STDDEV, batched=True, **kind, **counts)
    with torch.no_grad():
        walk.step(x, y)
        wanted = reference_estimate(module, x, y, k, each, step=1, **kind)
    assert_alike(walk.estimate(x, y), wanted)


@pytest.mark.parametrize("shaping", ["none", "std", "ranks"])
@pytest.mark.parametrize("rank", [None, 2])
def test_how_many_run_at_once_changes_nothing(rank: int | None, shaping: Any) -> None:
    x, y = data()
    found = [
        freewalk.torch.walk(
            model(),
            functional.mse_loss,
            stddev=STDDEV,
            rank=rank,
            perturbations=37,
            shaping=shaping,
            at_once=n,
        ).estimate(x, y)
        for n in (1, 16, 100)
    ]
    assert_alike(found[0], found[2], 1e-9)
    assert_alike(found[1], found[2], 1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_step_is_that_of_an_optimizer_of_pytorch_on_backward(optimizer: Any) -> None:
    one, other = model(), model()
    x, y = data()
    how: dict[str, Any] = {"stddev": STDDEV, "perturbations": 8, "seed": 3}
    walk = freewalk.torch.walk(one, functional.mse_loss, optimizer=optimizer, learning_rate=0.05, **how)
    beside = freewalk.torch.walk(other, functional.mse_loss, **how)
    theirs = {
        "sgd": lambda p: torch.optim.SGD(p, 0.05),
        "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, 0.05),
    }[optimizer](other.parameters())
    for _ in range(4):
        theirs.zero_grad()
        loss = beside.backward(x, y)
        theirs.step()
        assert walk.step(x, y) == pytest.approx(loss, rel=1e-9)
    assert_alike(dict(one.named_parameters()), dict(other.named_parameters()), 1e-9)


def test_backward_adds_to_gradients_as_pytorch_does() -> None:
    module, (x, y) = model(), data()
    walk = freewalk.torch.walk(module, functional.mse_loss, stddev=STDDEV, perturbations=4)
    first = walk.estimate(x, y)
    walk.backward(x, y)
    second = walk.estimate(x, y)
    walk.backward(x, y)
    assert_alike({n: p.grad for n, p in module.named_parameters()}, {n: first[n] + second[n] for n in first}, 1e-9)
    assert float((first["0.weight"] - second["0.weight"]).abs().max()) > 0


def test_it_goes_on_to_the_same_bits(tmp_path: Any) -> None:
    x, y = data(dtype=torch.float32)
    module = model(dtype=torch.float32)
    how: dict[str, Any] = {"stddev": STDDEV, "perturbations": 8, "schedule": "cosine", "schedule_steps": 10}
    walk = freewalk.torch.walk(module, functional.mse_loss, **how)
    walk.train([(x, y)] * 3)
    torch.save((module.state_dict(), walk.state_dict()), tmp_path / "state.pt")
    walk.train([(x, y)] * 3)
    again = model(5, torch.float32)
    weights, state = torch.load(tmp_path / "state.pt")
    again.load_state_dict(weights)
    resumed = freewalk.torch.walk(again, functional.mse_loss, **how)
    resumed.load_state_dict(state)
    assert resumed.train([(x, y)] * 9, steps=3).steps == 3
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
    assert state["steps"] == 3, "a state is a copy"
    for wrong, words in (
        ({**state, "seed": 9}, "seed 9"),
        ({"steps": 1}, "must hold"),
        ({**state, "moments": {}}, "another optimizer"),
    ):
        with pytest.raises(ValueError, match=words):
            resumed.load_state_dict(wrong)


def test_frozen_parameters_stay_and_tied_ones_count_once() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    module[0].bias.requires_grad_(False)
    before = {name: one.detach().clone() for name, one in module.state_dict().items()}
    walk = freewalk.torch.walk(module, lambda out, y: (out - y) ** 2 @ torch.ones(3), stddev=STDDEV)
    walk.step(torch.randn(4, 3), torch.zeros(4, 3))
    assert set(walk.estimate(torch.randn(4, 3), torch.zeros(4, 3))) == {"0.weight", "1.bias"}
    moved = {name for name, one in module.state_dict().items() if not torch.equal(one, before[name])}
    assert moved == {"0.weight", "1.weight", "1.bias"}
    assert module[0].weight is module[1].weight


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_types_stay_what_they_are(dtype: Any) -> None:
    module = torch.nn.Linear(3, 1).to(dtype)
    walk = freewalk.torch.walk(module, functional.mse_loss, stddev=0.1, optimizer="sgd", learning_rate=0.1)
    x = torch.randn(64, 3, dtype=dtype)
    y = x.sum(1, keepdim=True)
    first, *_, last = (walk.step(x, y) for _ in range(60))
    assert last < first / 4
    assert {one.dtype for one in module.parameters()} == {dtype}


def test_a_loss_out_of_range_moves_nothing() -> None:
    module, (x, y) = model(), data()
    walk = freewalk.torch.walk(module, functional.mse_loss, stddev=STDDEV)
    walk.step(x, y)
    before = [one.detach().clone() for one in module.parameters()]
    progress = walk.train([(x * float("nan"), y), (x, y)])
    assert progress.steps == 1
    assert np.isnan(progress.loss)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


class _Weights(torch.nn.Module):  # type: ignore[misc]
    """A module whose output is its weights."""

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.own = torch.nn.ParameterDict({name: torch.nn.Parameter(one.clone()) for name, one in weights.items()})

    def forward(self, x: Any) -> Any:
        return {name: 1 * one for name, one in self.own.items()}


@pytest.mark.parametrize("rank", [None, 1, 3])
@pytest.mark.parametrize("sides", ["one", "two"])
def test_it_passes_the_check_of_estimators(rank: int | None, sides: Any) -> None:
    def estimator(loss: Any, weights: Any, seed: int) -> Any:
        walk = freewalk.torch.walk(
            _Weights(weights),
            lambda outputs, _: loss(outputs),
            stddev=0.01,
            rank=rank,
            sides=sides,
            perturbations=8,
            seed=seed,
            batched=True,
        )
        walk._batched = True  # without the evaluations that only look whether it can run
        found = walk.estimate(torch.zeros(1), torch.zeros(1))
        return {name: found[f"own.{name}"] for name in weights}

    weights = {name: torch.ones(*shape, dtype=torch.float64) for name, shape in (("w", (6, 5)), ("b", (5,)))}
    report = check_estimator(estimator, weights, stddev=0.01, perturbations=8, sides=sides, rank=rank, calls=200)
    assert report.passed, str(report)
    assert (report.observed.perturbations, report.observed.sides) == (8, sides)


def test_low_rank_forms_nothing_of_perturbations_times_weights() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor):
                largest = max(largest, found.numel())
            return found

    k, n = 32, 64
    module = torch.nn.Sequential(torch.nn.Linear(n, n), torch.nn.ReLU(), torch.nn.Linear(n, n))
    x = torch.randn(4, n)
    sizes = {}
    for rank in (1, None):
        walk = freewalk.torch.walk(module, functional.mse_loss, stddev=STDDEV, rank=rank, perturbations=k)
        walk.step(x, x)
        largest = 0
        with Watch():
            walk.step(x, x)
        sizes[rank] = largest
    assert sizes[None] >= k * n * n
    assert sizes[1] <= max(k * 4 * n, n * n)
