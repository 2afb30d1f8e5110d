"""How the perturbations of a step are cut up: rounds whose vectors memory holds at once, and chunks that are summed."""

from __future__ import annotations

from freewalk.kernels.cuda.jit import device_function

_CHUNK = 32  # perturbations, at least, of a chunk


def chunks_of_plain(n: int, most_chunks: int, most: int) -> int:
    """Return the number of chunks of n perturbations, of which a round holds `most`.

    It depends on the trial and the GPU alone, so that a trial comes to the same bits in any pack.
    """
    return max(1, min(most_chunks, (min(n, most) + _CHUNK - 1) // _CHUNK))


chunks_of = device_function(chunks_of_plain)
