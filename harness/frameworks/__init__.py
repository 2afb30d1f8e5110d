"""Models of PyTorch and JAX, trained by the walk: perturbed passes batched over perturbations."""
