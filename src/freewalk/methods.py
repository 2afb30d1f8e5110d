"""What a method of one's own is made of; see docs/methods.md."""

from freewalk.harness.array_trainer import ArrayTrainer
from freewalk.harness.methods import OwnMethod, Start

__all__ = ["ArrayTrainer", "OwnMethod", "Start"]
