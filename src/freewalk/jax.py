"""The walk on functions of JAX; see docs/frameworks.md."""

try:
    import jax as _jax  # noqa: F401
except ImportError:
    raise ImportError("freewalk.jax needs JAX: pip install 'freewalk[jax]'") from None

from freewalk.harness.frameworks.jax_walk import Walk, walk

__all__ = ["Walk", "walk"]
