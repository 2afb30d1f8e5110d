"""PyTorch's recurrent layers, timestep by timestep: what products of low rank need, and what vmap has no rule for.

The equations are those of `torch.nn.RNN`, `torch.nn.LSTM` and `torch.nn.GRU`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

Tensor = Any
Weights = Sequence[Tensor]


def _gru(inputs: Tensor, state: tuple[Tensor, ...], recurrent: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    (h,) = state
    reset, keep, new = inputs.chunk(3, -1)
    own_reset, own_keep, own_new = recurrent(h).chunk(3, -1)
    new = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
    return (new + torch.sigmoid(keep + own_keep) * (h - new),)


def _lstm(inputs: Tensor, state: tuple[Tensor, ...], recurrent: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    h, c = state
    enter, keep, new, leave = (inputs + recurrent(h)).chunk(4, -1)
    c = torch.sigmoid(keep) * c + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(c), c


def _plain(activation: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    def advance(inputs: Tensor, state: tuple[Tensor, ...], recurrent: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        return (activation(inputs + recurrent(state[0])),)

    return advance


CELLS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "gru": _gru,
    "lstm": _lstm,
    "rnn_tanh": _plain(torch.tanh),
    "rnn_relu": _plain(torch.relu),
}
"""By kind: from what the input brings and the state, and what applies the recurrent weights, to the next state."""
LAYERS = tuple(CELLS)


def cell(kind: str) -> Callable[..., Any]:
    """Return what stands in for `torch.gru_cell` and its like: (mode, input, state, weights and biases)."""
    advance = CELLS[kind]

    def run(mode: Any, x: Tensor, hx: Any, w_in: Tensor, w_own: Tensor, *biases: Tensor) -> Any:
        b_in, b_own = biases or (None, None)
        state = tuple(map(mode.value, hx)) if isinstance(hx, (tuple, list)) else (mode.value(hx),)
        found = advance(mode.linear(x, w_in, b_in), state, lambda h: mode.linear(h, w_own, b_own))
        return found if kind == "lstm" else found[0]

    return run


def layer(kind: str) -> Callable[..., Any]:
    """Return what stands in for `torch.gru` and its like; NotImplemented for packed sequences."""
    advance = CELLS[kind]

    def run(mode: Any, x: Tensor, hx: Any, weights: Weights, *options: Any) -> Any:
        if not isinstance(weights, (list, tuple)):
            return NotImplemented
        has_biases, n_layers, dropout, train, bidirectional, batch_first = options
        x = mode.value(x)
        x = x.transpose(0, 1) if batch_first else x
        starts = tuple(map(mode.value, hx)) if kind == "lstm" else (mode.value(hx),)
        ways = 2 if bidirectional else 1
        each = len(weights) // (n_layers * ways)
        ends: list[tuple[Tensor, ...]] = []
        for number in range(n_layers):
            if number and train and dropout:
                x = torch.nn.functional.dropout(x, dropout)
            outputs = []
            for way in range(ways):
                at = number * ways + way
                own = weights[at * each : (at + 1) * each]
                sequence, end = _run(mode, advance, x, tuple(s[at] for s in starts), own, has_biases, bool(way))
                outputs.append(sequence)
                ends.append(end)
            x = torch.cat(outputs, -1) if ways == 2 else outputs[0]
        last = [torch.stack(part) for part in zip(*ends, strict=True)]
        return (x.transpose(0, 1) if batch_first else x, *last)

    return run


def _run(
    mode: Any,
    advance: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Weights,
    has_biases: bool,
    backwards: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return one layer's outputs in one direction, (T, ...), and its last state."""
    w_in, w_own, *rest = weights
    b_in, b_own = rest[:2] if has_biases else (None, None)
    projection = rest[2:] if has_biases else rest
    inputs = mode.linear(x, w_in, b_in).unbind(0)
    outputs = []
    for one in reversed(inputs) if backwards else inputs:
        state = advance(one, state, lambda h: mode.linear(h, w_own, b_own))
        if projection:
            state = (mode.linear(state[0], projection[0]), *state[1:])
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs), state
