"""The walk on an NVIDIA GPU, through numba-cuda; imported only where a GPU or the CUDA simulator is at hand."""
