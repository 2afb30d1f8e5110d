"""A GRU learns parity of 4 bits, shown one at a time, from losses alone: no backpropagation through time.

python examples/torch_gru.py
"""

import itertools

import torch

import freewalk.torch

BITS = 4


class Parity(torch.nn.Module):
    """Bits (B, T) to the logit that an odd number of them is set (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(1, 8, batch_first=True)
        self.out = torch.nn.Linear(8, 1)

    def forward(self, bits):
        """Read the last output."""
        outputs, _ = self.gru(bits[..., None])
        return self.out(outputs[:, -1]).squeeze(-1)


def main(seed: int = 0, steps: int = 420) -> float:
    """Train, and return the share of all sequences that it gets right."""
    torch.manual_seed(seed)
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=BITS)))
    y = x.sum(1) % 2
    module = Parity()
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    walk = freewalk.torch.walk(module, loss, stddev=0.05, perturbations=128, learning_rate=0.03, seed=seed)
    for _ in range(6):
        progress = walk.train([(2 * x - 1, y)] * (steps // 6))
        print(f"step {walk.steps}: loss {progress.loss:.4f}")
    with torch.no_grad():
        return float(((module(2 * x - 1) > 0) == (y > 0.5)).float().mean())


if __name__ == "__main__":
    print(f"{100 * main():.0f} % of the sequences right")
