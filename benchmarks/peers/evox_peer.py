"""EvoX's VirtualLoRAES on the same network: members of rank 1, drawn from seeds wherever they are needed.

What EvoX 1.4.0 does (virtual_lora_es.py in evox/algorithms/so/es_variants, lora_noise.py in evox/triton_kernels):
every step draws a seed for each member k of K, from which Philox makes normals B_k (n, r) and A_k (r, m) for a weight
W (n, m). With F_k the fitness at W + sigma B_k A_k, W moves by -learning_rate / (K sigma) sum_k F_k B_k A_k, or by Adam
along that. Nothing divides by sqrt(r), so a perturbation grows with its rank; there are no antithetic pairs, no
baseline and no ranks: where fitness is the loss, the estimate has the variance of losses, not that of their
differences. `evox.algorithms.VirtualLoRAES` of this release is another name of VirtualES, whose noise is full; the
class meant here has to be imported from its module.

Fitness is the user's to define. Here every member has a datapoint of its own and F = L(W + D) - L(W), which at the
learning rate sigma² makes it the walk's raw step with Gaussian perturbations of rank 1. Its own problem class for
perturbations of low rank knows layered networks alone; like that one, this one draws the factors a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.peers.peer import Device, Unavailable, optional_import
from benchmarks.peers.torch_peer import data, losses_of
from freewalk.harness.bench import Single, Steps, Workload


class EvoxPeer:
    """VirtualLoRAES with the walk's fitness; one trial."""

    largest_error = 5e-3
    """What is added to float32 weights is taken from them again: 1e-3 is lost."""

    def __init__(self, torch: Any, evox: Any, module: Any) -> None:
        self._torch, self._evox, self._module = torch, evox, module

    def _workflow(self, workload: Workload, weights: Single, batch: Callable[[], tuple[Any, Any]]) -> Any:
        torch, module, shape = self._torch, self._module, weights.shape

        class Lowered(self._evox.core.Problem):  # type: ignore[name-defined, misc]
            def evaluate(self, payload: tuple[Any, Any, float]) -> Any:
                center, seeds, sigma = payload
                b, a = module.generate_lora_factors(seeds, shape, 1, 0)
                noise = sigma * a[None, :, :, 0], b[None, :, 0]
                losses = losses_of(torch, workload.timesteps, center.view(1, *shape), *batch(), *noise)[0]
                return losses[1] - losses[0]

        algorithm = module.VirtualLoRAES(
            param_shapes=[shape],
            lora_rank=1,
            pop_size=workload.batch_size,
            center_init=torch.tensor(weights).reshape(-1),
            learning_rate=workload.stddev**2,
            noise_stdev=workload.stddev,
        )
        return self._evox.workflows.StdWorkflow(algorithm, Lowered())

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step with given factors, in the place of those drawn, adds to the weights."""
        torch, updates = self._torch, []
        for w, *given in zip(weights, x, y, *noise, strict=True):
            x_k, y_k, a, b = map(torch.tensor, given)
            factors = b[:, None], a[:, :, None]
            workflow = self._workflow(workload, w, lambda x=x_k, y=y_k: (x[None], y[None]))  # type: ignore[misc]
            with mock.patch.object(self._module, "generate_lora_factors", lambda *_, found=factors: found):
                workflow.step()
            updates.append(workflow.algorithm.center.numpy().reshape(w.shape) - w)
        return np.stack(updates)

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed."""
        if len(weights) != 1:
            raise Unavailable("one trial at a time")
        if workload.update != "raw":
            raise Unavailable("it has no momentum")
        torch = self._torch
        torch.manual_seed(seed)
        batch = (1, workload.batch_size)
        workflow = self._workflow(workload, weights[0], lambda: data(torch, workload.timesteps, batch, "cpu"))

        def take(n_steps: int) -> None:
            for _ in range(n_steps):
                workflow.step()

        return Steps(take, lambda: workflow.algorithm.center.numpy().reshape(weights.shape))


def make_evox(device: Device) -> EvoxPeer:
    """Return VirtualLoRAES of EvoX."""
    if device != "cpu":
        raise Unavailable("timed on the processor alone")
    module = optional_import("evox.algorithms.so.es_variants.virtual_lora_es")
    optional_import("evox.workflows")
    return EvoxPeer(optional_import("torch"), optional_import("evox"), module)
