"""Memory on the device that launches share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cuda.jit import cuda


class Scratch:
    """Arrays on the device by name, kept from call to call, each as large as the largest that was asked for.

    Shapes alternate, between training and evaluation and between the trials of a pack, and new memory takes as long as
    many steps.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32, *, zeroed: bool = False) -> Any:
        """Return an array with whatever is in it, perhaps zeros at first; it is the caller's until the name's next."""
        size = math.prod(shape)
        if name not in self._kept or self._kept[name].size < size:
            self._kept.pop(name, None)  # first, so that there is room
            made = cuda.to_device(np.zeros(size, dtype)) if zeroed else cuda.device_array(size, dtype)
            self._kept[name] = made
        return self._kept[name][:size].reshape(shape)

    def sent(self, name: str, values: NDArray[Any]) -> Any:
        """Return a copy of the values; it is the caller's until the name's next."""
        array = self.array(name, values.shape, values.dtype)
        array.copy_to_device(values)
        return array
