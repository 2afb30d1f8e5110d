"""Modules of PyTorch: perturbations that run together have the losses that they have one at a time, weights set."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import freewalk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("freewalk.torch")

nn = torch.nn


class First(nn.Module):  # type: ignore[misc]
    """A module's first output, or another."""

    def __init__(self, inner: Any, which: Callable[[Any], Any] = lambda out: out[0]) -> None:
        super().__init__()
        self.inner, self.which = inner, which

    def forward(self, *x: Any) -> Any:
        return self.which(self.inner(*x))


class Cells(nn.Module):  # type: ignore[misc]
    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any) -> Any:
        state = None
        for one in x.unbind(1):
            state = self.cell(one, state)
        return state[0] if isinstance(state, tuple) else state


class Written(nn.Module):  # type: ignore[misc]
    """Every way to write a product, and other uses of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.square, self.table = nn.Parameter(torch.randn(5, 5)), nn.Parameter(torch.randn(10, 5))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Any) -> Any:
        w, t = self.square, self.table
        h = x @ w + x @ w.T + x @ w.t() + x.matmul(w.transpose(0, 1)) + torch.mm(x, w.mT) + (w @ x.T).T
        h = torch.tanh(h) @ t[:5].T @ t[5:] + torch.addmm(x, x, w, beta=0.5, alpha=2.0)
        h = h + torch.stack([torch.mv(w, one) for one in x]) + torch.einsum("ij,bi->bj", w, x)
        h = h + t[torch.tensor([1, 7])].sum(0) + t[2] + (w * w).sum() + w.data.diagonal()
        return self.scale * h / w.size(0) / w.shape[1]


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, crossed: bool = False, **options: Any) -> None:
        super().__init__()
        self.attend, self.enter = nn.MultiheadAttention(8, 2, batch_first=True, **options), nn.Linear(5, 8)
        self.crossed = crossed

    def forward(self, x: Any) -> Any:
        h = self.enter(x)
        other = x if self.attend.kdim == 5 else h.flip(1) if self.crossed else h
        return self.attend(h, other, other)[0]


class Tied(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(10, 6), nn.Linear(6, 10, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x: Any) -> Any:
        return self.out(self.table(x).mean(1))


SEQUENCES, INDICES, VECTORS = (6, 7, 5), (6, 7), (6, 5)
"""Shapes of inputs; whole numbers below 10 in the second."""
MODULES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "GRU of two layers, both ways": (lambda: First(nn.GRU(5, 4, 2, batch_first=True, bidirectional=True)), SEQUENCES),
    "GRU without biases": (lambda: First(nn.GRU(5, 4, bias=False)), SEQUENCES),
    "GRU, last state": (lambda: First(nn.GRU(5, 4, batch_first=True), lambda out: out[1][0]), SEQUENCES),
    "LSTM": (lambda: First(nn.LSTM(5, 4, 2, batch_first=True)), SEQUENCES),
    "LSTM, cells": (lambda: First(nn.LSTM(5, 4, batch_first=True), lambda out: out[1][1][0]), SEQUENCES),
    "RNN": (lambda: First(nn.RNN(5, 4, batch_first=True, nonlinearity="relu")), SEQUENCES),
    "GRUCell": (lambda: Cells(nn.GRUCell(5, 4)), SEQUENCES),
    "LSTMCell": (lambda: Cells(nn.LSTMCell(5, 4)), SEQUENCES),
    "RNNCell": (lambda: Cells(nn.RNNCell(5, 4)), SEQUENCES),
    "written out": (Written, VECTORS),
    "attention": (Attention, SEQUENCES),
    "attention on another": (lambda: Attention(crossed=True), SEQUENCES),
    "attention of other sizes": (lambda: Attention(kdim=5, vdim=5), SEQUENCES),
    "encoder": (lambda: nn.TransformerEncoderLayer(5, 1, 9, 0.0, batch_first=True), SEQUENCES),
    "encoder, not training": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(5, 1, 9, batch_first=True), 2, enable_nested_tensor=False
        ).eval(),
        SEQUENCES,
    ),
    "decoder": (lambda: First(nn.TransformerDecoderLayer(5, 1, 9, 0.0, batch_first=True), lambda o: o), SEQUENCES),
    "tied embedding": (Tied, INDICES),
    "embedding bag": (lambda: nn.EmbeddingBag(10, 4), INDICES),
    "convolution": (
        lambda: nn.Sequential(nn.Conv1d(7, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)),
        SEQUENCES,
    ),
    "transposed convolution": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 7)), nn.ConvTranspose2d(1, 2, 3)),
        SEQUENCES,
    ),
    "norms": (lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3), nn.BatchNorm1d(3), nn.PReLU()), VECTORS),
    "norms, not training": (lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval(), VECTORS),
    "bilinear": (lambda: First(nn.Bilinear(5, 5, 3), lambda out: out), VECTORS),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)), VECTORS),
    "one number a datapoint": (lambda: nn.Sequential(nn.Linear(5, 1), nn.Flatten(0)), VECTORS),
}


def loss(outputs: Any, y: Any) -> Any:
    return ((outputs - 0.3) ** 2).reshape(len(y), -1).sum(1)


def inputs(name: str, shape: tuple[int, ...]) -> Any:
    torch.manual_seed(0)
    x = torch.randint(10, shape) if shape == INDICES else torch.randn(shape, dtype=torch.float64)
    return (x, x) if name in ("bilinear", "decoder") else x


@pytest.mark.parametrize("rank", [None, 1, 3])
@pytest.mark.parametrize("name", MODULES)
def test_together_as_one_at_a_time(name: str, rank: int | None) -> None:
    make, shape = MODULES[name]
    x, y = inputs(name, shape), torch.zeros(6)
    module = make().double()
    buffers = {key: one.clone() for key, one in module.named_buffers()}
    for counts in ({"perturbations": 5}, {"datapoints": 2}):
        together, alone = (
            freewalk.torch.walk(module, loss, stddev=0.05, rank=rank, batched=batched, **counts).estimate(x, y)
            for batched in (True, False)
        )
        size = max(float(one.abs().max()) for one in alone.values())
        for key, one in alone.items():
            assert float((together[key] - one).abs().max()) < 1e-5 * size, key
    assert all(torch.equal(one, buffers[key]) for key, one in module.named_buffers())


class Careless(nn.Module):  # type: ignore[misc]
    """Draws numbers, in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Linear(16, 1))

    def forward(self, x: Any) -> Any:
        return self.layers(x)


@pytest.mark.parametrize("sides", ["one", "two"])
@pytest.mark.parametrize("batched", [True, False])
def test_what_a_module_draws_is_the_same_on_both_sides(sides: Any, batched: bool) -> None:
    """Else differences of losses would be those of masks, and estimates 1 / stddev as long."""
    torch.manual_seed(0)
    module, x = Careless(), torch.randn(32, 5)
    y = torch.zeros(32, 1)
    state = torch.get_rng_state()
    buffers = [one.clone() for one in module.buffers()]
    lengths = {}
    for stddev in (1e-2, 1e-4):
        walk = freewalk.torch.walk(module, nn.functional.mse_loss, stddev=stddev, sides=sides, batched=batched)
        lengths[stddev] = sum(float(one.square().sum()) for one in walk.estimate(x, y).values()) ** 0.5
    assert lengths[1e-4] == pytest.approx(lengths[1e-2], rel=0.3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(buffers, module.buffers(), strict=True))
    assert module.layers[1].training


class Branching(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x: Any) -> Any:
        h = self.layer(x)
        return h if float(h.sum()) > 0 else 2 * h


class Packed(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        lengths = torch.full((len(x),), x.shape[1])
        return self.out(self.layer(nn.utils.rnn.pack_padded_sequence(x[..., None], lengths, True))[1][0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Branching, "failed"),
        (lambda: torch.jit.script(nn.Linear(5, 1)), "gave other losses"),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(5, 1)), "failed"),
        (Packed, "failed"),
    ],
    ids=["branches", "compiled", "writes to a buffer", "packed sequences"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_cannot_run_together_runs_one_at_a_time(make: Any, words: str) -> None:
    torch.manual_seed(0)
    module, x = make(), torch.randn(8, 5)
    y = x.sum(1, keepdim=True)
    walk = freewalk.torch.walk(module, nn.functional.mse_loss, stddev=0.05, learning_rate=0.1)
    with pytest.warns(UserWarning, match=f"together {words}.*one at a time"):
        first = walk.step(x, y)
    assert walk.batched is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert walk.train([(x, y)] * 60).loss < 0.7 * first
    strict = freewalk.torch.walk(make(), nn.functional.mse_loss, stddev=0.05, batched=True)
    with pytest.raises(ValueError, match=f"together {words}"):
        strict.step(x, y)


def test_a_module_that_computes_its_loss_itself_takes_no_y() -> None:
    class Itself(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 1)

        def forward(self, x: Any, target: Any) -> Any:
            return (self.layer(x) - target) ** 2 @ torch.ones(1)

    torch.manual_seed(0)
    x = torch.randn(8, 5)
    for counts in ({"perturbations": 16}, {"datapoints": 2}):
        walk = freewalk.torch.walk(Itself(), lambda out, _: out, stddev=0.05, learning_rate=0.1, batched=True, **counts)
        first = walk.step((x, x[:, :1]))
        for given in ((x, x[:, :1]), {"x": x, "target": x[:, :1]}):
            for _ in range(40):
                last = walk.step(given)
        assert last < first / 4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("batched", [True, False])
def test_steps_are_the_same_wherever_they_are_taken(mode: Any, batched: bool) -> None:
    def trained(module: Any) -> Any:
        torch.manual_seed(0)
        module.reset_parameters()
        walk = freewalk.torch.walk(module, nn.functional.mse_loss, stddev=0.05, batched=batched)
        x = torch.randn(8, 5)
        walk.train([(x, x[:, :2])] * 3)
        return module.weight.detach()

    wanted, module = trained(nn.Linear(5, 2)), nn.Linear(5, 2)
    with mode():
        assert torch.equal(trained(module), wanted)


def _raises(*_: Any) -> Any:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("loss", "x", "y", "words"),
    [
        (_raises, (6, 5), (6,), r"KeyError: 'no such thing' \(test_torch_modules.py, line \d+\)"),
        (lambda out: out, (6, 5), (6,), "takes 1 positional argument"),
        (lambda out, y: 3.0, (6, 5), (6,), "loss must return a tensor, got float"),
        (lambda out, y: out, (6, 5), (6,), r"one for each of 6 datapoints, got shape \(6, 2\)"),
        (lambda out, y: out.mean() * float("nan"), (6, 5), (6,), "the loss is nan with the module's weights"),
        (lambda out, y: out.mean(), (6, 4), (6,), "module or the loss failed: RuntimeError: mat1 and mat2"),
        (lambda out, y: out.mean(), (6, 5), (5,), "as many datapoints, got 6 and 5"),
    ],
)
def test_mistakes_end_in_one_line(loss: Any, x: Any, y: Any, words: str) -> None:
    walk = freewalk.torch.walk(nn.Linear(5, 2), loss, stddev=0.1)
    with pytest.raises(ValueError, match=words) as caught:
        walk.step(torch.randn(x), torch.zeros(y))
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stddev": 0}, "stddev"),
        ({"rank": 0}, "rank"),
        ({"perturbations": 0}, "perturbations"),
        ({"perturbations": 4, "datapoints": 2}, "give perturbations.*or datapoints"),
        ({"noise": "uniform"}, "noise"),
        ({"perturbations": 1, "shaping": "std"}, "at least 2"),
        ({"seed": -1}, "seed"),
        ({"optimizer": "rprop"}, "optimizer"),
    ],
)
def test_options_out_of_range_are_named(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        freewalk.torch.walk(nn.Linear(5, 2), loss, **{"stddev": 0.1, **options})


def test_a_batch_that_cannot_be_dealt_out() -> None:
    walk = freewalk.torch.walk(nn.Linear(5, 2), loss, stddev=0.1, datapoints=4)
    with pytest.raises(ValueError, match="multiple of datapoints"):
        walk.step(torch.randn(6, 5), torch.zeros(6))


@pytest.mark.parametrize("module", [nn.ReLU(), nn.Linear(2, 2).requires_grad_(False)])
def test_a_module_without_parameters(module: Any) -> None:
    with pytest.raises(ValueError, match="no parameters to train"):
        freewalk.torch.walk(module, loss, stddev=0.1)


@pytest.mark.parametrize(("library", "package"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_a_missing_library_is_named_with_the_remedy(library: str, package: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import freewalk.{library}"
    found = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    assert re.search(rf"ImportError: .*{package}: pip install 'freewalk\[{library}\]'$", found.stderr.strip())
    assert found.stderr.count("Traceback") == 1
