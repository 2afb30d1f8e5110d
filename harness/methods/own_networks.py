"""The networks of one's own that plug-ins have brought, by name: values of `architecture` besides `free` and widths."""

from __future__ import annotations

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import FREE
from freewalk.kernels.model.own_network import OwnNetwork

NETWORKS: dict[str, OwnNetwork] = {}
SIZES = ("hidden", "timesteps")
"""What a network of one's own takes of the parameters of free ones."""
OF_OTHERS = ("activation", "output", "leak", "init_biases")
"""Parameters that say what neurons do, which such a network says by itself."""


def is_own(architecture: object) -> bool:
    """Tell whether an architecture is a network of one's own."""
    return architecture in NETWORKS


def add_network(network: OwnNetwork) -> None:
    """Add a network of one's own.

    Raises
    ------
    ValueError
        If its name is taken.
    """
    from freewalk.tasks.registry import check_name  # loads what compiles tasks

    check_name("network", network.name)
    if network.name == FREE:
        raise ValueError(f"network {network.name!r}: architecture={FREE} means something else; choose another name")
    if NETWORKS.get(network.name, network) is not network:
        raise ValueError(f"network {network.name!r} is the name of a network that another plug-in brought")
    NETWORKS[network.name] = network


def refuse_own(what: str, architecture: object, instead: str = "") -> None:
    """Raise UsageError where a network of one's own is given to what needs to know more of it than its outputs."""
    if is_own(architecture):
        raise UsageError(
            f"{what} needs the derivatives of a network, and architecture={architecture} gives outputs alone;"
            f" {instead or f'give architecture={FREE} or a layered one'}"
        )


def remove_network(name: str) -> None:
    """Forget a network of one's own."""
    NETWORKS.pop(name, None)
