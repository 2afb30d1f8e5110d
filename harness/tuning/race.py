"""A race: which of many cells meets the target at the least expected cost, for as few evaluations as it takes.

All cells run on the same seeds: on one at first, which tells how far to run, then on three; round by round the worse
half leaves, and the others get twice as many seeds. Inside a round nobody runs on that is sure to be so much dearer
than the cell in front that the next seeds could hardly bring it back: a trial that has not met its target counts as
what it may have spent so far, which its cost is more than. So a cell is only ever taken for cheaper than it is, and the
one that wins has run to its ends.

Sources: successive halving: Karnin, Koren, Somekh, Almost optimal exploration in multi-armed bandits, ICML 2013, and
Jamieson, Talwalkar, arXiv:1502.07943; races on common instances: Birattari and others, A racing algorithm for
configuring metaheuristics, GECCO 2002; adaptive caps: Hutter and others, ParamILS, JAIR 36, 267 (2009). The expected
running time is that of `freewalk.results.statistics.cell.expected_running_time`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from freewalk.harness.trial.history import Observation

FIRST_SEEDS = 3
"""Those by which cells leave for the first time."""
_FEWEST_TESTED = 6
"""Seeds that a test needs at least: of fewer, the variance is a guess."""
_GROWTH = 2.0
"""By how much caps grow as long as nobody has met the target."""
_SLACK = 1.0
"""A cell runs on until it is sure to cost this much more than the one in front, after the first seeds; over the root
of their number later, as errors of means fall."""
_SMALLEST_CAP = 2.0**-10
"""Of what a trial may spend."""

_BACK_AT_ONCE = 8
"""Of so many cells one may come back in a round."""

Why: TypeAlias = Literal["all seeds", "budget", "no other"]


class Request(NamedTuple):
    """A trial to run on, until it has spent so much."""

    cell: int
    seed: int
    cap: float
    """Evaluations; +inf for to its end."""


class Standing(NamedTuple):
    """A cell on the seeds of a round."""

    bound: float
    """What a success is expected to cost at least: the costs, or caps of trials that wait, over the trials that met
    the target or still may."""
    loss: float
    """Median at the caps, which decides where bounds are equal."""
    n_open: int
    """Trials that wait."""
    n_reached: int
    known: float
    """What a success has cost so far; +inf before the first."""

    @property
    def rank(self) -> tuple[float, float]:
        """Less is better."""
        return self.bound, self.loss


@dataclass(frozen=True)
class Round:
    """What came of a round."""

    n_cells: int
    """Before it."""
    n_seeds: int
    cap: float
    """The most that a trial of it might spend."""
    spent: float
    """Evaluations since the race began."""
    leader: int
    standing: Standing
    """Of the leader."""
    n_worse: int
    """Cells that left since a test told them from the leader."""
    n_halved: int
    """Cells that left since they were in the worse half."""
    n_back: int
    """Cells that come back: the leader turned out to cost more than they did on fewer seeds."""


@dataclass(frozen=True)
class Rules:
    """What a race has."""

    n_seeds: int
    """Seeds that there are."""
    most: float
    """Evaluations that a trial may spend."""
    budget: float
    """Evaluations that the race may spend."""
    confidence: float = 0.95


@dataclass
class Race:
    """One race; `run` yields what has to be known next, and `observe` then tells it.

    Parameters
    ----------
    n_cells
        Cells, by number.
    observe
        From a request to the trial as it was then; asked for nothing that was not requested.
    rules
        Seeds and budgets.
    """

    n_cells: int
    observe: Callable[[Request], Observation]
    rules: Rules
    rounds: list[Round] = field(default_factory=list)
    winner: int = 0
    why: Why = "no other"
    n_alive: int = field(init=False)
    """Cells that are left."""
    is_over: bool = False
    """Whether there is a winner."""
    _caps: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.n_alive = self.n_cells

    def run(self) -> Iterator[list[Request]]:
        """Run the race; afterwards there are `winner`, `why` and `rounds`."""
        rules, alive, n = self.rules, list(range(self.n_cells)), 0
        n_shares = 2 + max(1, math.ceil(math.log2(self.n_cells)))
        left: dict[int, Standing] = {}
        cap, stays = self._smallest, False
        if self.n_cells > 1 and not self._affords(self._missing(alive, 1, cap), rules.budget):
            self.why, alive = "budget", alive[:1]
        while len(alive) > 1 or n:
            allowed = rules.budget * min(1.0, (len(self.rounds) + 1) / n_shares)
            more = n if stays else min(rules.n_seeds, {0: 1, 1: FIRST_SEEDS}.get(n, 2 * n))
            wanted = self._missing(alive, more, cap) or self._next(alive, n)
            can = not n or self._affords(wanted, allowed)
            n = more if can else n
            while can and wanted:
                yield self._begun(wanted)
                wanted = self._next(alive, n)
                can = self._affords(wanted, allowed)
            alive = [cell for cell in alive if self._has_run(cell, n)]
            standings = {cell: self._standing(cell, n) for cell in alive}
            # what waits is cheap at best; without the means to find out, what is known counts
            ranks = {cell: one.rank if can else (one.known, one.loss) for cell, one in standings.items()}
            order = sorted(alive, key=lambda cell: ranks[cell])
            self.winner, front = order[0], standings[order[0]]
            worse = self._worse(order[0], order[1:], n) if can else set()
            rest = [cell for cell in order if cell not in worse]
            is_scouted = can and n < min(FIRST_SEEDS, rules.n_seeds)  # which tells how far to run, and little of whom
            kept = rest if is_scouted else rest[: math.ceil(len(order) / 2)]
            left.update({cell: standings[cell] for cell in order if cell not in kept})
            back = sorted((cell for cell in left if left[cell].bound < front.bound), key=lambda cell: left[cell].rank)
            back = back[: max(1, self.n_cells // _BACK_AT_ONCE)] if can and not front.n_open else []
            top = max(self._caps[cell, seed] for cell in order for seed in range(n))
            self.rounds.append(
                Round(
                    n_cells=len(order),
                    n_seeds=n,
                    cap=min(top, rules.most),
                    spent=self.spent,
                    leader=order[0],
                    standing=front,
                    n_worse=len(worse),
                    n_halved=len(rest) - len(kept),
                    n_back=len(back),
                )
            )
            if can and n == rules.n_seeds and not back:
                self.why = "all seeds"
                break
            if not can and (len(self.rounds) >= n_shares or len(order) == 1):
                self.why = "budget"
                break
            for cell in back:
                del left[cell]
            alive = kept + back
            self.n_alive = len(alive)
            stays = bool(back) or front.n_open > 0  # more seeds of what nobody has met yet would tell little
            cap = self._capped(self._slack(2 * n) * max(front.bound, self._smallest))
        self.n_alive, self.is_over = 1, True

    def _missing(self, cells: Sequence[int], n: int, cap: float) -> list[Request]:
        """Return what begins of so many seeds."""
        return [Request(cell, seed, cap) for seed in range(n) for cell in cells if (cell, seed) not in self._caps]

    def _has_run(self, cell: int, n: int) -> bool:
        return all((cell, seed) in self._caps for seed in range(n))

    def _begun(self, wanted: list[Request]) -> list[Request]:
        for request in wanted:
            self._caps[request.cell, request.seed] = request.cap
        return wanted

    @property
    def _smallest(self) -> float:
        return self.rules.most * _SMALLEST_CAP

    @property
    def n_begun(self) -> int:
        """Trials that have begun."""
        return len(self._caps)

    def share_within(self, factor: float) -> float:
        """Return which share of the cells is known to cost at most so many times what the winner costs.

        On the first round's seeds, 0 where the winner has not met the target. More seeds would tell less: their caps
        follow the luckiest cell's costs, so that fewer cells run to their ends.
        """
        last = self.rounds[-1].standing if self.rounds else None
        if last is None or not last.n_reached:
            return 0.0
        first = [self._standing(cell, self.rounds[0].n_seeds) for cell in range(self.n_cells)]
        return sum(not one.n_open and one.known <= factor * last.known for one in first) / self.n_cells

    @property
    def spent(self) -> float:
        """Evaluations so far."""
        return sum(self.observe(Request(*key, cap)).spent for key, cap in self._caps.items())

    def _affords(self, wanted: Sequence[Request], allowed: float) -> bool:
        """Return whether requests surely keep what has been spent within what is allowed."""
        before = (self._seen(one.cell, one.seed).spent for one in wanted if (one.cell, one.seed) in self._caps)
        return self.spent + sum(min(one.cap, self.rules.most) for one in wanted) - sum(before) <= allowed

    def _seen(self, cell: int, seed: int) -> Observation:
        return self.observe(Request(cell, seed, self._caps[cell, seed]))

    def _slack(self, n: int) -> float:
        return 1 + _SLACK * math.sqrt(FIRST_SEEDS / max(n, FIRST_SEEDS))

    def _capped(self, cap: float) -> float:
        return cap if cap < self.rules.most else math.inf

    def _standing(self, cell: int, n: int) -> Standing:
        seen = [self._seen(cell, seed) for seed in range(n)]
        n_open, n_reached = sum(not one.ended for one in seen), sum(one.reached for one in seen)
        spent, loss = sum(one.cost for one in seen), float(np.median([one.loss for one in seen]))
        bound, known = (spent / n if n else math.inf for n in (n_open + n_reached, n_reached))
        return Standing(bound, loss, n_open, n_reached, known)

    def _next(self, alive: Sequence[int], n: int) -> list[Request]:
        """Return what has to be known before anybody can be told from the cell in front; nothing if all is."""
        standings = {cell: self._standing(cell, n) for cell in alive}
        leader = min(alive, key=lambda cell: standings[cell].rank)
        front = standings[leader]
        if math.isinf(front.bound):
            return []
        far = max(front.bound, self._smallest) * (_GROWTH if front.n_open else self._slack(n))
        caps = {
            cell: self._cap_until(cell, n, far)
            for cell, standing in standings.items()
            if standing.n_open and standing.bound < far * (1 - 1e-9)
        }
        return [
            Request(cell, seed, cap)
            for seed in range(n)
            for cell, cap in caps.items()
            if not self._seen(cell, seed).ended and cap > self._caps[cell, seed]
        ]

    def _cap_until(self, cell: int, n: int, bound: float) -> float:
        """Return the cap at which a cell costs that much if none of its waiting trials meets the target."""
        seen = [self._seen(cell, seed) for seed in range(n)]
        n_open, n_reached = sum(not one.ended for one in seen), sum(one.reached for one in seen)
        return self._capped((bound * (n_open + n_reached) - sum(one.cost for one in seen if one.ended)) / n_open)

    def _influences(self, cell: int, n: int) -> NDArray[np.float64]:
        """Return what each seed adds to a cell's bound, (n,), whose mean is the bound: linear, as for a ratio."""
        seen = [self._seen(cell, seed) for seed in range(n)]
        costs = np.array([one.cost for one in seen])
        met = np.array([one.reached or not one.ended for one in seen], dtype=np.float64)
        ratio = costs.sum() / met.sum()
        values: NDArray[np.float64] = ratio + (costs - ratio * met) / met.mean()
        return values

    def _worse(self, leader: int, others: Sequence[int], n: int) -> set[int]:
        """Return the cells that are sure to cost more than the leader."""
        if n < _FEWEST_TESTED or math.isinf(self._standing(leader, n).bound):
            return set()
        own = self._influences(leader, n)
        return {
            cell
            for cell in others
            if math.isinf(self._standing(cell, n).bound) or self._is_above(self._influences(cell, n) - own, len(others))
        }

    def _is_above(self, differences: NDArray[np.float64], n_tests: int) -> bool:
        """Return whether a mean is above 0, by Student's test, one of so many."""
        n = differences.size
        error = float(differences.std(ddof=1)) / math.sqrt(n)
        least = float(stdtrit(n - 1, 1 - (1 - self.rules.confidence) / n_tests)) * error
        return float(differences.mean()) > least
