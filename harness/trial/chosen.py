"""Trials that run when, and as far as, somebody chooses who looks at what is known of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell, Trial
from freewalk.harness.trial.events import Event, Failed, Finished, Paused, Saved
from freewalk.harness.trial.history import FAILED, History
from freewalk.harness.trial.trial import resolve_trial
from freewalk.results.schema.records import CurvePoint
from freewalk.results.schema.schema import State
from freewalk.results.store.store import Store

_HELD_BYTES = 1_000_000_000
"""Checkpoints that may wait in memory; those beyond it wait in the store."""


@dataclass(frozen=True)
class Batch:
    """Trials to run next."""

    trials: Sequence[Trial]
    pauses: Mapping[str, float] = field(default_factory=dict)
    """Evaluations that some of them may spend for now, by trial_id; the others run to their ends."""


Choose: TypeAlias = Callable[[Sequence[Trial], Mapping[str, History]], Iterator[Batch]]
"""Says which of a sweep's trials run next, and looks, from batch to batch, at what is known of them, by trial_id; of
those that have not begun nothing is."""


class Chosen:
    """What is known of trials in a store, and what those that wait go on from.

    A pause is no end: what a trial goes on from is kept in memory, and in the store only where it took long to come
    there, where memory has no room for it, or when the sweep is left.

    Parameters
    ----------
    store
        Open for writing.
    ended
        Those of the trials that may be chosen that are not run any more.
    budget
        How trials are measured.
    seconds
        Of training that a kill may cost a trial.
    """

    def __init__(self, store: Store, ended: Sequence[Trial], budget: Budget, seconds: float) -> None:
        self._store, self._budget, self._seconds = store, budget, seconds
        self._saved_seconds: dict[str, float] = {}
        self._unsaved: dict[str, Checkpoint] = {}
        self._sizes: dict[str, int] = {}
        self._held = 0
        self._costs: dict[Cell, float] = {}
        self.histories: dict[str, History] = {}
        self._remember(ended)

    def _remember(self, ended: Sequence[Trial]) -> None:
        """Learn of trials that have ended."""
        if not ended:
            return
        curves: dict[str, list[CurvePoint]] = {}
        points = self._store.curves()[["trial_id", *CurvePoint._fields]]
        for trial_id, *point in points.itertuples(index=False, name=None):
            curves.setdefault(trial_id, []).append(CurvePoint(*point))
        rows: Any = self._store.trials().to_dict("records")
        by_id = {row["trial_id"]: row for row in rows}
        for trial in ended:
            self._end(trial, curves.get(trial.trial_id, ()), by_id[trial.trial_id])

    def _end(self, trial: Trial, curve: Sequence[CurvePoint], fields: Mapping[str, Any]) -> None:
        self.histories[trial.trial_id] = History.of_end(curve, fields, self._cost(trial), self._budget)

    def _cost(self, trial: Trial) -> float:
        """Return the evaluations of a step."""
        if trial.cell not in self._costs:
            self._costs[trial.cell] = resolve_trial(trial.cell, self._budget).evaluations_per_step
        return self._costs[trial.cell]

    def wait(self, trial: Trial, checkpoint: Checkpoint) -> None:
        """Learn of a trial whose checkpoint is in the store."""
        self.histories[trial.trial_id] = History.of_pause(checkpoint.curve, self._cost(trial), self._budget)
        self._saved_seconds[trial.trial_id] = checkpoint.seconds

    def left(self, batch: Batch) -> list[Trial]:
        """Return those trials of a batch that are not known to have ended."""
        known = self.histories
        return [trial for trial in batch.trials if (had := known.get(trial.trial_id)) is None or not had.ended]

    def unsaved(self, trials: Sequence[Trial]) -> dict[str, Checkpoint]:
        """Return what trials go on from that is not in the store."""
        return {key: self._unsaved[key] for trial in trials if (key := trial.trial_id) in self._unsaved}

    def note(self, event: Event) -> None:
        """Learn what comes of a trial."""
        match event:
            case Paused(trial=trial, checkpoint=checkpoint):
                before = self._saved_seconds.get(trial.trial_id, 0.0)
                self._let_go(trial.trial_id)
                self.wait(trial, checkpoint)
                size = sum(array.nbytes for array in checkpoint.state.values())
                if self._held + size > _HELD_BYTES or checkpoint.seconds - before >= self._seconds:
                    self._save(trial.trial_id, checkpoint)
                else:
                    self._saved_seconds[trial.trial_id] = before
                    self._unsaved[trial.trial_id] = checkpoint
                    self._sizes[trial.trial_id] = size
                    self._held += size
            case Saved(trial=trial, checkpoint=checkpoint):
                self._let_go(trial.trial_id)
                self.wait(trial, checkpoint)
            case Finished(trial=trial, result=result):
                self._let_go(trial.trial_id)
                self._end(trial, result.curve, {**result.fields, "state": State.COMPLETE})
            case Failed(trial=trial):
                self._let_go(trial.trial_id)
                self.histories[trial.trial_id] = FAILED

    def _let_go(self, trial_id: str) -> None:
        """Forget a checkpoint that waits in memory."""
        self._unsaved.pop(trial_id, None)
        self._held -= self._sizes.pop(trial_id, 0)

    def save(self) -> None:
        """Put into the store what waits in memory."""
        while self._unsaved:
            trial_id, checkpoint = next(iter(self._unsaved.items()))
            self._save(trial_id, checkpoint)
            self._let_go(trial_id)

    def _save(self, trial_id: str, checkpoint: Checkpoint) -> None:
        self._store.save_checkpoint(trial_id, checkpoint.step, checkpoint.to_bytes(trial_id))
