"""freewalk: benchmarks for training neural networks without backpropagation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freewalk.harness.base.errors import UsageError
    from freewalk.harness.drop_in.training import NNRndTraining
    from freewalk.harness.estimates.checking.check import check_estimator
    from freewalk.harness.estimates.own import Estimates, estimate
    from freewalk.harness.from_python.sweep_comparison import SweepComparison
    from freewalk.harness.from_python.sweep_result import SweepResult
    from freewalk.harness.from_python.sweeping import read_sweep, sweep
    from freewalk.harness.from_python.tuning import tune
    from freewalk.harness.from_python.tuning_result import TuningResult
    from freewalk.harness.gradcheck.own import gradcheck
    from freewalk.harness.maximize.box import Box
    from freewalk.harness.maximize.corners import Corner
    from freewalk.harness.maximize.search import AtBound, Maximum, maximize
    from freewalk.harness.weights.outputs import Measures, OutputErrors
    from freewalk.harness.weights.weights_file import SavedWeights, load, save
    from freewalk.kernels.model.walk import Progress, WalkConfiguration
    from freewalk.kernels.trainers.any_model import RandomWalk
    from freewalk.results.base.errors import StoreError
    from freewalk.results.tables.reading import read_table

__all__ = [
    "AtBound",
    "Box",
    "Corner",
    "Estimates",
    "Maximum",
    "Measures",
    "NNRndTraining",
    "OutputErrors",
    "Progress",
    "RandomWalk",
    "SavedWeights",
    "StoreError",
    "SweepComparison",
    "SweepResult",
    "TuningResult",
    "UsageError",
    "WalkConfiguration",
    "__version__",
    "check_estimator",
    "estimate",
    "gradcheck",
    "load",
    "maximize",
    "read_sweep",
    "read_table",
    "save",
    "sweep",
    "tune",
]
__version__ = "0.1.0"

_HOMES = {
    "AtBound": "freewalk.harness.maximize.search",
    "Box": "freewalk.harness.maximize.box",
    "Corner": "freewalk.harness.maximize.corners",
    "Estimates": "freewalk.harness.estimates.own",
    "Maximum": "freewalk.harness.maximize.search",
    "Measures": "freewalk.harness.weights.outputs",
    "NNRndTraining": "freewalk.harness.drop_in.training",
    "OutputErrors": "freewalk.harness.weights.outputs",
    "Progress": "freewalk.kernels.model.walk",
    "RandomWalk": "freewalk.kernels.trainers.any_model",
    "SavedWeights": "freewalk.harness.weights.weights_file",
    "StoreError": "freewalk.results.base.errors",
    "SweepComparison": "freewalk.harness.from_python.sweep_comparison",
    "SweepResult": "freewalk.harness.from_python.sweep_result",
    "TuningResult": "freewalk.harness.from_python.tuning_result",
    "UsageError": "freewalk.harness.base.errors",
    "WalkConfiguration": "freewalk.kernels.model.walk",
    "check_estimator": "freewalk.harness.estimates.checking.check",
    "estimate": "freewalk.harness.estimates.own",
    "gradcheck": "freewalk.harness.gradcheck.own",
    "load": "freewalk.harness.weights.weights_file",
    "maximize": "freewalk.harness.maximize.search",
    "read_sweep": "freewalk.harness.from_python.sweeping",
    "read_table": "freewalk.results.tables.reading",
    "save": "freewalk.harness.weights.weights_file",
    "sweep": "freewalk.harness.from_python.sweeping",
    "tune": "freewalk.harness.from_python.tuning",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `import freewalk` itself loads neither Numba nor pandas."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freewalk' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion, whether they have been used or not."""
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING"})
