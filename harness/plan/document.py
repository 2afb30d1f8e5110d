"""Sweeps as TOML files: presets, what a user writes, and the `sweep.toml` that every sweep leaves."""

import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.parameters.parameters import base_type
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.plan.settings import Settings, words_of

_TYPE_WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list"}


def read_document(path: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Read a preset or a file like one.

    Parameters
    ----------
    path : Path
        The TOML file.

    Returns
    -------
    settings : dict
        The top-level values, of the right types but with ranges unchecked.
    grids : list of dict
        The ``[[grid]]`` tables, unchecked; one empty table when the file has none.

    Raises
    ------
    UsageError
        When the file is missing, cannot be read, is not TOML (with the line) or has another structure.
    """
    where = f"--grid {str(path)!r}: "
    try:
        document = read_toml(path, where)
    except FileNotFoundError:
        presets = ", ".join(preset_names())
        raise UsageError(f"{where}no such file; give an existing TOML file or a preset: {presets}") from None
    grids = document.pop("grid", [])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise UsageError(f"{where}grid must be one or several tables; write [[grid]] above its axes")
    for key, value in document.items():
        _check_setting(key, value, where)
    return document, grids or [{}]


def read_toml(path: Path, where: str) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UsageError
        If it cannot be read or is none, with the line; the message begins with `where`.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{where}cannot be read ({error.strerror}); give a readable TOML file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        document = tomllib.loads(text)
        repr(document)  # a hexadecimal number may be too long to be shown in any message
        return document
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}not valid TOML: {error}; correct that line") from None
    except RecursionError:
        raise UsageError(f"{where}not valid TOML: too many brackets one in another; two are enough") from None
    except ValueError:  # of Python, for a whole number of more than 4,300 digits
        raise UsageError(f"{where}not valid TOML: a number has thousands of digits; write a shorter one") from None


def _check_setting(key: str, value: object, where: str) -> None:
    if key not in Settings.model_fields:
        error = unknown("key", key, [*Settings.model_fields, "grid"])
        raise UsageError(f"{where}{error}; axes such as task and stddev belong under [[grid]]")
    kind = base_type(Settings.model_fields[key])
    item = get_args(kind)[0] if get_origin(kind) is tuple else None
    kinds: tuple[type, ...] = (kind,)
    if item is not None:  # several also as text, as on the command line
        kinds = tuple(dict.fromkeys((str, item, list)))
    elif kind is float:
        kinds = (float, int)
    elif words_of(Settings.model_fields[key]):
        kinds = (str,)
    # A bool is an int to Python, but not to whoever wrote the file.
    listed = value if isinstance(value, list) else []
    fits = isinstance(value, kinds) and not any(isinstance(one, bool) for one in (value, *listed))
    if not fits or not all(isinstance(one, item or object) for one in listed):
        raise UsageError(f"{where}{key} = {value!r}: must be {' or '.join(_TYPE_WORDS[kind] for kind in kinds)}")
