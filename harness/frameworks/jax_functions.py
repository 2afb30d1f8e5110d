"""A JAX function on perturbed parameters: its jaxpr, whose products with W + D are those with W and D's vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Literal

Array = Any
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_CALLS = frozenset(
    (
        *("pjit", "jit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
        *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
    )
)
"""What runs a jaxpr of its own on its arguments, and nothing else where nothing is differentiated."""


class Perturbed:
    """A parameter W (n, ...) and a perturbation aᵀ b of low rank: a (rank, n), b (rank, product of the other axes)."""

    def __init__(self, base: Array, a: Array, b: Array) -> None:
        self.base, self.a, self.b = base, a, b

    @property
    def value(self) -> Array:
        """W + D."""
        return self.base + (self.a.T @ self.b).reshape(self.base.shape)

    def contracted(self, x: Array, axis: int, own_axis: int) -> Array | None:
        """Return what x gives with D along an axis of each, the other axes of x first; None where D must be formed."""
        rest = self.base.shape[1:]
        if own_axis and len(rest) != 1:
            return None
        one, other = (self.b, self.a) if own_axis else (self.a, self.b)
        inner = jax.numpy.tensordot(x, one, ((axis,), (1,)))
        product = inner * other[0] if len(other) == 1 else inner @ other
        return product if own_axis else product.reshape(*inner.shape[:-1], *rest)


def run(function: Callable[..., Any], parameters: Any, *data: Any) -> Any:
    """Return function(parameters, *data); the leaves of `parameters` may be `Perturbed`."""
    leaves, tree = jax.tree.flatten(parameters, is_leaf=lambda one: isinstance(one, Perturbed))
    plain = jax.tree.unflatten(tree, [one.base if isinstance(one, Perturbed) else one for one in leaves])
    closed, shape = jax.make_jaxpr(function, return_shape=True)(plain, *data)
    found = _evaluate(closed.jaxpr, closed.consts, [*leaves, *jax.tree.leaves(data)])
    return jax.tree.unflatten(jax.tree.structure(shape), [_value(one) for one in found])


def _value(one: Any) -> Any:
    return one.value if isinstance(one, Perturbed) else one


def _evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        found = _apply(equation, [read(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, found, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _apply(equation: Any, values: list[Any]) -> Sequence[Any]:
    """Return the results of an equation."""
    primitive, options = equation.primitive, equation.params

    def bind(*arguments: Any, **changed: Any) -> Any:
        return primitive.bind(*arguments, **{**options, **changed})

    if primitive.name in _CALLS:
        inner = next(options[name] for name in _INNER if name in options)
        return _evaluate(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), values)
    if any(isinstance(one, Perturbed) for one in values):
        handler = _HANDLERS.get(primitive.name)
        found = None if handler is None else handler(bind, options, *values)
        if found is not None:
            return found if primitive.multiple_results else [found]
        values = [_value(one) for one in values]
    found = bind(*values)
    return found if primitive.multiple_results else [found]


def _dot_general(bind: Callable[..., Any], options: Any, left: Any, right: Any) -> Any:
    contracted, batched = options["dimension_numbers"]
    if isinstance(left, Perturbed) == isinstance(right, Perturbed) or any(batched) or len(contracted[0]) != 1:
        return None
    ((axis,), (other_axis,)) = contracted
    if isinstance(right, Perturbed):
        product, more = bind(left, right.base), right.contracted(left, axis, other_axis)
    else:
        product, more = bind(left.base, right), left.contracted(right, other_axis, axis)
        if more is not None:
            n = right.ndim - 1
            more = jax.numpy.moveaxis(more, range(n), range(more.ndim - n, more.ndim))
    return None if more is None else product + more.astype(product.dtype)


def _transpose(bind: Callable[..., Any], options: Any, one: Perturbed) -> Any:
    if tuple(options["permutation"]) != (1, 0):
        return None
    return Perturbed(bind(one.base), one.b, one.a)


def _convert(bind: Callable[..., Any], options: Any, one: Perturbed) -> Any:
    return one if options["new_dtype"] == one.base.dtype else None


def _gather(bind: Callable[..., Any], options: Any, table: Any, index: Any) -> Any:
    """Look rows up, as embeddings do."""
    if not isinstance(table, Perturbed) or isinstance(index, Perturbed) or table.base.ndim != 2:
        return None
    numbers, product = options["dimension_numbers"], bind(table.base, index)
    if numbers.collapsed_slice_dims != (0,) or numbers.offset_dims != (product.ndim - 1,):
        return None
    if tuple(options["slice_sizes"]) != (1, table.base.shape[1]):
        return None
    return product + bind(table.a.T, index, slice_sizes=(1, len(table.a))) @ table.b


def _scan(bind: Callable[..., Any], options: Any, *values: Any) -> Any:
    """Carry constants such as recurrent weights into the loop as they are."""
    n_constants, n_carried = options["num_consts"], options["num_carry"]
    constants, rest = values[:n_constants], [_value(one) for one in values[n_constants:]]
    closed = options["jaxpr"]

    def body(carried: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        found = [_value(one) for one in _evaluate(closed.jaxpr, closed.consts, [*constants, *carried, *x])]
        return found[:n_carried], found[n_carried:]

    how = {name: options[name] for name in ("length", "reverse", "unroll")}
    carried, outputs = jax.lax.scan(body, rest[:n_carried], rest[n_carried:], **how)
    return [*carried, *outputs]


_HANDLERS: dict[str, Callable[..., Any]] = {
    "dot_general": _dot_general,
    "transpose": _transpose,
    "convert_element_type": _convert,
    "gather": _gather,
    "scan": _scan,
}
"""By primitive: its results on perturbed parameters; None leaves it to W + D."""
