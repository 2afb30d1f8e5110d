"""The works of a sweep that nobody has at the moment: what travels next, what is cut in two, what is hopeless."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from freewalk.harness.engine.work import Work
from freewalk.kernels.backend import BackendName
from freewalk.tasks.stored import Source

_BUNDLE_SECONDS = 0.5
"""Works of milliseconds travel together, as many as fill this time: each journey costs several milliseconds."""
_MOST_IN_A_BUNDLE = 256
_MOST_DEATHS = 10
"""Workers that may die in a row while they have a trial; then it is the trial's fault."""
_SUSPICIOUS_DEATHS = 2
"""After so many a trial has a worker to itself: what another did there would be blamed on it."""
_DEATHS_IN_A_HANG = 4
"""What a worker that hangs counts for: each costs a minute or more, and three in a row are enough."""


@dataclass(frozen=True)
class Piece:
    """Work with what shall compute it."""

    work: Work
    backend: BackendName
    sources: tuple[Source, ...] = ()
    """Of the data of its trials, as the driver has them: they are of one task with the same parameters."""

    @property
    def on_gpu(self) -> bool:
        """Whether only a worker with a GPU can do it."""
        return self.backend == "cuda"

    @property
    def trial_ids(self) -> list[str]:
        """Names of its trials."""
        return [trial.trial_id for trial in self.work.trials]

    def halves(self) -> tuple[Piece, Piece]:
        """Cut it in two; the bits of a trial do not depend on its company."""
        first, second = self.work.halves()
        return replace(self, work=first), replace(self, work=second)


class Waiting:
    """Two lists, for GPUs and for processors; what comes back goes first, so that what is begun ends first."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._lists: dict[bool, deque[Piece]] = {True: deque(), False: deque()}
        for piece in pieces:
            self._lists[piece.on_gpu].append(piece)
        self._deaths: Counter[str] = Counter()
        self._seconds_per_piece: float | None = None

    def __len__(self) -> int:
        return sum(map(len, self._lists.values()))

    def count(self, *, on_gpu: bool) -> int:
        """Count the pieces of one list."""
        return len(self._lists[on_gpu])

    def put_back(self, pieces: Iterable[Piece]) -> None:
        """Let pieces be the next to travel, in this order."""
        for piece in reversed(list(pieces)):
            self._lists[piece.on_gpu].appendleft(piece)

    def take_for_gpu(self) -> tuple[Piece, ...]:
        """Take what a GPU shall do next; nothing if nothing waits."""
        return (self._lists[True].popleft(),) if self._lists[True] else ()

    def take(self, n_threads: int) -> tuple[Piece, ...]:
        """Take what shall travel next to a processor, for a cluster of so many threads; nothing if nothing waits."""
        waiting = self._lists[False]
        size = bundle_size(len(waiting), n_threads, self._seconds_per_piece)
        taken: list[Piece] = []
        while waiting and len(taken) < size:
            if self.is_suspect(waiting[0]):
                return tuple(taken) or (self._take_one_trial(),)
            taken.append(waiting.popleft())
        return tuple(taken)

    def _take_one_trial(self) -> Piece:
        """Take one trial out of the first piece, with which workers died, to see whose fault it is."""
        piece = self._lists[False].popleft()
        while len(piece.work.trials) > 1:
            piece, rest = piece.halves()
            self.put_back([rest])
        return piece

    def share_out(self, n_idle: int, *, on_gpu: bool) -> None:
        """Cut the largest pieces in two until there is one for everybody who is idle, or none that can be cut."""
        waiting = self._lists[on_gpu]
        while 0 < len(waiting) < n_idle:
            largest = max(waiting, key=lambda piece: len(piece.work.trials))
            if len(largest.work.trials) == 1:
                return
            waiting.remove(largest)
            self.put_back(largest.halves())

    def took(self, n_pieces: int, seconds: float) -> None:
        """Learn how long pieces take on a processor."""
        mean, before = seconds / max(1, n_pieces), self._seconds_per_piece
        self._seconds_per_piece = mean if before is None else (before + mean) / 2

    def progressed(self, trial_id: str) -> None:
        """Forget the deaths: somebody survived this trial."""
        self._deaths.pop(trial_id, None)

    def died(self, pieces: Sequence[Piece], *, hung: bool = False) -> list[Piece]:
        """Take back what a worker computed when it died or hung; return what is hopeless instead."""
        for piece in pieces:
            self._deaths.update(dict.fromkeys(piece.trial_ids, _DEATHS_IN_A_HANG if hung else 1))
        hopeless = [piece for piece in pieces if self._is_hopeless(piece)]
        self.put_back(piece for piece in pieces if piece not in hopeless)
        return hopeless

    def is_suspect(self, piece: Piece) -> bool:
        """Tell whether workers have died with a piece, so that it must be alone on the next."""
        return self._worst(piece) >= _SUSPICIOUS_DEATHS

    def next_is_suspect(self, *, on_gpu: bool) -> bool:
        """Tell whether the next piece of a list must be alone on a worker."""
        waiting = self._lists[on_gpu]
        return bool(waiting) and self.is_suspect(waiting[0])

    def hangs(self, pieces: Sequence[Piece]) -> int:
        """Count the workers in a row that have hung while they had one of the pieces' trials."""
        return max(map(self._worst, pieces)) // _DEATHS_IN_A_HANG

    def _is_hopeless(self, piece: Piece) -> bool:
        return self._worst(piece) >= _MOST_DEATHS and (piece.on_gpu or len(piece.work.trials) == 1)

    def _worst(self, piece: Piece) -> int:
        return max(self._deaths[trial_id] for trial_id in piece.trial_ids)


def bundle_size(n_waiting: int, n_threads: int, seconds_per_piece: float | None) -> int:
    """Return how many pieces shall travel together.

    Fewer and fewer towards the end, so that all threads end at about the same time: guided self-scheduling
    (Polychronopoulos and Kuck, IEEE Transactions on Computers, 1987).

    Parameters
    ----------
    n_waiting
        Pieces that nobody has yet.
    n_threads
        Threads of all workers.
    seconds_per_piece
        As measured so far; None at the start.
    """
    if not seconds_per_piece:
        return 1
    fair = math.ceil(n_waiting / (2 * max(1, n_threads)))
    return max(1, min(int(_BUNDLE_SECONDS / seconds_per_piece), fair, _MOST_IN_A_BUNDLE))
