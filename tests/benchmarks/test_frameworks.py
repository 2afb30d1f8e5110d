"""The ways to take a step on a PyTorch network that are timed beside each other all descend."""

import warnings

import pytest

from benchmarks import frameworks


@pytest.mark.parametrize("way", frameworks.WAYS)
def test_every_way_descends(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if way == "evox":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("evox.workflows", reason="EvoX is not installed")
    monkeypatch.setattr(frameworks, "_WIDTHS", (8, 6, 3))
    step, weights = frameworks.make(way, 64, 32, torch.get_num_threads())

    def loss() -> float:
        network, (x, y) = frameworks.network(torch), frameworks.batch(torch, 32)
        torch.nn.utils.vector_to_parameters(weights(), network.parameters())
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(network(x), y))

    before = loss()
    for _ in range(20):
        step()
    assert loss() < before - 0.05
