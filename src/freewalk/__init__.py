"""freewalk: benchmarks for training neural networks without backpropagation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freewalk.harness.base.errors import UsageError
    from freewalk.harness.drop_in.training import NNRndTraining
    from freewalk.harness.from_python import SweepResult, sweep
    from freewalk.harness.gradcheck.own import gradcheck
    from freewalk.harness.maximize.search import Maximum, maximize
    from freewalk.harness.weights.weights_file import SavedWeights, load, save
    from freewalk.kernels.trainers.any_model import RandomWalk
    from freewalk.results.base.errors import StoreError

__all__ = [
    "Maximum",
    "NNRndTraining",
    "RandomWalk",
    "SavedWeights",
    "StoreError",
    "SweepResult",
    "UsageError",
    "__version__",
    "gradcheck",
    "load",
    "maximize",
    "save",
    "sweep",
]
__version__ = "0.1.0"

_HOMES = {
    "NNRndTraining": "freewalk.harness.drop_in.training",
    "SavedWeights": "freewalk.harness.weights.weights_file",
    "gradcheck": "freewalk.harness.gradcheck.own",
    "load": "freewalk.harness.weights.weights_file",
    "Maximum": "freewalk.harness.maximize.search",
    "maximize": "freewalk.harness.maximize.search",
    "save": "freewalk.harness.weights.weights_file",
    "RandomWalk": "freewalk.kernels.trainers.any_model",
    "sweep": "freewalk.harness.from_python",
    "SweepResult": "freewalk.harness.from_python",
    "UsageError": "freewalk.harness.base.errors",
    "StoreError": "freewalk.results.base.errors",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `import freewalk` itself loads neither numba nor pandas."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freewalk' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, for completion, whether they have been used or not."""
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING"})
