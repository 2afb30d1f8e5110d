"""What a network of your own is made of; see docs/methods.md."""

from freewalk.kernels.model.own_network import Model, OwnNetwork, Sizes

__all__ = ["Model", "OwnNetwork", "Sizes"]
