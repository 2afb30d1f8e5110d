"""PTX of one kernel, translated to C that runs one thread of it."""

from emulator.ptx.writer import translate

__all__ = ["translate"]
