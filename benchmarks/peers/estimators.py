"""Gradient estimators of EvoX and evosax as methods, so that they stand in one table with freewalk's.

harness estimate --plugin benchmarks/peers/estimators.py --method evox-virtual-es --method evosax-open-es ...

Each library draws its own noise and makes its own update, by plain gradient descent; what it is told is the mean loss
of the step's datapoints under each member's weights W + sigma Z_k, of which there are K. The whole weight matrix is
one block, its row of biases included. What they take for the gradient, by their sources (EvoX 1.4.0, evosax 0.3.2):

    evox-virtual-es         1 / (K sigma) sum_k L_k Z_k, Z_k normal: neither pairs nor a baseline
    evox-virtual-lora-es    the same with Z_k = B_k A_k, whose entries have variance r: nothing divides by sqrt(r)
    evosax-open-es          the same with Z_{K/2 + k} = -Z_k: a sum of loss differences, which needs no baseline

So the mean is the gradient g, r g and g, but for terms of the order of sigma squared. With P weights, (n, m) of them,
the estimate's mean square is that of differences from the loss L of the centre, and without pairs a term of L besides:

    evox-virtual-es         |g|^2 (K + P + 1) / K + P L^2 / (K sigma^2)
    evox-virtual-lora-es    |g|^2 ((K - 1) r^2 + r (n + 2) (m + 2) + r (r - 1) (P + 2)) / K + r P L^2 / (K sigma^2)
    evosax-open-es          |g|^2 (K / 2 + P + 1) / (K / 2)

A plug-in is read without its folder's package, so nothing of `benchmarks` is imported here.
"""

from __future__ import annotations

import importlib
import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import Networks
from freewalk.methods import ArrayTrainer, FreeNetwork, OwnMethod, Start

Single = NDArray[np.float32]
Shaping = Literal["none", "std", "ranks"]

RATE = 2.0**10
"""The libraries' own learning rate. A centre in float32 is rounded by up to 6e-8 of its largest weight, which is 6e-11
once it is divided by the rate, a power of two; what is left is the rounding of the estimate itself, 6e-8 of it."""

_TORCH = threading.Lock()
"""EvoX draws its seeds from PyTorch's one generator, which trials in other threads would draw from as well."""


# `population` and `rank` would be the names, but for methods of one's own those take no words such as `auto`.
class PeerParameters(BaseModel):
    """What all of them use."""

    learning_rate: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="length of a step along the estimate of the gradient"
    )
    stddev: float = Field(0.01, gt=0, allow_inf_nan=False, description="standard deviation of the perturbations")
    members: int = Field(
        64, ge=2, le=2**31 - 1, description="weight sets that a step tries, each on all `batch_size` datapoints"
    )


class LowRankParameters(PeerParameters):
    """What VirtualLoRAES uses besides."""

    lora_rank: int = Field(
        1, ge=1, le=2**31 - 1, description="products of two random vectors that a perturbation is the sum of"
    )


class OpenEsParameters(PeerParameters):
    """What Open_ES uses besides."""

    shaping: Shaping = Field(
        "none",
        description="what losses become before they weigh perturbations: none: losses; std: over their standard"
        " deviation; ranks: centred ranks, evosax's default",
    )


def library(module: str, package: str) -> Any:
    """Import a module of a package that need not be there.

    Raises
    ------
    UsageError
        If it is not, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"this method needs {package}, which is not here ({error}); install it with: pip install {package}"
        ) from None


def refusal(network: FreeNetwork) -> str | None:
    """Return why a free network's losses are not written here, on one line; None where they are."""
    others = {
        "outputs read at every timestep": network.sequence_output,
        "hidden neurons that are not sigmoid": network.hidden_activation != "sigmoid",
        "outputs that are not sigmoid": network.output_activation != "sigmoid" or network.softmax,
        "neurons that leak": network.leak != 1,
        "the cross-entropy": network.loss != "mean_squared_error",
    }
    found = [what for what, is_so in others.items() if is_so]
    return f"peers' estimators take sigmoid networks with one answer, not {' and '.join(found)}" if found else None


def members_losses(
    library: Any, sigmoid: Callable[[Any], Any], network: FreeNetwork, timesteps: int, weights: Any, x: Any, y: Any
) -> Any:
    """Return the (K,) mean losses of members on a batch that all of them see, in PyTorch or jax.numpy.

    Parameters
    ----------
    weights
        (K, n_from, n_to).
    x, y
        (B, n_input), or (B, T, n_input) of a sequence; (B, n_output), NaN where an output does not count.
    """
    shape = len(weights), len(x)
    a, one = library.zeros((*shape, network.n_to)), library.ones((*shape, 1))
    for t in range(timesteps):
        fed = library.broadcast_to(x[:, t] if network.sequence_input else x, (*shape, network.n_input))
        a = sigmoid(library.matmul(library.concatenate([fed, one, a], axis=-1), weights))
    each = library.where(library.isnan(y), 0.0, (a[..., : network.n_output] - y) ** 2)
    return each.sum(-1).mean(-1)


class PeerTrainer(ArrayTrainer):
    """One trial: our weights in float64, moved by what a step of the library moves its centre by."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        reason = refusal(start.network)
        if reason is not None:
            raise UsageError(reason)

    @abstractmethod
    def step_from(self, centre: Single, x: Single, y: Single) -> tuple[Single, float]:
        """Return where a step of the library at its rate `RATE` takes a centre, and the mean loss of its members."""

    def take_step(self) -> float:
        """Take one step; return the mean loss of the members, since none of them has the weights before it."""
        own = self.start.parameters
        x, y = self.batch()
        centre = self.values.astype(np.float32)
        after, loss = self.step_from(centre, x, y)
        self.evaluations += own.members * len(x)
        self.values = self.values - own.learning_rate / RATE * (centre.astype(np.float64) - after)
        return loss


class EvoxTrainer(PeerTrainer):
    """One trial of a strategy of EvoX, driven by its workflow."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        torch = self._torch = library("torch", "evox")
        core, workflows = library("evox.core", "evox"), library("evox.workflows", "evox")
        options = {
            "param_shapes": [start.initial.shape],
            "pop_size": start.parameters.members,
            "center_init": torch.zeros(start.initial.size),
            "learning_rate": RATE,
            "noise_stdev": start.parameters.stddev,
        }
        with _TORCH:  # it draws the first step's seeds, which are drawn again before they are used
            strategy, noise = self._strategy(options)

        class Losses(core.Problem):  # type: ignore[name-defined, misc]
            def evaluate(self, payload: tuple[Any, Any, float]) -> Any:
                centre, seeds, sigma = payload
                weights = centre.view(start.initial.shape) + sigma * noise(seeds)
                self.found = members_losses(torch, torch.sigmoid, start.network, start.timesteps, weights, *self.batch)
                return self.found

        self._losses = Losses()
        self._workflow = workflows.StdWorkflow(strategy, self._losses)

    @abstractmethod
    def _strategy(self, options: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """Return the strategy, and what makes (K, n_from, n_to) unit noise of its K seeds."""

    def step_from(self, centre: Single, x: Single, y: Single) -> tuple[Single, float]:
        """Let the workflow take a step."""
        torch, algorithm = self._torch, self._workflow.algorithm
        self._losses.batch = torch.from_numpy(x), torch.from_numpy(y)
        algorithm.center = torch.from_numpy(centre.ravel())
        with _TORCH, torch.no_grad():
            torch.set_num_threads(1)  # arrays are small: with two a step took ten times as long
            torch.default_generator.manual_seed(int(self.random().integers(2**63)))
            self._workflow.step()
        return algorithm.center.numpy().reshape(centre.shape), float(self._losses.found.mean())


class VirtualEs(EvoxTrainer):
    """One trial of VirtualES."""

    def _strategy(self, options: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        module = library("evox.algorithms.so.es_variants.virtual_es", "evox")
        # What its own layer, virtual_perturbed_linear, draws on a CPU; the layer would loop over members in Python.
        normals = library("evox.triton_kernels.kernels.virtual_noise", "evox")._cpu_normal_noise
        shape = self.values.shape
        return module.VirtualES(**options), lambda seeds: normals(seeds, self.values.size, 0).view(-1, *shape)


class VirtualLoraEs(EvoxTrainer):
    """One trial of VirtualLoRAES, which `evox.algorithms` of 1.4.0 hides behind an alias of VirtualES."""

    def _strategy(self, options: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        module = library("evox.algorithms.so.es_variants.virtual_lora_es", "evox")
        rank = self.start.parameters.lora_rank

        def noise(seeds: Any) -> Any:
            a, b = module.generate_lora_factors(seeds, self.values.shape, rank, 0)
            return b @ a

        return module.VirtualLoRAES(lora_rank=rank, **options), noise


@cache
def _open_es(network: FreeNetwork, timesteps: int, members: int, stddev: float, shaping: Shaping) -> Callable[..., Any]:
    """Return a compiled step of Open_ES: from key, step, centre, x and y to the centre after it and the mean loss."""
    jax, optax = library("jax", "evosax"), library("optax", "evosax")
    shapes = library("evosax.core.fitness_shaping", "evosax")
    options: dict[str, Any] = {}
    if shaping != "ranks":  # those are its default
        options["fitness_shaping_fn"] = getattr(
            shapes, {"none": "identity_fitness_shaping_fn", "std": "standardize_fitness_shaping_fn"}[shaping]
        )
    strategy = library("evosax.algorithms", "evosax").Open_ES(
        members,
        jax.numpy.zeros(network.n_weights),
        optimizer=optax.sgd(RATE),
        std_schedule=optax.constant_schedule(stddev),
        **options,
    )
    params = strategy.default_params
    first = strategy.init(jax.random.key(0), jax.numpy.zeros(network.n_weights), params)

    def step(key: Any, number: Any, centre: Any, x: Any, y: Any) -> tuple[Any, Any]:
        to_ask, to_tell = jax.random.split(jax.random.fold_in(key, number))
        population, state = strategy.ask(to_ask, first.replace(mean=centre.reshape(-1)), params)
        weights = population.reshape(-1, *centre.shape)
        losses = members_losses(jax.numpy, jax.nn.sigmoid, network, timesteps, weights, x, y)
        state, _ = strategy.tell(to_tell, population, losses, state, params)
        return strategy.get_mean(state).reshape(centre.shape), losses.mean()

    compiled: Callable[..., Any] = jax.jit(step)
    return compiled


class OpenEs(PeerTrainer):
    """One trial of Open_ES: asked, run and told in one compiled function."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        own = start.parameters
        if own.members % 2:
            raise UsageError(f"Open_ES draws members in pairs, not {own.members}; give members={own.members + 1}")
        self._jax = library("jax", "evosax")
        with self._on_the_processor():
            self._key = self._jax.random.key(start.seed % 2**63)
            self._step = _open_es(start.network, start.timesteps, own.members, own.stddev, own.shaping)

    def _on_the_processor(self) -> Any:
        return self._jax.default_device(self._jax.devices("cpu")[0])

    def step_from(self, centre: Single, x: Single, y: Single) -> tuple[Single, float]:
        """Run the compiled step."""
        with self._on_the_processor():
            after, loss = self._step(self._key, np.uint32(self.step), centre, x, y)
            return np.asarray(after), float(loss)


def _evaluations(parameters: PeerParameters, batch_size: int, n_weights: int) -> int:
    return parameters.members * batch_size


class PeerMethod(OwnMethod):
    """A peer's estimator: its noise knows no mask."""

    networks: Networks = "free"


METHODS = [
    PeerMethod(name, summary, trainer, _evaluations, parameters, gradient="estimated")
    for name, summary, trainer, parameters in (
        ("evox-virtual-es", "EvoX's VirtualES: normal noise from seeds, losses as they are", VirtualEs, PeerParameters),
        ("evox-virtual-lora-es", "EvoX's VirtualLoRAES: noise of low rank", VirtualLoraEs, LowRankParameters),
        ("evosax-open-es", "evosax's Open_ES: mirrored pairs, losses or their ranks", OpenEs, OpenEsParameters),
    )
]
