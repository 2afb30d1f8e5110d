"""Perturbed parameters of PyTorch: products with W + D as those with W and with D, or with the vectors of D."""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any

linear, embedding = torch.nn.functional.linear, torch.nn.functional.embedding


class LowRank:
    """A perturbation aᵀ b of a matrix (n, m), by its vectors a (rank, n) and b (rank, m)."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self._a, self._b = a, b

    @property
    def value(self) -> Tensor:
        """D, (n, m)."""
        return self._a.T @ self._b

    @property
    def turned(self) -> LowRank:
        """Dᵀ."""
        return LowRank(self._b, self._a)

    def rows(self, which: slice) -> LowRank:
        """Return some of its rows."""
        return LowRank(self._a[:, which], self._b)

    def added(self, product: Tensor, x: Tensor) -> Tensor:
        """Return a product (..., n) plus x Dᵀ for x (..., m)."""
        inner = linear(x, self._b)
        return torch.addcmul(product, inner, self._a[0]) if len(self._a) == 1 else product + inner @ self._a

    def of(self, x: Tensor) -> Tensor:
        """Return D x for x (m,) or (..., m, p)."""
        return self._a.T @ (self._b @ x)

    def looked_up(self, index: Tensor) -> Tensor:
        """Return the rows of some indices."""
        return embedding(index, self._a.T) @ self._b


class Full:
    """A perturbation of any shape: a number times D."""

    def __init__(self, unit: Tensor, scale: float) -> None:
        self._unit, self._scale = unit, scale

    @property
    def value(self) -> Tensor:
        """The perturbation itself."""
        return self._scale * self._unit

    @property
    def turned(self) -> Full:
        """Its transpose."""
        return Full(self._unit.T, self._scale)

    def rows(self, which: slice) -> Full:
        """Return some of its rows."""
        return Full(self._unit[which], self._scale)

    def added(self, product: Tensor, x: Tensor) -> Tensor:
        """Return a product (..., n) plus x Dᵀ for x (..., m)."""
        return torch.add(product, linear(x, self._unit), alpha=self._scale)

    def of(self, x: Tensor) -> Tensor:
        """Return D x."""
        return self._scale * (self._unit @ x)

    def looked_up(self, index: Tensor) -> Tensor:
        """Return the rows of some indices."""
        return self._scale * embedding(index, self._unit)


class Perturbed:
    """A parameter W, or a view of it, and its perturbation D."""

    def __init__(self, base: Tensor, by: LowRank | Full) -> None:
        self.base, self.by = base, by
        self._value: Tensor = None

    @property
    def value(self) -> Tensor:
        """W + D itself, formed once."""
        if self._value is None:
            self._value = self.base + self.by.value.reshape(self.base.shape)
        return self._value

    @property
    def turned(self) -> Perturbed:
        """The transpose of a matrix."""
        return Perturbed(self.base.T, self.by.turned)

    def rows(self, which: slice) -> Perturbed:
        """Return some rows of a matrix."""
        return Perturbed(self.base[which], self.by.rows(which))

    def applied(self, x: Tensor) -> Tensor:
        """Return x (W + D)ᵀ for x (..., m)."""
        return self.by.added(linear(x, self.base), x)
