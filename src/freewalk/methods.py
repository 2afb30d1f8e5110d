"""What a method of your own is made of, and what it meets; see docs/methods.md."""

from freewalk.harness.methods.array_trainer import ArrayTrainer
from freewalk.harness.methods.gradient import OptimizerParameters
from freewalk.harness.methods.method import Method, OwnMethod, Start
from freewalk.harness.methods.space import Range
from freewalk.kernels.cpu.perturbed import Comparison, Perturbations
from freewalk.kernels.model.layered import LayeredNetwork, Place
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Evaluation, Trainer

__all__ = [
    "ArrayTrainer",
    "Comparison",
    "Data",
    "Evaluation",
    "FreeNetwork",
    "LayeredNetwork",
    "Method",
    "OptimizerParameters",
    "OwnMethod",
    "Perturbations",
    "Place",
    "Range",
    "Start",
    "Trainer",
]
