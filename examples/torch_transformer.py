"""A transformer encoder learns which of three symbols comes most often in a sequence of nine, from losses alone.

python examples/torch_transformer.py
"""

import torch

import freewalk.torch

SYMBOLS, LENGTH, WIDTH = 3, 9, 16


class Majority(torch.nn.Module):
    """Symbols (B, T) to logits of the most frequent one (B, SYMBOLS)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(SYMBOLS, WIDTH)
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = torch.nn.Linear(WIDTH, SYMBOLS)

    def forward(self, symbols):
        """Read the mean over positions."""
        return self.out(self.encoder(self.table(symbols)).mean(1))


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences in which one symbol comes more often than the others."""
    x = torch.randint(SYMBOLS, (4 * n, LENGTH))
    counts = torch.nn.functional.one_hot(x, SYMBOLS).sum(1)
    first, second = counts.topk(2).values.unbind(1)
    clear = (first > second).nonzero().squeeze(1)[:n]
    return x[clear], counts[clear].argmax(1)


def main(seed: int = 0, steps: int = 150) -> float:
    """Train, and return the share of fresh sequences that it gets right."""
    torch.manual_seed(seed)
    module = Majority()
    loss = torch.nn.functional.cross_entropy
    walk = freewalk.torch.walk(module, loss, stddev=0.02, perturbations=64, learning_rate=0.01, seed=seed)
    for _ in range(6):
        progress = walk.train(batch(32) for _ in range(steps // 6))
        print(f"step {walk.steps}: loss {progress.loss:.4f}")
    x, y = batch(500)
    with torch.no_grad():
        return float((module(x).argmax(1) == y).float().mean())


if __name__ == "__main__":
    print(f"{100 * main():.0f} % of fresh sequences right")
