"""Runs CUDA kernels on the processor: translates their PTX to C and stands in for the driver."""
