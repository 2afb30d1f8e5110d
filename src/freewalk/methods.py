"""What a method of one's own is made of; see docs/methods.md."""

from freewalk.harness.methods.array_trainer import ArrayTrainer
from freewalk.harness.methods.registered import OwnMethod, Start

__all__ = ["ArrayTrainer", "OwnMethod", "Start"]
