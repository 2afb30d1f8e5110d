"""What a command means to a folder that holds a sweep: the same trials, more of them, or a plug-in's new text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.base.text import counted
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.parameters.seeds import read_seeds
from freewalk.harness.plan.configuration import SweepConfiguration, identity, to_toml
from freewalk.harness.plan.grid import SEEDS
from freewalk.harness.plan.places import place_of
from freewalk.harness.plan.plan import Plan, expand
from freewalk.harness.plan.plugins import text_of
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import earlier_values
from freewalk.results.base.errors import StoreError
from freewalk.results.schema.configuration import (
    DOCUMENT,
    MERGED,
    PLUGINS,
    TEXTS,
    canonical_json,
    describe_difference,
    lasting,
    same_code,
    texts_of,
)
from freewalk.results.store.data import configuration_of, has_trials, planned_trials
from freewalk.results.store.store import another_sweep

_SHOWN = 6

Whole: TypeAlias = tuple[SweepConfiguration, Plan]
"""A sweep and what it is written out as."""


@dataclass(frozen=True)
class Joined:
    """A command's sweep as part of what its folder holds."""

    plan: Plan
    """The command's own trials, under the names that they have in the folder."""
    whole: Whole
    """Everything that the folder holds from here on."""
    described: dict[str, Any] | None
    """What the store is to say of it; None where it says so already."""
    n_added: int = 0
    """Trials that the folder did not have."""
    new_texts: bool = False
    """Whether plug-ins have another text than before."""
    other_code: bool = False
    """Whether they may compute something else than before."""
    notes: tuple[str, ...] = ()
    """For the user."""


def as_begun(configuration: SweepConfiguration, directory: Path) -> SweepConfiguration:
    """Return a configuration with what its folder's sweep did before there was a setting, unless something is asked."""
    said = configuration_of(directory)
    known = configuration.model_fields_set if said is None else {*said, *configuration.model_fields_set}
    earlier = {key: value for key, value in earlier_values().items() if said is not None and key not in known}
    return configuration.model_copy(update=earlier)


def planned(configuration: SweepConfiguration, directory: Path, registry: BuiltInRegistry) -> tuple[bool, Plan]:
    """Return the plan, and whether its trials are named by paths as they are spelled, as those of an older store."""
    plan = expand(configuration, registry)
    here = _of_places(plan)
    if here and configuration_of(directory) is not None and not has_trials(directory, here):
        spelled = expand(configuration, registry, as_spelled=True)
        if has_trials(directory, _of_places(spelled)):
            return True, spelled
    return False, plan


def _of_places(plan: Plan) -> list[str]:
    """Return the names of the trials whose data lie in a file or a folder."""
    named = {
        cell
        for cell in plan.cells
        if any(place_of(cell.task, name, value) is not None for name, value in cell.parameters.items())
    }
    return [trial.trial_id for trial in plan.trials if trial.cell in named]


def described(configuration: SweepConfiguration) -> dict[str, Any]:
    """Return what a new store says of a sweep: what decides its results, its `sweep.toml`, and its plug-ins' texts."""
    texts = {TEXTS: _texts(configuration)} if configuration.plugins else {}
    return {**identity(configuration), DOCUMENT: to_toml(configuration), **texts}


def join(
    directory: Path,
    stored: Mapping[str, Any],
    configuration: SweepConfiguration,
    plan: Plan,
    expand: Callable[..., Plan],
    *,
    retry_failed: bool,
) -> Joined:
    """Fit a command's sweep to what its folder holds.

    Settings must be the same. Cells and seeds may be fewer, or more where one cell at least is common. Plug-ins may
    differ in comments and layout; in more only where failed trials are run again, which the texts in the store tell.

    Parameters
    ----------
    directory, stored
        The folder, for messages, and what its store says.
    configuration, plan
        The command's.
    expand
        Makes a plan of a configuration and, as `plugins`, the names of plug-ins' texts.
    retry_failed
        Whether failed trials are run again, so that a mended plug-in is meant.

    Raises
    ------
    StoreError
        The folder holds another sweep: in which setting or parameter, and with which values; or its grid means other
        trials than those that it holds, since defaults have changed.
    """
    wanted = described(configuration)
    if MERGED in stored:
        raise another_sweep(directory, "one that was merged from several", "pick another --out, and merge again")
    if lasting(stored) != lasting(wanted):
        raise another_sweep(directory, describe_difference(lasting(stored), lasting(wanted)))
    changed, other_code = _changed_files(directory, stored, wanted, retry_failed=retry_failed)
    names = stored.get(PLUGINS, [])
    if names != wanted.get(PLUGINS, []):
        plan = expand(configuration, plugins=names)
    whole, n_added, there = (configuration, plan), 0, planned_trials(directory)
    try:
        begun = _stored_configuration(stored, configuration)
        old, unreadable = (begun, expand(begun, plugins=names)), None
    except (UsageError, ValueError, TypeError, KeyError, AttributeError) as error:
        old, unreadable = None, one_line(error)
    others = _other_defaults(there, old[1]) if old else None
    if others:  # the command may name all that the folder's grid leaves out
        here = {trial.trial_id for trial in plan.trials}
        if not there.keys() <= here:
            raise another_sweep(directory, *others)
        n_added = len(here - there.keys())
    elif any(stored.get(key) != wanted[key] for key in ("seeds", "grid")):
        if old is None:
            raise another_sweep(directory, f"whose cells cannot be read: {unreadable}")
        whole, n_added = _united(directory, old, (configuration, plan), partial(expand, plugins=names))
    notes = [f"{counted(n_added, 'trial')} more than {directory} held before"] if n_added else []
    if other_code:
        notes.append(
            f"{', '.join(changed)} has changed: what failed or is left is run with the new text, complete trials stay "
            "as they are; environment.json says until when the old one held"
        )
    says = described(whole[0]) | ({PLUGINS: names} if names else {})
    is_news = n_added or changed or others or any(key in says and key not in stored for key in (DOCUMENT, TEXTS))
    return Joined(plan, whole, says if is_news else None, n_added, bool(changed), other_code, tuple(notes))


def _texts(configuration: SweepConfiguration) -> list[dict[str, str]]:
    return sorted(map(text_of, configuration.plugins), key=lambda text: text["sha256"])


def _changed_files(
    directory: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any], *, retry_failed: bool
) -> tuple[list[str], bool]:
    """Return the plug-ins whose texts are others than the folder's, and whether they may compute something else."""
    there, here = texts_of(stored), wanted.get(TEXTS, [])
    known = {str(text.get("sha256")) for text in there}
    changed = [str(text["path"]) for text in here if text["sha256"] not in known]
    if len(there) != len(here):
        has_objects = any("python" in text for text in (*there, *here))
        before = f"{len(there)} plug-ins and objects" if has_objects else counted(len(there), "plug-in")
        remedy = "give the same tasks and methods as objects" if has_objects else "give the same --plugin files"
        raise another_sweep(directory, f"{before} there and {len(here)} here", f"{remedy}, or pick another --out")
    if not changed or same_code(there, here):
        return changed, False
    if not retry_failed:
        raise StoreError(
            f"{', '.join(changed)} has changed since {directory} was begun{_other_python(there, here)}: put the old"
            f" {'one' if any('python' in text for text in here) else 'text'} back, add --retry-failed to run with the"
            " new one what failed or is left, complete trials stay as they are, or pick another --out"
        )
    return changed, True


def _other_python(there: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]) -> str:
    """Say where objects were made by another Python, whose instructions are others."""
    old, new = (sorted({str(text["python"]) for text in one if "python" in text}) for one in (there, here))
    if not old or not new or old == new:
        return ""
    return f" (by Python {', '.join(old)}, and this is {', '.join(new)}, which compiles it otherwise)"


def _other_defaults(there: Mapping[str, tuple[str, str, str]], old: Plan) -> tuple[str, str] | None:
    """Return, where a folder's own grid by now makes other trials than it holds, in what they differ and what to do.

    A grid does not tell the values that it leaves out, and their defaults may have changed.
    """
    strange = next(iter(there.keys() - {trial.trial_id for trial in old.trials}), None)
    if strange is None:
        return None
    task, method, text = there[strange]
    before = json.loads(text)
    # What is absent on one side follows from another value, or is younger than the store.
    different = (
        {
            key: (was, now)
            for key, now in cell.parameters.items()
            if None not in (now, was := before.get(key)) and was != now
        }
        for cell in old.cells
        if (cell.task, cell.method) == (task, method)
    )
    nearest = min(different, key=len, default={})
    if not nearest:
        return None
    changes = ", ".join(
        f"{key} is {_listed([was])} there and {_listed([now])} here" for key, (was, now) in nearest.items()
    )
    meant = " ".join(f"--grid {key}={was}" for key, (was, _) in nearest.items())
    return (
        f"{changes}; its grid leaves that to defaults, which have changed",
        f"go on with {meant}, or pick another --out",
    )


def _united(directory: Path, old: Whole, new: Whole, expand: Callable[[SweepConfiguration], Plan]) -> tuple[Whole, int]:
    """Put a folder's sweep and a command's together; also return the number of new trials."""
    there, here = ({trial.trial_id for trial in plan.trials} for _, plan in (old, new))
    if here <= there:
        return old, 0
    if there <= here:
        return new, len(here - there)
    if not {*old[1].cells} & {*new[1].cells}:
        raise another_sweep(
            directory,
            _difference_of_cells(old[1], new[1]),
            "give one of its cells as well to add to it, or pick another --out and unite the two with harness merge",
        )
    configurations = [old[0], new[0]]
    tables = [{SEEDS: one.seeds, **table} for one in configurations for table in one.grid]
    different = {canonical_json(table): table for table in tables}
    seeds = tuple(sorted({seed for one in configurations for seed in one.seeds}))
    both = new[0].model_copy(update={"seeds": seeds, "grid": tuple(different.values())})
    return (both, expand(both)), len(here - there)


def _stored_configuration(stored: Mapping[str, Any], configuration: SweepConfiguration) -> SweepConfiguration:
    """Return the command's configuration with the cells and seeds of the store."""
    grid = [
        {key: read_seeds(values, SEEDS) if key == SEEDS else values for key, values in table.items()}
        for table in stored["grid"]
    ]
    read = SweepConfiguration.model_validate({"seeds": read_seeds(stored["seeds"], SEEDS), "grid": grid})
    return configuration.model_copy(update={"seeds": read.seeds, "grid": read.grid})


def _difference_of_cells(old: Plan, new: Plan) -> str:
    """Name what no cell of one plan shares with one of the other, with values."""
    for key in ("task", "method", *PARAMETERS):
        there, here = (
            list(dict.fromkeys({"task": c.task, "method": c.method, **c.parameters}[key] for c in one.cells))
            for one in (old, new)
        )
        if not {*there} & {*here}:
            return f"{key} is {_listed(there)} there and {_listed(here)} here"
    return "no cell is the same"


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join("absent" if value is None else str(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown}, …"
