"""What a method of one's own is made of; see docs/methods.md."""

from freewalk.harness.methods.array_trainer import ArrayTrainer
from freewalk.harness.methods.method import Method, OwnMethod, Start

__all__ = ["ArrayTrainer", "Method", "OwnMethod", "Start"]
