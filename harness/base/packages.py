"""Packages that only some users install."""

from functools import cache
from importlib.util import find_spec


@cache
def is_installed(module: str) -> bool:
    """Return whether a module could be imported; it is not."""
    found = find_spec(module)
    return found is not None and found.origin is not None  # a folder of that name is none
