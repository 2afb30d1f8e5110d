"""What a backend offers: trainers on the compiled CPU kernels, on NumPy, or on what a GPU puts in their place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import full_rank_trial, low_rank_trial
from freewalk.kernels.cpu.full_rank_trial import CpuFullRankPack, CpuFullRankWalk
from freewalk.kernels.cpu.low_rank_trial import CpuLowRankPack, CpuLowRankWalk
from freewalk.kernels.cpu.pack import CpuPack, compile_packs
from freewalk.kernels.cpu.trainer import CpuTrainer
from freewalk.kernels.cpu.trial import CpuWalk, compile_kernels
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import Pack, PackTrial
from freewalk.kernels.model.walk import Data, Trainer, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk

BackendName = Literal["cuda", "cpu", "reference"]


@dataclass(frozen=True)
class Backend:
    """A usable backend on this machine."""

    name: BackendName
    device: str
    """Name of the processor or the GPU."""
    dtype: str
    """Type of the network arithmetic; master weights are float64 everywhere."""
    workers: int
    """Trials that may run at once, each on a thread of its own."""
    most_in_a_pack: int = 0
    """Trials of any seeds that one pack may hold; 0 if this backend has no packs."""
    fewest_in_a_pack: int = 0
    """Trials that are worth a pack; fewer run one by one."""
    most_sharing_noise: int = 0
    """Trials of one seed and one network that are worth a pack that draws their noise once; 0 if there is none."""
    note: str | None = None
    """Why `auto` did not take something faster; None if it did, or was not asked."""

    def make_walk(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> Trainer:
        """Return a new trial of the walk at step 0, from the `initial` weights or those of the seed.

        Raises
        ------
        ValueError
            If this backend has no kernels for the configuration, or something does not fit.
        """
        options: dict[str, Any] = {"seed": seed, "evaluation_points": evaluation_points}
        walk: Trainer = self._trainers(configuration)[0](
            network, configuration, data, mask=mask, initial=initial, **options
        )
        return walk

    def _trainers(self, configuration: WalkConfiguration | None) -> tuple[Any, Any]:
        """Return what trains one walk, and what trains a pack, if there is anything."""
        if self.name != "cpu":
            return ReferenceWalk, None
        if configuration is None or configuration.is_plain:
            return CpuWalk, CpuPack
        if configuration.rank is None:
            return CpuFullRankWalk, CpuFullRankPack
        return CpuLowRankWalk, CpuLowRankPack

    def make_pack(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        *,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> Pack:
        """Return trials of one network that take their steps together.

        On the CPU they share their noise and come to the bits that each has alone; the pack trains on the thread that
        calls it. On a GPU they run side by side.

        Raises
        ------
        ValueError
            If trials that would share their noise differ in seed, step or kind of noise, or a state does not fit.
        NotImplementedError
            If this backend has no packs.
        """
        kind = self._trainers(trials[0].configuration if trials else None)[1]
        if kind is None:
            raise NotImplementedError(f"backend {self.name} runs trials one by one")
        pack: Pack = kind(network, data, trials, evaluation_points=evaluation_points, mask=mask)
        return pack

    def warm_up(self, configuration: WalkConfiguration | None = None) -> float:
        """Compile the walk's kernels of one thread, or load them from the cache; return the seconds it took.

        Walks other than the plain one, which goes without a configuration, have kernels of their own.
        """
        start = time.perf_counter()
        if self.name == "cpu" and configuration is not None and not configuration.is_plain:
            own = full_rank_trial if configuration.rank is None else low_rank_trial
            own.compile_kernels(threads=1)
        elif self.name == "cpu":
            compile_kernels(threads=1)
            compile_packs()
        return time.perf_counter() - start

    def spread(self, trainer: Trainer) -> float:
        """Let a trial use all threads from its next step on; return the seconds that compilation took.

        Only one trial at a time may be spread: Numba's simplest thread pool ends the process otherwise. Trials on NumPy
        stay as they are.
        """
        if not isinstance(trainer, CpuTrainer) or trainer.threads == trainer.most_threads(self.workers):
            return 0.0
        start = time.perf_counter()
        trainer.compile_for_threads()
        trainer.use_threads(self.workers)
        return time.perf_counter() - start

    def gather(self, trainer: Trainer) -> None:
        """Let a trial go on with one thread."""
        if isinstance(trainer, CpuTrainer):
            trainer.use_threads(1)
