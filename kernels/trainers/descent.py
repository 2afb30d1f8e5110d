"""What a gradient method is made of: what decides a step, and which classes take it on which networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cpu import gather
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, Trainer


class StartsLayered(Protocol):
    """A trainer of layered networks, or what chooses one."""

    def __call__(  # noqa: D102
        self,
        layers: LayeredNetwork,
        configuration: Any,
        data: Data,
        *,
        dtype: DTypeLike,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer: ...


class StartsFree(Protocol):
    """A trainer of free networks."""

    def __call__(  # noqa: D102
        self,
        network: FreeNetwork,
        configuration: Any,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None,
    ) -> Trainer: ...


@dataclass(frozen=True)
class Descent:
    """The kernels of a gradient method; None for networks that it does not learn."""

    configuration: type[DescentConfiguration]
    """What decides a step."""
    layered: StartsLayered | None = None
    """Trains layered networks, in float32 or, for the reference, in float64."""
    free: StartsFree | None = None
    """Trains free networks in float32."""
    reference: StartsFree | None = None
    """Trains free networks in NumPy float64."""
    compile_free: Callable[[], None] | None = None
    """Compiles what `free` needs on one thread, or loads it from the cache."""

    def start(
        self,
        network: Network,
        configuration: DescentConfiguration,
        data: Data,
        *,
        float64: bool,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> Trainer:
        """Return a new trial at step 0.

        Parameters
        ----------
        network
            What is trained.
        float64
            Whether to compute in NumPy float64, as the reference; otherwise in float32.
        initial
            (n_from, n_to) weights to start from; None draws them from the seed, a layered network's layer by layer.
        mask
            (n_from, n_to), False where a free network trains no weight; for methods whose trainers take one.

        Raises
        ------
        ValueError
            If the method does not learn such networks, or timesteps or initial weights do not fit.
        """
        options: dict[str, Any] = {"seed": seed, "evaluation_points": evaluation_points, "initial": initial}
        if isinstance(network, LayeredNetwork):
            if self.layered is None:
                raise ValueError(f"{configuration.method} learns free networks only")
            if configuration.timesteps != network.depth:
                depth = f"the depth of the layered network, {network.depth}"
                raise ValueError(f"timesteps must be {depth}, got {configuration.timesteps}")
            return self.layered(network, configuration, data, dtype=np.float64 if float64 else np.float32, **options)
        start = self.reference if float64 else self.free
        if start is None:
            raise ValueError(f"{configuration.method} learns layered networks only: give the widths of the layers")
        if mask is not None:
            options["mask"] = mask
        return start(network, configuration, data, **options)

    def compile_kernels(self, *, float64: bool) -> None:
        """Compile what one thread needs, or load it from the cache."""
        if self.compile_free is not None and not float64:
            self.compile_free()
        if self.layered is not None:
            gather.compile_kernels()
