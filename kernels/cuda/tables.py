"""Tables on the device: one copy of each, shared by the trials that read it, gone with the last of them."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import SIMULATED, cuda


class DeviceTable:
    """A table's copy on the device, for as long as somebody holds it."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        self._host = table  # kept, so that no other table comes to lie at its address
        self._device: Any = cuda.to_device(table)

    @property
    def address(self) -> int:
        """Where the copy lies: what a datapoint function gets as its argument."""
        if SIMULATED:
            return int(self._device.ctypes.data)
        return int(self._device.__cuda_array_interface__["data"][0])


_COPIES: WeakValueDictionary[tuple[int, int], DeviceTable] = WeakValueDictionary()


def on_device(table: NDArray[np.float32]) -> DeviceTable:
    """Return the copy of a table that all share who hold it now, a new one if nobody does."""
    place = int(table.ctypes.data), table.nbytes
    copy = _COPIES.get(place)
    if copy is None:
        copy = _COPIES[place] = DeviceTable(table)
    return copy
