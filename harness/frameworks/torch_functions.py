"""PyTorch's functions on perturbed parameters.

A `Perturbing` mode sees every function of PyTorch that a module calls. Parameters are known by what they are, so that
modules run as they stand: wherever one enters a function, it is taken for the perturbed one. Products with a matrix,
look-ups and recurrent layers do without W + D; any other function gets it, formed once a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from freewalk.harness.frameworks import torch_recurrent
from freewalk.harness.frameworks.torch_perturbed import Perturbed, embedding, linear

Tensor = Any

_Handler = Callable[..., Any]
_HANDLERS: dict[str, _Handler] = {}
"""By the name of the function, given the mode and arguments; NotImplemented leaves it to W + D."""
_PLAIN = frozenset(
    (
        *("size", "dim", "ndimension", "numel", "nelement", "__len__", "element_size", "stride", "storage_offset"),
        *("is_contiguous", "is_floating_point", "is_complex", "is_same_size", "get_device", "__hash__"),
    )
)
"""What asks about a tensor, not for its numbers."""
_ALWAYS = frozenset({"batch_norm", *torch_recurrent.LAYERS})
"""What is handled whether it sees a parameter or not: it has no rule under vmap, or moves buffers."""


def _handles(*names: str) -> Callable[[_Handler], _Handler]:
    def register(handler: _Handler) -> _Handler:
        _HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


class Perturbing(TorchFunctionMode):  # type: ignore[misc]
    """While it is entered, parameters are perturbed."""

    def __init__(self, own: Iterable[tuple[Tensor, Perturbed]]) -> None:
        super().__init__()
        self._own = {id(tensor): (tensor, perturbed) for tensor, perturbed in own}

    def of(self, value: Any) -> Perturbed | None:
        """Return what a tensor is taken for, if it is perturbed."""
        found = self._own.get(id(value))
        return None if found is None else found[1]

    def matrix(self, value: Any) -> Perturbed | None:
        """Return it if it is a perturbed matrix."""
        found = self.of(value)
        return found if found is not None and found.base.dim() == 2 else None

    def view(self, perturbed: Perturbed) -> Tensor:
        """Return the tensor that stands for a view of a perturbed one."""
        self._own[id(perturbed.base)] = (perturbed.base, perturbed)
        return perturbed.base

    def value(self, argument: Any) -> Any:
        """Return an argument with W + D for every parameter in it."""
        if isinstance(argument, (list, tuple)) and type(argument) in (list, tuple):
            return type(argument)(map(self.value, argument))
        found = self.of(argument)
        return argument if found is None else found.value

    def _touches(self, argument: Any) -> bool:
        if type(argument) in (list, tuple):
            return any(map(self._touches, argument))
        return id(argument) in self._own

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor = None) -> Tensor:
        """Return x (W + D)ᵀ + bias."""
        matrix = self.matrix(weight)
        if matrix is None:
            return linear(self.value(x), self.value(weight), self.value(bias))
        product = matrix.applied(self.value(x))
        return product if bias is None else product + self.value(bias)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in _ALWAYS and not self._touches(args) and not (kwargs and self._touches(tuple(kwargs.values()))):
            return func(*args, **kwargs)
        if name == "__get__":
            name = func.__self__.__name__
            if name not in _HANDLERS:
                return func(*args, **kwargs)
        if name in _PLAIN:
            return func(*args, **kwargs)
        if isinstance(func, FunctionType) and (unguarded := _unguarded(func)) is not None:
            with self:
                return unguarded(*args, **kwargs)
        handler = _HANDLERS.get(name)
        result = NotImplemented if handler is None else handler(self, *args, **kwargs)
        if result is NotImplemented:
            return func(*map(self.value, args), **{key: self.value(one) for key, one in kwargs.items()})
        return result


def _never(*_: Any) -> bool:
    return False


@cache
def _unguarded(function: FunctionType) -> Any:
    """Return a function of PyTorch that is written in Python, without its question whether another shall do the work.

    It then calls, one by one, the functions that it is made of. None for any other function.
    """
    names = function.__code__.co_names
    guards = [name for name in names if name.startswith("has_torch_function")]
    if not guards or not function.__module__.startswith("torch."):
        return None
    changed = function.__globals__ | dict.fromkeys(guards, _never)
    copy = FunctionType(function.__code__, changed, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


@_handles("linear")
def _linear(mode: Perturbing, x: Tensor, weight: Tensor, bias: Tensor = None) -> Any:
    return mode.linear(x, weight, bias)


@_handles("matmul", "__matmul__", "mm", "mv")
def _matmul(mode: Perturbing, one: Tensor, other: Tensor) -> Any:
    left, right = mode.matrix(one), mode.matrix(other)
    if right is not None:
        return right.turned.applied(mode.value(one))
    if left is not None:
        x = mode.value(other)
        return left.base @ x + left.by.of(x)
    return NotImplemented


@_handles("__rmatmul__")
def _rmatmul(mode: Perturbing, one: Tensor, other: Tensor) -> Any:
    return _matmul(mode, other, one)


@_handles("addmm", "addmv")
def _addmm(mode: Perturbing, added: Tensor, one: Tensor, other: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    product = _matmul(mode, one, other)
    return product if product is NotImplemented else beta * mode.value(added) + alpha * product


@_handles("embedding")
def _embedding(mode: Perturbing, weight: Tensor, index: Tensor, *_: Any, **__: Any) -> Any:
    matrix = mode.matrix(weight)
    if matrix is None:
        return NotImplemented
    return embedding(index, matrix.base) + matrix.by.looked_up(index)


@_handles("__getitem__")
def _item(mode: Perturbing, weight: Tensor, index: Any) -> Any:
    matrix = mode.matrix(weight)
    if matrix is not None and isinstance(index, slice):
        return mode.view(matrix.rows(index))
    if matrix is not None and isinstance(index, torch.Tensor) and index.dtype == torch.int64:
        return _embedding(mode, weight, index)
    return NotImplemented


@_handles("T", "mT", "H", "mH", "t")
def _turned(mode: Perturbing, weight: Tensor) -> Any:
    matrix = mode.matrix(weight)
    return NotImplemented if matrix is None else mode.view(matrix.turned)


@_handles("transpose", "swapaxes", "permute")
def _swapped(mode: Perturbing, weight: Tensor, *axes: int) -> Any:
    matrix = mode.matrix(weight)
    if matrix is None or len(axes) != 2 or {axis % 2 for axis in axes} != {0, 1}:
        return NotImplemented
    return mode.view(matrix.turned)


@_handles("split", "chunk")
def _split(mode: Perturbing, weight: Tensor, size: Any, dim: int = 0) -> Any:
    """Cut rows, as attention does with the weights of its three inputs."""
    matrix = mode.matrix(weight)
    if matrix is None or dim not in (0, -2) or not isinstance(size, (list, tuple)):
        return NotImplemented
    ends = torch.tensor([0, *size]).cumsum(0).tolist()
    return tuple(mode.view(matrix.rows(slice(a, b))) for a, b in pairwise(ends))


@_handles("data", "detach", "contiguous", "requires_grad_")
def _same(mode: Perturbing, weight: Tensor, *_: Any, **__: Any) -> Any:
    return weight


@_handles("batch_norm")
def _batch_norm(mode: Perturbing, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Any:
    """Leave running statistics as they are: perturbed passes are no data."""
    mean, variance, training, *options = rest
    if training:
        mean = variance = None
    return torch.batch_norm(mode.value(x), mode.value(weight), mode.value(bias), mean, variance, training, *options)


for _name in torch_recurrent.LAYERS:
    _HANDLERS[_name] = torch_recurrent.layer(_name)
for _name in torch_recurrent.CELLS:
    _HANDLERS[f"{_name}_cell"] = torch_recurrent.cell(_name)
