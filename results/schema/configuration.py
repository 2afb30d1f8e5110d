"""A sweep's configuration as text that can be compared: what may grow, what must stay, and what differs in words."""

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final

from freewalk.results.schema.records import plain

DOCUMENT: Final = "document"
"""Key of the text of ``sweep.toml``, which runs everything that the folder holds."""
TEXTS: Final = "texts"
"""Key of the plug-ins' present texts: path, sha256 and code (a digest without comments and layout) of each."""
PLUGINS: Final = "plugins"
"""Key of the SHA-256 of the plug-ins' first texts, on which the names of the trials depend."""
MERGED: Final = "merged"
"""Key of the names of the sweeps that were merged; SETTINGS has the settings of each."""
SETTINGS: Final = "settings"
_PLAN: Final = ("seeds", "grid")
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


def lasting(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a configuration holds for all trials of a folder for good: all but cells, seeds and texts."""
    return {key: value for key, value in configuration.items() if key not in {*_PLAN, DOCUMENT, TEXTS, PLUGINS}}


def run_settings(configuration: Mapping[str, Any], sweep_id: str) -> dict[str, Mapping[str, Any]]:
    """Return by sweep_id how the trials of a sweep are run: epochs, looks, plug-ins; nothing where nothing is known.

    The target is no part of it, since every trial has its own, nor is the backend, which a trial's name does not tell.
    """
    if MERGED in configuration:
        known = configuration.get(SETTINGS)
        return dict(known) if isinstance(known, Mapping) else {}
    own = {key: value for key, value in lasting(configuration).items() if key not in ("name", "backend", "target")}
    if texts := texts_of(configuration):
        own[PLUGINS] = [{key: text.get(key) for key in ("sha256", "code")} for text in texts]
    return {sweep_id: own} if own else {}


def texts_of(configuration: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plug-ins' present texts; an older configuration knows their SHA-256 alone."""
    if isinstance(texts := configuration.get(TEXTS), list):
        return [text for text in texts if isinstance(text, Mapping)]
    return [{"sha256": sha256} for sha256 in configuration.get(PLUGINS, ())]


def same_code(there: Iterable[Mapping[str, Any]], here: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether plug-ins are the same, byte for byte or but for comments and layout."""
    old, new = list(there), list(here)
    return any(
        sorted(str(text.get(key)) for text in old) == sorted(str(text.get(key)) for text in new)
        and all(text.get(key) for text in old)
        for key in ("sha256", "code")
    )


def settings_difference(
    there: Mapping[str, Any], here: Mapping[str, Any], *, texts: bool = True
) -> tuple[str, str, str] | None:
    """Name the first of two ``run_settings`` that differs, with both values as they are shown; None if none does.

    Without `texts` the plug-ins may differ.
    """
    old, new = ({key: value for key, value in one.items() if key != PLUGINS} for one in (there, here))
    both = [one.get(PLUGINS, []) for one in (there, here)]
    if canonical_json(old) != canonical_json(new):
        key, *values = _first_difference(old, new, "")
        return key, _shown(values[0]), _shown(values[1])
    if texts and not same_code(*both):
        first, second = (", ".join(str(text.get("sha256"))[:12] for text in one) or "none" for one in both)
        return "SHA-256 of the plug-ins", first, second
    return None


def describe_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Name the first key, in sorted order, in which two different configurations differ."""
    key, there, here = _first_difference(stored, wanted, "")
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
