"""The step in PyTorch: batched products over datapoints, all noise of a step at once.

Three ways to run it: as written (each operation a launch), captured in a CUDA graph, or compiled by torch.compile and
then captured. A fourth writes one datapoint's loss and lets torch.func.vmap make the batch. float32 products stay
float32: PyTorch's own default.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from benchmarks.peers.peer import Device, Unavailable, optional_import
from freewalk.harness.bench import LEARNING_RATE, MOMENTUM, Single, Steps, Workload, wall_seconds
from freewalk.kernels.model.noise import DEFAULT_NOISE, Noise

Way = Literal["eager", "graph", "compile", "func"]
_WARM_STEPS = 3


def losses_of(torch: Any, timesteps: int, weights: Any, x: Any, y: Any, *noise: Any) -> Any:
    """Return the (N, 1, B) losses without perturbation, or with noise (N, 2, B): those beside the perturbed ones.

    noise: perturbations (N, B, n_from, n_to), or of rank 1 their vectors (N, B, n_from) and (N, B, n_to). Both passes
    share a product with W.
    """
    n_trials, batch_size = x.shape[:2]
    n_from, n_to = weights.shape[1:]
    passes = 2 if noise else 1
    a = x.new_zeros((n_trials, passes, batch_size, n_to))
    bias = x.new_ones((n_trials, passes, batch_size, 1))
    for t in range(timesteps):
        fed = x[:, None, :, t].expand(n_trials, passes, batch_size, x.shape[-1])
        inputs = torch.cat([fed, bias, a], dim=-1)
        z = torch.bmm(inputs.reshape(n_trials, passes * batch_size, n_from), weights)
        z = z.view(n_trials, passes, batch_size, n_to)
        if len(noise) == 1:
            plain, perturbed = z.unbind(1)
            perturbed = torch.baddbmm(
                perturbed.reshape(-1, 1, n_to), inputs[:, 1].reshape(-1, 1, n_from), noise[0].view(-1, n_from, n_to)
            )
            z = torch.stack([plain, perturbed.view(n_trials, batch_size, n_to)], dim=1)
        elif noise:
            z[:, 1].addcmul_((inputs[:, 1] * noise[0]).sum(-1, keepdim=True), noise[1])
        a = torch.sigmoid(z)
    return ((a[..., : y.shape[-1]] - y[:, None]) ** 2).sum(-1)


def _lowered(torch: Any, *given: Any) -> Any:
    """Return the (N, B) losses without perturbation less those with it."""
    losses = losses_of(torch, *given)
    return losses[:, 0] - losses[:, 1]


def _lowered_one_by_one(torch: Any, timesteps: int, weights: Any, x: Any, y: Any, noise: Any) -> Any:
    """Return what `_lowered` returns, from the loss of one datapoint, vmapped over datapoints and trials."""

    def loss(w: Any, x: Any, y: Any) -> Any:
        a = x.new_zeros(w.shape[-1])
        for t in range(timesteps):
            a = torch.sigmoid(torch.cat([x[t], x.new_ones(1), a]) @ w)
        return ((a[: y.shape[-1]] - y) ** 2).sum()

    def lowered(w: Any, x: Any, y: Any, d: Any) -> Any:
        return loss(w, x, y) - loss(w + d, x, y)

    vmap = torch.func.vmap
    return vmap(vmap(lowered, in_dims=(None, 0, 0, 0)))(weights, x, y, noise)


def _update(
    torch: Any, timesteps: int, weights: Any, x: Any, y: Any, *noise: Any, lowered: Callable[..., Any] = _lowered
) -> Any:
    """Return what is added to the weights."""
    n_trials, batch_size = x.shape[:2]
    by = lowered(torch, timesteps, weights, x, y, *noise)
    if len(noise) == 1:
        product = torch.bmm(by[:, None], noise[0].view(n_trials, batch_size, -1))
    else:
        product = torch.bmm((by[..., None] * noise[0]).mT, noise[1])
    return product.view(weights.shape) / batch_size


def _update_one_by_one(torch: Any, *given: Any) -> Any:
    return _update(torch, *given, lowered=_lowered_one_by_one)


def data(torch: Any, timesteps: int, batch: tuple[int, int], device: Any) -> tuple[Any, Any]:
    """Return x and y of a batch, (n_trials, B)."""
    first = torch.rand((*batch, 1, 3), device=device) * 2 - 1
    x = first + torch.arange(timesteps, device=device)[:, None]
    return x, torch.sigmoid(first[:, :, 0, :1] + first[:, :, 0, 1:])


def _own_step(torch: Any, workload: Workload, kind: Noise, weights: Any, update: Callable[..., Any] = _update) -> Any:
    """Return what a step with PyTorch's own random numbers adds to the weights."""
    batch = (len(weights), workload.batch_size)
    x, y = data(torch, workload.timesteps, batch, weights.device)

    def draw(stddev: float, shape: tuple[int, ...]) -> Any:
        if kind == "gaussian":
            return torch.randn((*batch, *shape), device=weights.device).mul_(stddev)
        bits = torch.randint(2, (*batch, *shape), dtype=torch.float32, device=weights.device)
        return bits.mul_(2 * stddev).sub_(stddev)

    noise = [draw(*one) for one in workload.noise_shapes]
    return update(torch, workload.timesteps, weights, x, y, *noise)


def _own_step_one_by_one(torch: Any, workload: Workload, kind: Noise, weights: Any) -> Any:
    return _own_step(torch, workload, kind, weights, update=_update_one_by_one)


class TorchPeer:
    """The step in PyTorch, run in one of four ways."""

    def __init__(self, torch: Any, device: Device, way: Way, noise: Noise) -> None:
        self._torch = torch
        self._device = device
        self._way = way
        self._noise = noise

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""
        torch = self._torch
        function = _update_one_by_one if self._way == "func" else _update
        function = _compiled(torch, _update) if self._way == "compile" else function
        with torch.no_grad():
            w, x_, y_, first, *more = (torch.tensor(array, device=self._device) for array in (weights, x, y, *noise))
            update = function(torch, workload.timesteps, w, x_, y_, first * workload.stddev, *more)
        result: Single = update.cpu().numpy()
        return result

    def losses(self, workload: Workload, weights: Single, x: Single, y: Single) -> Single:
        """Return the (N, B) losses without perturbation."""
        torch = self._torch
        with torch.no_grad():
            given = (torch.tensor(array, device=self._device) for array in (weights, x, y))
            result: Single = losses_of(torch, workload.timesteps, *given)[:, 0].cpu().numpy()
        return result

    def infer(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return a loop over plain passes of twice as many datapoints, in place of steps."""
        torch = self._torch
        torch.manual_seed(seed)
        w = torch.tensor(weights, device=self._device)
        losses = w

        def take(n_steps: int) -> None:
            nonlocal losses
            with torch.no_grad():
                for _ in range(n_steps):
                    batch = (len(w), 2 * workload.batch_size)
                    x, y = data(torch, workload.timesteps, batch, self._device)
                    losses = losses_of(torch, workload.timesteps, w, x, y)

        return Steps(take, lambda: losses.cpu().numpy(), partial(_seconds, torch) if w.is_cuda else wall_seconds)

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed."""
        torch = self._torch
        torch.manual_seed(seed)
        w = torch.tensor(weights, device=self._device)
        compute = _own_step_one_by_one if self._way == "func" else _own_step
        compute = _compiled(torch, _own_step) if self._way == "compile" else compute
        optimizer = torch.optim.SGD([w], lr=LEARNING_RATE, momentum=MOMENTUM)

        def step() -> None:
            nonlocal w
            update = compute(torch, workload, self._noise, w)
            if workload.update == "raw":
                w += update
            else:
                w.grad = update / -(workload.stddev**2)
                optimizer.step()

        with torch.no_grad():
            once = _captured(torch, step) if self._device == "cuda" and self._way in ("graph", "compile") else step

        def take(n_steps: int) -> None:
            with torch.no_grad():
                for _ in range(n_steps):
                    once()

        free = torch.cuda.empty_cache if w.is_cuda else None
        return Steps(take, lambda: w.cpu().numpy(), partial(_seconds, torch) if w.is_cuda else wall_seconds, close=free)


def _compiled(torch: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one set of shapes; forgotten are those before, of which only a few may be alive at once."""
    torch.compiler.reset()
    compiled: Callable[..., Any] = torch.compile(function, dynamic=False)
    return compiled


def _captured(torch: Any, step: Callable[[], None]) -> Callable[[], None]:
    """Capture a step in a CUDA graph; return what replays it."""
    side = torch.cuda.Stream()  # a capture needs a stream of its own, and memory that is warm
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def _seconds(torch: Any, work: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def make_torch(device: Device, way: Way = "eager", noise: Noise = DEFAULT_NOISE) -> TorchPeer:
    """Return the step in PyTorch."""
    torch = optional_import("torch")
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("this PyTorch sees no GPU")
    if device == "cpu" and way == "graph":
        raise Unavailable("CUDA graphs are for GPUs")
    return TorchPeer(torch, device, way, noise)
