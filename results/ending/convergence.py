"""When a trial stops, and how it ended: judged on held-out data alone.

The training signal is no witness: a signal that vanishes may belong to a network that learned nothing.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal

from freewalk.results.ending.outcome import COLLAPSE_SPREAD, Rise, missed_outcome
from freewalk.results.schema.schema import Outcome

Direction = Literal["minimize", "maximize"]

_REMEMBERED: Final = (
    "_reference",
    "_stale",
    "_improved",
    "_spread",
    "_last_step",
    "_last_evaluations",
    "loss_final",
    "loss_best",
    "metric_final",
    "n_unconfirmed",
)
"""What a judge knows of a trial that goes on; one that has ended is not interrupted."""


class Convergence:
    """Judge one trial from its looks at held-out data; no clock, no files.

    Parameters
    ----------
    target : float
        Value of the metric that counts as learned.
    direction : {"minimize", "maximize"}
        Whether the metric is better when lower or higher. The loss is always better when lower.
    strict : bool
        Whether the metric must pass the target (``<``, ``>``) instead of meeting it (``<=``, ``>=``).
    plateau : int, optional
        Stop after this many epochs in a row without a loss below the reference by ``plateau_tolerance``; None never
        stops. The reference is the loss at the last such improvement, so that many small steps add up.
    plateau_tolerance : float
        Relative improvement that counts.
    collapse_spread : float
        A trial that misses its target with an output spread below this has collapsed.

    Raises
    ------
    ValueError
        An argument has no meaning (a NaN target, no such direction, a plateau below 1, a negative tolerance).
    """

    def __init__(
        self,
        target: float,
        direction: Direction = "minimize",
        *,
        strict: bool = False,
        plateau: int | None = None,
        plateau_tolerance: float = 1e-3,
        collapse_spread: float = COLLAPSE_SPREAD,
    ) -> None:
        if math.isnan(target):
            raise ValueError("the target is NaN: nothing would ever meet it")
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"direction is minimize or maximize, not {direction!r}")
        if plateau is not None and plateau < 1:
            raise ValueError(f"plateau is a number of epochs, at least 1, not {plateau}")
        if not plateau_tolerance >= 0 or not collapse_spread >= 0:
            raise ValueError("plateau_tolerance and collapse_spread are at least 0")
        comparisons = {
            ("minimize", False): operator.le,
            ("minimize", True): operator.lt,
            ("maximize", False): operator.ge,
            ("maximize", True): operator.gt,
        }
        self.meets: Callable[[float, float], bool] = comparisons[direction, strict]
        self.target = target
        self._plateau = plateau
        self._tolerance = plateau_tolerance
        self._collapse_spread = collapse_spread
        self._reference = math.inf
        self._stale = 0
        self._improved = False
        self._rise = Rise()
        self._spread: float | None = None
        self._last_step: int | None = None
        self._last_evaluations: int | None = None
        self.outcome: Outcome | None = None
        self.loss_final = math.nan
        self.loss_best = math.nan
        self.metric_final = math.nan
        self.steps_to_target: int | None = None
        self.evaluations_to_target: int | None = None
        self.evaluations_resolution: int | None = None
        self.seconds_to_target: float | None = None
        self.n_unconfirmed = 0

    @property
    def reached(self) -> bool:
        """Whether the target was met, beyond doubt where that can be looked into."""
        return self.outcome is Outcome.REACHED

    def observe(
        self,
        *,
        step: int,
        evaluations: int,
        train_seconds: float,
        loss: float,
        metric: float,
        output_spread: float | None = None,
        n_epochs: int = 1,
        confirm: Callable[[], bool] | None = None,
    ) -> Outcome | None:
        """Take one look at held-out data in.

        Parameters
        ----------
        step, evaluations : int
            Updates made and training evaluations spent so far; 0 before the first update.
        train_seconds : float
            Training time so far, in seconds.
        loss, metric : float
            On held-out data.
        output_spread : float, optional
            Over the held-out inputs, highest minus lowest value of each output; the largest of these. None:
            unknown.
        n_epochs : int
            Epochs that have ended since the last look: between two ends of an epoch nothing counts as standing still or
            as a rise, however many looks there are.
        confirm : callable, optional
            Asked where the metric meets the target: whether it does so on other datapoints too. One of many looks is
            lucky now and then. None where there are no others.

        Returns
        -------
        Outcome or None
            ``diverged``, ``reached``, ``plateaued``, in this order of precedence; None to go on. `finish` may
            know a plateau by a better name.

        Raises
        ------
        RuntimeError
            The trial has already ended.
        ValueError
            The steps do not increase.
        """
        if self.outcome is not None:
            raise RuntimeError(f"the trial has already ended: {self.outcome}")
        if self._last_step is not None and step <= self._last_step:
            raise ValueError(f"step {step} follows step {self._last_step}")
        first, before = self._last_step is None, self._last_evaluations
        self._last_step, self._last_evaluations = step, evaluations
        self.loss_final, self.metric_final, self._spread = loss, metric, output_spread
        if first or n_epochs:
            self._rise.observe(loss)
        if math.isfinite(loss) and not loss >= self.loss_best:
            self.loss_best = loss  # also the first: nothing is at least NaN
        self.outcome = self._judge(loss, metric, n_epochs, confirm)
        if self.reached:
            self.steps_to_target = step
            self.evaluations_to_target = evaluations
            self.evaluations_resolution = evaluations - (before or 0)
            self.seconds_to_target = train_seconds
        return self.outcome

    def _judge(self, loss: float, metric: float, n_epochs: int, confirm: Callable[[], bool] | None) -> Outcome | None:
        if not (math.isfinite(loss) and math.isfinite(metric)):
            return Outcome.DIVERGED
        if self.meets(metric, self.target):
            if confirm is None or confirm():
                return Outcome.REACHED
            self.n_unconfirmed += 1
        self._improved = math.isinf(self._reference) or loss < self._reference - self._tolerance * abs(self._reference)
        if self._improved:
            self._reference, self._stale = loss, 0
            return None
        self._stale += n_epochs
        if self._plateau is not None and self._stale >= self._plateau:
            return Outcome.PLATEAUED
        return None

    @property
    def last_step(self) -> int | None:
        """The step of the last look; None before the first."""
        return self._last_step

    def memory(self) -> dict[str, Any]:
        """Return what `recall` needs to judge on, in plain values, for a trial that has not ended."""
        return {**{name: getattr(self, name) for name in _REMEMBERED}, "rise": asdict(self._rise)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Judge on from where another judge of the same trial gave its `memory`.

        Raises
        ------
        ValueError
            If something is missing.
        """
        try:
            for name in _REMEMBERED:
                setattr(self, name, memory[name])
            for name, value in memory["rise"].items():
                setattr(self._rise, name, value)
        except KeyError as error:
            raise ValueError(f"a judge's memory lacks {error}") from None

    @property
    def missed(self) -> bool:
        """Whether the trial has missed its target with finite numbers."""
        return self._last_step is not None and self.outcome in (None, Outcome.PLATEAUED)

    @property
    def needs_signal(self) -> bool:
        """Whether the training signal matters to `finish`: the target is missed, and the loss has come to a stand."""
        return self.missed and not self._improved

    def finish(self, signal: float | None = None) -> Outcome:
        """Return the outcome when no more is observed.

        Parameters
        ----------
        signal : float, optional
            Training signal that is left at the outputs for each unit of error, see
            `freewalk.results.ending.outcome.missed_outcome`; None: unknown. Matters where `needs_signal` says so.

        Returns
        -------
        Outcome
            ``reached`` or ``diverged`` if `observe` gave it; otherwise ``saturated``, ``collapsed`` or ``diverged``
            where the trial shows one of these, else ``plateaued`` if `observe` gave it, else ``exhausted``.

        Raises
        ------
        RuntimeError
            Nothing was observed: there is nothing to judge.
        """
        if self._last_step is None:
            raise RuntimeError("no look at held-out data was observed")
        if self.missed:
            self.outcome = missed_outcome(
                self.outcome or Outcome.EXHAUSTED,
                output_spread=self._spread,
                signal=signal,
                improving=self._improved,
                rise=self._rise,
                collapse_spread=self._collapse_spread,
            )
        return self.outcome or Outcome.EXHAUSTED

    def record(self) -> dict[str, object]:
        """Return the columns of the trials table that follow from the looks, for ``Store.finish``."""
        return {
            "outcome": self.outcome,
            "loss_final": self.loss_final,
            "loss_best": self.loss_best,
            "metric_final": self.metric_final,
            "target": self.target,
            "reached": self.reached,
            "steps_to_target": self.steps_to_target,
            "n_unconfirmed": self.n_unconfirmed,
            "evaluations_to_target": self.evaluations_to_target,
            "evaluations_resolution": self.evaluations_resolution,
            "seconds_to_target": self.seconds_to_target,
        }
