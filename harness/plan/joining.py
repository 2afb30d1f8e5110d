"""What a command means to a folder that holds a sweep: the same trials, more of them, or a plug-in's new text."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.base.text import counted
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.parameters.seeds import read_seeds
from freewalk.harness.plan.configuration import SweepConfiguration, identity, to_toml
from freewalk.harness.plan.grid import SEEDS
from freewalk.harness.plan.plan import Cell, Plan
from freewalk.harness.plan.plugins import text_of
from freewalk.results.base.errors import StoreError
from freewalk.results.files.export import write_text
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
from freewalk.results.store.data import planned_trials
from freewalk.results.store.store import another_sweep

_SHOWN = 6


class Expand(Protocol):
    """`plan.expand` for the tasks and methods there are."""

    def __call__(self, configuration: SweepConfiguration, *, plugins: Sequence[str] | None) -> Plan:
        """Write a configuration out as trials."""


@dataclass(frozen=True)
class Joined:
    """A command's sweep as part of what its folder holds."""

    plan: Plan
    """The command's own trials, under the names that they have in the folder."""
    whole: tuple[SweepConfiguration, Plan]
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


def described(configuration: SweepConfiguration) -> dict[str, Any]:
    """Give what a new store says of a sweep: what decides its results, its `sweep.toml`, and its plug-ins' texts."""
    texts = {TEXTS: _texts(configuration)} if configuration.plugins else {}
    return {**identity(configuration), DOCUMENT: to_toml(configuration), **texts}


def join(
    directory: Path,
    stored: Mapping[str, Any],
    configuration: SweepConfiguration,
    plan: Plan,
    expand: Expand,
    *,
    retry_failed: bool,
) -> Joined:
    """Fit a command's sweep to what its folder holds.

    Settings must be the same. Cells and seeds may be fewer, or more where one cell at least is common. Plug-ins may
    differ in comments and layout; in more only where failed trials are run again, which the texts in the store tell.

    Parameters
    ----------
    directory : Path
        The folder, for messages.
    stored : mapping
        What its store says.
    configuration, plan
        The command's.
    expand
        Makes a plan of a configuration and the names of plug-ins' texts.
    retry_failed : bool
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
    whole, n_added = (configuration, plan), 0
    kept, others = _other_defaults(directory, stored, configuration, expand, names)
    if others:  # the command may name all that the folder's grid leaves out
        here = {trial.trial_id for trial in plan.trials}
        if not kept <= here:
            raise another_sweep(directory, *others)
        n_added = len(here - kept)
    elif any(stored.get(key) != wanted[key] for key in ("seeds", "grid")):
        whole, n_added = _united(directory, stored, configuration, plan, expand, names)
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
    """Give the plug-ins whose texts are others than the folder's, and whether they may compute something else."""
    there, here = texts_of(stored), wanted.get(TEXTS, [])
    known = {str(text.get("sha256")) for text in there}
    changed = [str(text["path"]) for text in here if text["sha256"] not in known]
    if len(there) != len(here):
        count = f"{counted(len(there), 'plug-in')} there and {len(here)} here"
        raise another_sweep(directory, count, "give the same --plugin files, or pick another --out")
    if not changed or same_code(there, here):
        return changed, False
    if not retry_failed:
        raise StoreError(
            f"{', '.join(changed)} has changed since {directory} was begun: put the old text back, add --retry-failed "
            "to run with the new one what failed or is left, complete trials stay as they are, or pick another --out"
        )
    return changed, True


def _other_defaults(
    directory: Path,
    stored: Mapping[str, Any],
    configuration: SweepConfiguration,
    expand: Expand,
    names: Sequence[str],
) -> tuple[set[str], tuple[str, str] | None]:
    """Give the names of a folder's trials and, where its own grid makes others by now, in what and what to do.

    A grid does not tell the values that it leaves out, and their defaults may have changed.
    """
    there = planned_trials(directory)
    try:
        old = expand(_stored_configuration(stored, configuration), plugins=names)
    except (UsageError, ValueError, TypeError, KeyError, AttributeError):
        return {*there}, None  # who needs its cells says what is wrong with them
    strange = next(iter(there.keys() - {trial.trial_id for trial in old.trials}), None)
    if strange is None:
        return {*there}, None
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
        return {*there}, None
    changes = ", ".join(
        f"{key} is {_listed([was])} there and {_listed([now])} here" for key, (was, now) in nearest.items()
    )
    meant = " ".join(f"--grid {key}={was}" for key, (was, _) in nearest.items())
    return {*there}, (
        f"{changes}; its grid leaves that to defaults, which have changed",
        f"go on with {meant}, or pick another --out",
    )


def _united(
    directory: Path,
    stored: Mapping[str, Any],
    configuration: SweepConfiguration,
    plan: Plan,
    expand: Expand,
    names: Sequence[str],
) -> tuple[tuple[SweepConfiguration, Plan], int]:
    """Put a folder's sweep and a command's together; also give the number of new trials."""
    try:
        old_configuration = _stored_configuration(stored, configuration)
        old = expand(old_configuration, plugins=names)
    except (UsageError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise another_sweep(directory, f"whose cells cannot be read: {one_line(error)}") from None
    there, here = ({trial.trial_id for trial in one.trials} for one in (old, plan))
    if here <= there:
        return (old_configuration, old), 0
    if there <= here:
        return (configuration, plan), len(here - there)
    if not {*old.cells} & {*plan.cells}:
        raise another_sweep(
            directory,
            _difference_of_cells(old, plan),
            "give one of its cells as well to add to it, or pick another --out and unite the two with harness merge",
        )
    tables = [{SEEDS: one.seeds, **table} for one in (old_configuration, configuration) for table in one.grid]
    seeds = tuple(sorted({*old_configuration.seeds, *configuration.seeds}))
    different = {canonical_json(table): table for table in tables}
    both = configuration.model_copy(update={"seeds": seeds, "grid": tuple(different.values())})
    return (both, expand(both, plugins=names)), len(here - there)


def _stored_configuration(stored: Mapping[str, Any], configuration: SweepConfiguration) -> SweepConfiguration:
    """Give the command's configuration with the cells and seeds of the store."""
    grid = [
        {key: read_seeds(values, SEEDS) if key == SEEDS else values for key, values in table.items()}
        for table in stored["grid"]
    ]
    read = SweepConfiguration.model_validate({"seeds": read_seeds(stored["seeds"], SEEDS), "grid": grid})
    return configuration.model_copy(update={"seeds": read.seeds, "grid": read.grid})


def _difference_of_cells(old: Plan, new: Plan) -> str:
    """Name what no cell of one plan shares with one of the other, with values."""
    for key in ("task", "method", *PARAMETERS):
        there, here = (list(dict.fromkeys(_value(cell, key) for cell in one.cells)) for one in (old, new))
        if not {*there} & {*here}:
            return f"{key} is {_listed(there)} there and {_listed(here)} here"
    return "no cell is the same"


def _value(cell: Cell, key: str) -> object:
    return getattr(cell, key) if key in ("task", "method") else cell.parameters[key]


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join("absent" if value is None else str(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown}, …"


def keep_document(directory: Path, stored: Mapping[str, Any], joined: Joined) -> list[str]:
    """Let a folder's `sweep.toml` say what the folder holds; return notes for the user.

    A file that says the same in other words stays. One that somebody has edited is kept under another name.

    Parameters
    ----------
    directory : Path
        The sweep's folder.
    stored : mapping
        What the store says until now; one of an older version does not have the document.
    joined : Joined
        What is to be in the folder.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    path, notes = directory / "sweep.toml", list[str]()
    before, document = stored.get(DOCUMENT), str((joined.described or stored)[DOCUMENT])
    present: str | None
    try:
        present = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        present = before
    except (OSError, UnicodeDecodeError):
        present = ""
    if path.exists() and (_says(present) == _says(document) or (before is None and not joined.n_added)):
        return notes
    if path.exists() and _says(present) != _says(before):
        kept = next(name for name in map(path.with_name, _names_of_copies()) if not name.exists())
        path.rename(kept)
        notes.append(f"{path} did not say what the folder holds and is written anew; the edited one is now {kept.name}")
    write_text(document, path)
    return notes


def _says(document: str | None) -> object:
    try:
        return tomllib.loads(document or "")
    except (ValueError, RecursionError):
        return document


def _names_of_copies() -> Iterator[str]:
    yield "sweep.edited.toml"
    yield from (f"sweep.edited-{number}.toml" for number in itertools.count(2))
