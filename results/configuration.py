"""A sweep's configuration as text that can be compared."""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from freewalk.results.records import plain

_ABSENT: Final = object()
_SHOWN_CHARACTERS: Final = 60


def canonical_json(value: object) -> str:
    """Write a value so that equal configurations are equal texts: sorted keys, no blanks, tuples as lists.

    Parameters
    ----------
    value : object
        What JSON can hold, NumPy scalars and paths. 1, 1.0 and true are three different values.

    Raises
    ------
    TypeError
        The value holds something else.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_default)


def _default(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(scalar := plain(value), str | int | float):
        return scalar
    raise TypeError(f"a configuration cannot hold {value!r}")


def describe_difference(stored: str, wanted: str) -> str:
    """Name the first key, in sorted order, in which two different canonical texts differ."""
    key, there, here = _first_difference(json.loads(stored), json.loads(wanted), "")
    return f"{key or 'its configuration'} is {_shown(there)} there and {_shown(here)} here"


def _first_difference(there: Any, here: Any, prefix: str) -> tuple[str, Any, Any]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            old, new = there.get(key, _ABSENT), here.get(key, _ABSENT)
            if old is _ABSENT or new is _ABSENT or canonical_json(old) != canonical_json(new):
                return _first_difference(old, new, f"{prefix}.{key}" if prefix else key)
    return prefix, there, here


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    text = canonical_json(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
