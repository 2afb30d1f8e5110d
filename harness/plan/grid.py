"""The grid: what ``--grid`` says, and the tables of axes that it makes together with presets and files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.methods.walk import WALK
from freewalk.harness.parameters.parameters import AXIS_KEYS, Axes, Scalar, check_axis
from freewalk.harness.parameters.presets import preset_names, preset_path
from freewalk.harness.parameters.presets.relatives import RELATIVES
from freewalk.harness.parameters.seeds import read_seeds
from freewalk.harness.parameters.values import parse_range, parse_values
from freewalk.harness.plan.document import read_document
from freewalk.harness.plan.effects import useful_keys
from freewalk.harness.plan.plugins import load_plugins, without
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import Settings
from freewalk.results.base.names import meant

_LONGEST_SHOWN = 200
"""Characters of an argument that a message repeats."""

SEEDS = "seeds"
"""A key of a file's table that is no axis of its cells: the seeds that they run with, in place of the sweep's."""


@dataclass(frozen=True)
class GridSpec:
    """What all ``--grid`` arguments say together."""

    source: str | None
    """The preset's name or the file's path, of several relatives the first's; None when there is neither."""
    settings: Mapping[str, object]
    """The file's top-level values, such as its seeds, as they were read."""
    tables: tuple[Axes, ...]
    """The axes of every grid; their union is the sweep. Keys in the order given."""
    plugins: tuple[str, ...] = ()
    """Pinned names of the plug-ins that the file names, which are loaded."""


def parse_grid(
    specs: Sequence[str],
    *,
    tables: Sequence[Axes] = (),
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    registry: BuiltInRegistry | None = None,
    plugins: Sequence[str] = (),
) -> GridSpec:
    """Read all ``--grid`` arguments, and ``--task`` and ``--method``, which are axes too.

    An axis from the command line replaces that axis in every table of the file.

    Parameters
    ----------
    specs
        ``key=values``, presets' names, paths of TOML files: at most one preset or file, or any number of the walk's
        relatives, each of which makes a grid.
    tables
        Grids in place of a preset's or a file's.
    tasks, methods
        The values of ``--task`` and ``--method``.
    registry
        Knows which tasks use which parameters, so that a file's axes for tasks that ``--task`` replaced go with them.
    plugins
        Pinned names of plug-ins that are loaded; where a file names the same one, these hold.

    Raises
    ------
    UsageError
        When anything is malformed, unknown or given twice.
    """
    axes: dict[str, tuple[Scalar, ...]] = {}
    sources = [spec for spec in specs if _names_a_document(spec)]
    if len(sources) > 1 and not set(sources) <= RELATIVES.keys():
        raise UsageError(f"--grid {sources[0]!r} and --grid {sources[1]!r}: give one preset or file, not both")
    if sources and tables:
        raise UsageError(f"grid {sources[0]!r} and several mappings: give a preset or a file, or mappings, not both")
    # first: its plug-ins bring keys
    settings, named, own_tables = _read_all(sources, plugins) if sources else ({}, (), tables or [{}])
    for spec in specs:
        if spec in sources:
            continue
        key, values = _parse_axis(spec)
        if key in axes:
            raise UsageError(f"--grid {spec!r}: {key} is given twice; write all its values in one list")
        axes[key] = values
    for key, names in (("task", tasks), ("method", methods)):
        if names and key in axes:
            raise UsageError(f"{key} is given by --{key} and by --grid {key}=...; give one of them")
        if names:
            axes[key] = check_axis(key, names, f"--{key}: ")
    merged = tuple(_override(table, axes, registry) for table in own_tables)
    return GridSpec(sources[0] if sources else None, settings, merged, named)


def load_named(specs: Sequence[str], plugins: Sequence[str]) -> None:
    """Load plug-ins, and those that files among ``--grid`` arguments name.

    Raises
    ------
    UsageError
        If one cannot be loaded, or a file is wrong.
    """
    pinned = load_plugins(plugins)
    for spec in specs:
        if os.path.isfile(spec):
            _read(spec, pinned)


def names_a_whole_sweep(specs: Sequence[str]) -> bool:
    """Tell whether some of ``--grid`` arguments are a preset or a file, not methods of the field or axes."""
    return any("=" not in spec and spec not in RELATIVES for spec in specs)


def own_seeds(table: Axes, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return the seeds that a table has of its own, or the sweep's."""
    return tuple(int(seed) for seed in table.get(SEEDS, default))


def _names_a_document(spec: str) -> bool:
    """Tell a preset or file from ``key=values``; a file's path may hold ``=`` if the file exists."""
    if spec in RELATIVES or spec in preset_names() or os.path.isfile(spec):
        return True
    if "=" in spec:
        return False
    if spec.endswith(".toml"):
        return True
    if spec in AXIS_KEYS:
        raise UsageError(f"--grid {spec!r}: no values; write {spec}=v1,v2")
    presets = (*preset_names(), *RELATIVES)
    raise UsageError(f"--grid {spec!r}: {unknown('preset', spec, presets)}; or write key=v1,v2, or a .toml file")


def _parse_axis(spec: str) -> tuple[str, tuple[Scalar, ...]]:
    where = f"--grid {spec if len(spec) <= _LONGEST_SHOWN else spec[:_LONGEST_SHOWN] + '…'!r}: "
    key, _, text = (part.strip() for part in spec.partition("="))
    if not key:
        raise UsageError(f"{where}the key is empty; write key=v1,v2, such as stddev=0.01,0.1")
    setting = key if key in Settings.model_fields else meant(key, Settings.model_fields)
    if setting:
        raise UsageError(f"{where}{key} is no axis; give it as --{setting.replace('_', '-')} or in a TOML file")
    if key not in AXIS_KEYS:
        raise UsageError(f"{where}{unknown('parameter', key, AXIS_KEYS)}")
    if not text:
        raise UsageError(f"{where}no values; write {key}=v1,v2")
    return key, _checked(key, text, where)


def axis_text(name: str, text: str) -> str:
    """Return a parameter's option as ``--grid`` has it; what is wrong with it is said of the option itself."""
    where = f"--{name.replace('_', '-')} {text!r}: "
    _checked(name, text, where)
    return f"{name}={text}"


def _checked(key: str, text: str, where: str) -> tuple[Scalar, ...]:
    return check_axis(key, parse_range(text, where) or axis_values(key, text, where), where)


def axis_values(key: str, text: str, where: str) -> tuple[Scalar, ...]:
    """Return an axis's values, as `parse_values` does; the path of a source that is there is one, commas and all."""
    if key == "source" and os.path.exists(os.path.expanduser(text)):
        return (text,)
    return parse_values(text, where)


def _read_all(
    sources: Sequence[str], given: Sequence[str]
) -> tuple[dict[str, object], tuple[str, ...], Sequence[Axes]]:
    """Return what one document says, or the tables of the walk's relatives."""
    if sources[0] in RELATIVES:
        return {}, (), [_table_of(source) for source in dict.fromkeys(sources)]
    return _read(sources[0], given)


def _table_of(relative: str) -> Axes:
    settings = {"method": WALK.name, **RELATIVES[relative].settings}
    return {key: check_axis(key, (value,)) for key, value in settings.items()}


def _read(source: str, given: Sequence[str]) -> tuple[dict[str, object], tuple[str, ...], Sequence[Axes]]:
    """Return a document's settings, its plug-ins, which it has loaded, and its tables."""
    path = preset_path(source) if source in preset_names() else Path(source)
    settings, grids = read_document(path)
    named = settings.pop("plugins", ())
    listed = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    plugins = load_plugins(without(given, map(str, listed), path.parent), path.parent)
    tables: list[Axes] = []
    for number, grid in enumerate(grids, start=1):
        where = f"--grid {source!r}: [[grid]] table {number}: "
        seeds = {SEEDS: _read_own_seeds(grid.pop(SEEDS), where)} if SEEDS in grid else {}
        misplaced = next((key for key in grid if key in Settings.model_fields), None)
        if misplaced:
            raise UsageError(f"{where}{misplaced} is no axis; move it above the first [[grid]]")
        axes = {key: check_axis(key, _values(key, value, where), where) for key, value in grid.items()}
        tables.append({**axes, **seeds})
    return settings, plugins, tables


def _read_own_seeds(value: object, where: str) -> tuple[int, ...]:
    seeds = read_seeds(value, f"{where}{SEEDS} =")
    if not isinstance(seeds, tuple) or not all(type(seed) is int for seed in seeds):
        raise UsageError(f"{where}{SEEDS} = {value!r}: must be a whole number, a list of them, or a text such as 0:5")
    return seeds


def _values(key: str, value: object, where: str) -> tuple[Scalar, ...]:
    """Return an axis's values in a file, or its range."""
    found = parse_range(value, f"{where}{key} = {value!r}: ") if isinstance(value, str) else None
    return found or tuple(_listed(key, value, where))


def _listed(key: str, value: object, where: str) -> Iterator[Scalar]:
    """Yield the values of an axis in a file: a list or a scalar, texts in the command line's syntax."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield from axis_values(key, item, f"{where}{key} = {item!r}: ")
        elif isinstance(item, int | float):
            yield item
        else:
            raise UsageError(f"{where}{key} = {item!r}: must be a number or text, or a list of them")


def _override(table: Axes, axes: Axes, registry: BuiltInRegistry | None) -> Axes:
    """Replace a table's axes by the command line's.

    Axes of the table that this robs of their effect go too: with ``--grid update=raw`` a preset's optimizer
    is no mistake of the user's, while an optimizer that they name beside ``update=raw`` is.
    """
    merged = {**table, **axes}
    robbed = useful_keys(table, registry) - useful_keys(merged, registry)
    return {key: values for key, values in merged.items() if key in axes or key not in robbed}
