"""The sweeps that come with the program, and the reading of TOML files like them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError, unknown

FOLDER = Path(__file__).parent

SETTING_TYPES: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "seeds": (str, int, list),
    "epochs": (int,),
    "steps_per_epoch": (int,),
    "evaluations": (int,),
    "target": (float, int),
    "plateau": (int,),
    "looks": (str,),
    "evaluation_points": (int,),
    "backend": (str,),
    "plugins": (str, list),
}
"""A file's top-level keys besides ``grid``, each with the types that it may have."""

_TYPE_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list"}


def preset_names() -> tuple[str, ...]:
    """Name the presets, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def preset_path(name: str) -> Path:
    """Locate a preset's TOML file; the name must be one of `preset_names`."""
    return FOLDER / f"{name}.toml"


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
    document = _read_toml(path, where)
    grids = document.pop("grid", [])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise UsageError(f"{where}grid must be one or several tables; write [[grid]] above its axes")
    for key, value in document.items():
        _check_setting(key, value, where)
    return document, grids or [{}]


def _read_toml(path: Path, where: str) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        presets = ", ".join(preset_names())
        raise UsageError(f"{where}no such file; give an existing TOML file or a preset: {presets}") from None
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
        raise UsageError(f"{where}too many brackets one in another; a grid needs two at most") from None
    except ValueError:  # of Python, for a whole number of more than 4,300 digits
        raise UsageError(f"{where}a number has thousands of digits; write a shorter one") from None


def _check_setting(key: str, value: object, where: str) -> None:
    if key not in SETTING_TYPES:
        error = unknown("key", key, [*SETTING_TYPES, "grid"])
        raise UsageError(f"{where}{error}; axes such as task and stddev belong under [[grid]]")
    kinds = SETTING_TYPES[key]
    # A bool is an int to Python, but not to whoever wrote the file.
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if fits and isinstance(value, list):
        wanted = str if key == "plugins" else int
        fits = all(isinstance(item, wanted) and not isinstance(item, bool) for item in value)
    if not fits:
        words = " or ".join(_TYPE_WORDS[kind] for kind in kinds)
        raise UsageError(f"{where}{key} = {value!r}: must be {words}")
