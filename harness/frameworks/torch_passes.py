"""Perturbed passes of a PyTorch module: batched over perturbations, or one at a time with the weights set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from freewalk.harness.base.errors import one_line
from freewalk.harness.frameworks.population import Noise
from freewalk.harness.frameworks.torch_functions import Perturbing
from freewalk.harness.frameworks.torch_perturbed import Full, LowRank, Perturbed
from freewalk.kernels.model.walk import WalkConfiguration

Array = NDArray[np.float64]
Tensor = Any


class Model:
    """A module and its loss."""

    def __init__(self, module: Any, loss: Callable[[Any, Any], Any]) -> None:
        self.module, self._loss = module, loss
        self.parameters = {name: one for name, one in module.named_parameters() if one.requires_grad}
        for name, parameter in self.parameters.items():
            if not parameter.is_floating_point():
                raise ValueError(f"parameter {name} is {parameter.dtype}: only real numbers can be perturbed")

    def loss(self, x: Any, y: Any) -> Tensor:
        """Return the mean loss, a tensor of no axes."""
        value = self._value(x, y)
        return value.mean() if value.dim() else value

    def _value(self, x: Any, y: Any) -> Any:
        if isinstance(x, dict):
            return self._loss(self.module(**x), y)
        return self._loss(self.module(*x) if isinstance(x, tuple) else self.module(x), y)

    def check(self, x: Any, y: Any, n: int) -> float:
        """Return the loss as it is; ValueError, in one line, if module or loss do not do what they should."""
        try:
            value = self._value(x, y)
        except Exception as error:
            raise ValueError(f"the module or the loss failed: {one_line(error)}") from None
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"loss must return a tensor, got {type(value).__name__}")
        if tuple(value.shape) not in ((), (1,), (n,)):
            got = f"got shape {tuple(value.shape)}"
            raise ValueError(f"loss must return one number, or one for each of {n} datapoints, {got}")
        mean = float(value.mean())
        if not np.isfinite(mean):
            raise ValueError(f"the loss is {mean} with the module's weights as they are; look at x, y and loss")
        return mean

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the module into evaluation mode, and every part of it back into its own."""
        training = [(part, part.training) for part in self.module.modules()]
        self.module.eval()
        try:
            yield
        finally:
            for part, was in training:
                part.training = was

    @contextmanager
    def undisturbed(self, seed: int) -> Iterator[None]:
        """Keep buffers and random numbers as they are; what the module draws, such as dropout, depends on the seed."""
        buffers = [(buffer, buffer.clone()) for buffer in self.module.buffers()]
        cuda = {one.device.index for one in self.parameters.values() if one.is_cuda}
        generators = [torch.default_generator, *(torch.cuda.default_generators[index] for index in cuda)]
        states = [generator.get_state() for generator in generators]
        with torch.no_grad():
            try:
                for generator in generators:
                    generator.manual_seed(seed)
                yield
            finally:
                for generator, state in zip(generators, states, strict=True):
                    generator.set_state(state)
                for buffer, before in buffers:
                    buffer.copy_(before)


class TorchPasses:
    """The passes of one step on a batch."""

    def __init__(self, model: Model, walk: WalkConfiguration, x: Any, y: Any, seed: int, batched: bool) -> None:
        self._model, self._walk, self._seed, self._batched = model, walk, seed, batched
        self._x, self._y = (x, y) if walk.share_data else (self._dealt(x), self._dealt(y))

    def _dealt(self, data: Any) -> Any:
        k, each = self._walk.n_perturbations, self._walk.datapoints
        return data if data is None else pytree.tree_map(lambda one: one.reshape(k, each, *one.shape[1:]), data)

    def _of(self, data: Any, which: Any) -> Any:
        whole = self._walk.share_data or data is None
        return data if whole else pytree.tree_map(lambda one: one[which], data)

    def losses(self, noise: Noise, sides: Sequence[float], rows: slice) -> Array:
        """Return the mean losses (sides, K); see `Passes`."""
        run, parts = self._together if self._batched else self._one_by_one, self._on_device(noise)
        return np.stack([run(parts, side, rows) for side in sides])

    def add(self, total: dict[str, Tensor] | None, noise: Noise, weighing: Array) -> dict[str, Tensor]:
        """Return a total plus the perturbations times numbers."""
        total = {} if total is None else total
        for name, parameter in self._model.parameters.items():
            by, *parts = self._tensors(parameter, weighing, *noise[name])
            if len(parts) == 1:
                turned = parts[0].mT
                found = (by @ turned.flatten(1)).reshape(turned.shape[1:]).T
            else:
                a, b = parts
                found = (a * by[:, None, None]).flatten(0, 1).T @ b.flatten(0, 1)
            total[name] = found.reshape(parameter.shape) + total.get(name, 0)
        return total

    def _tensors(self, like: Tensor, *arrays: NDArray[Any]) -> list[Tensor]:
        """Return arrays as tensors on the parameter's device, of its type if that has float32's precision."""
        dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
        return [torch.as_tensor(array).to(like.device, dtype) for array in arrays]

    def _on_device(self, noise: Noise) -> dict[str, list[Tensor]]:
        """Return the perturbations in the parameters' types."""
        return {
            name: [one.to(parameter.dtype) for one in self._tensors(parameter, *noise[name])]
            for name, parameter in self._model.parameters.items()
        }

    def _perturbed(self, name: str, side: float, parts: Sequence[Tensor]) -> Perturbed:
        base, scale = self._model.parameters[name], side * self._walk.stddev
        return Perturbed(base, Full(parts[0], scale) if len(parts) == 1 else LowRank(parts[0] * scale, parts[1]))

    def _together(self, noise: dict[str, list[Tensor]], side: float, rows: slice) -> Array:
        def run(own: dict[str, list[Tensor]], x: Any, y: Any) -> Tensor:
            perturbed = {name: self._perturbed(name, side, parts) for name, parts in own.items()}
            with Perturbing((one.base, one) for one in perturbed.values()):
                return self._model.loss(x, y)

        dealt = None if self._walk.share_data else 0
        in_dims = (0, dealt, None if self._y is None else dealt)
        with self._model.undisturbed(self._seed), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            # some functions are run one by one inside of vmap, to the same losses
            warnings.filterwarnings("ignore", "There is a performance drop")
            batch = torch.func.vmap(run, in_dims=in_dims, randomness="same")
            return _as_numpy(batch(noise, self._of(self._x, rows), self._of(self._y, rows)))

    def _one_by_one(self, noise: dict[str, list[Tensor]], side: float, rows: slice) -> Array:
        parameters, found = self._model.parameters, []
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        try:
            for k in range(rows.stop - rows.start):
                with self._model.undisturbed(self._seed):
                    for name, parameter in parameters.items():
                        parameter.copy_(self._perturbed(name, side, [part[k] for part in noise[name]]).value)
                    which = rows.start + k
                    found.append(float(self._model.loss(self._of(self._x, which), self._of(self._y, which))))
                    self._restore(before)
        finally:
            self._restore(before)
        return np.array(found)

    def _restore(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._model.parameters.items():
                parameter.copy_(values[name])


def _as_numpy(value: Tensor) -> Array:
    array: Array = value.detach().cpu().double().numpy()
    return array
