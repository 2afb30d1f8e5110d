"""The walk on modules of PyTorch; see docs/frameworks.md."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("freewalk.torch needs PyTorch: pip install 'freewalk[torch]'") from None

from freewalk.harness.frameworks.torch_walk import Walk, walk

__all__ = ["Walk", "walk"]
