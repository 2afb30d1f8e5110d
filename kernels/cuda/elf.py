"""The sections of an object file, as far as the cost of a kernel is written there."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<40xQ10xHHH")  # where the sections begin, the size of an entry, their number, that of names
_SECTION = struct.Struct("<I28xQ")  # where the name begins, size
_OFFSET = struct.Struct("<24xQ")


def section_sizes(code: bytes) -> dict[str, int]:
    """Return the bytes of each section of a 64-bit ELF file, by its name."""
    table, entry, number, names = _HEADER.unpack_from(code)
    starts = [table + entry * k for k in range(number)]
    (first_name,) = _OFFSET.unpack_from(code, starts[names])
    sizes = {}
    for start in starts:
        name, size = _SECTION.unpack_from(code, start)
        begin = first_name + name
        sizes[code[begin : code.index(b"\0", begin)].decode()] = size
    return sizes
