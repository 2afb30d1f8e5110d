"""The walk with full perturbations beyond the plain ones on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.full_draws import make_lanes, make_units
from freewalk.kernels.cpu.full_layout import AT_ONCE, Cut, FullMemory, FullTrials
from freewalk.kernels.cpu.full_rank import train, train_parallel
from freewalk.kernels.cpu.layout import Shape, Source, aligned, most_chunks, shape_of
from freewalk.kernels.cpu.optimizers import Weights
from freewalk.kernels.cpu.pack import CpuPack, walk_of
from freewalk.kernels.cpu.shaping import SHAPING_CODES
from freewalk.kernels.cpu.shared_pass import make_passes
from freewalk.kernels.cpu.trainer import CpuTrainer, exercise
from freewalk.kernels.cpu.trial import rule_of
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Progress, WalkConfiguration

_PAIRS_OF_A_UNIT = 4 * LANES
_LANE_GROUPS_OF_A_PART = 8


class CpuFullRankWalk(CpuTrainer):
    """One walk on the CPU with full perturbations of any kind. Parameters as for `CpuTrainer`."""

    _configuration: WalkConfiguration

    def _make_shape(self) -> Shape:
        tangent = self._configuration.tangent == "exact"
        return shape_of(self.network, self._configuration.timesteps, tangent=tangent)

    def _prepare(self) -> int:
        self._machine = FullRankMachine([self])
        return self._machine.n_parts

    def _matrix_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        matrix = np.zeros(self._shape.n_from * self._shape.n_to)
        matrix[self._places.matrix] = values[self._places.single]
        return matrix.reshape(self._shape.n_from, self._shape.n_to)

    def _values_of(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.zeros(self._places.n_padded)
        values[self._places.single] = matrix.reshape(-1)[self._places.matrix]
        return values

    def _passes_read(self) -> NDArray[np.float32]:
        return self._weights.single

    def compile_for_threads(self) -> None:
        """Compile, or load from the cache, what steps with several threads need."""
        compile_kernels(threads=2)

    def _allocate(self, threads: int) -> None:
        self._machine.allocate(threads, self._stop)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        (progress,) = self._machine.run([0], self.step, n_steps, self._training)
        return progress.steps, progress.loss


class FullRankMachine:
    """The arrays of walks of one seed and one network that draw their perturbations together; perhaps just one.

    Parameters
    ----------
    walks
        They agree in noise, directions, datapoints, sharing of data, shaping and how a step is cut. Their weights
        become views of the arrays of all.
    """

    def __init__(self, walks: Sequence[CpuFullRankWalk]) -> None:
        walk = walks[0]
        configuration = walk._configuration
        self._blocks = walk._blocks
        self._longest = max((w._shape for w in walks), key=lambda shape: shape.timesteps)
        self._units = make_units(walk.network, walk._allowed, walk._blocks, configuration, int(walk._seed))
        self.cut = cut_of(configuration, walk._places.n_padded)
        self._trials = _trials_of(walks, self.cut)
        for place, own in enumerate(walks):
            own._weights = _weights_at(self._trials, place)
        largest = max(w._configuration.n_perturbations for w in walks)
        self.n_parts = min(self.cut.n_chunks, -(-largest // self.cut.of_a_unit) * self.cut.parts)

    def allocate(self, workers: int, stop: NDArray[np.uint8]) -> None:
        """Make the scratch memory of so many threads."""
        cut, n_padded, shape = self.cut, self._trials.single.shape[1], self._longest
        n_trials = len(self._trials.timesteps)
        stored = 1 if workers == 1 else cut.n_chunks
        self._trials = self._trials._replace(partial=np.zeros((n_trials, stored, n_padded)))
        lane_groups = cut.of_a_part if cut.in_turn else cut.datapoints * (cut.of_a_unit // LANES)
        vectors = AT_ONCE if shape.tangent else min(lane_groups, AT_ONCE)
        self._passes = make_passes(shape, self._blocks, lane_groups, vectors, 0, workers)
        self._lanes = make_lanes(self._units, workers)
        self._memory = FullMemory(
            noise=aligned(workers, n_padded if cut.in_turn else cut.of_a_unit * n_padded),
            perturbed=aligned(workers, n_padded if cut.in_turn else 0),
            raw_x=aligned(workers, shape.input_rows * shape.n_input * LANES),
            raw_y=aligned(workers, shape.output_rows * shape.n_output * LANES),
            sums=np.zeros((workers, 2 * LANES)),
            coefficients=aligned(workers, -(-cut.of_a_unit // LANES) * LANES),
            groups_of=np.zeros((workers, AT_ONCE), dtype=np.int64),
            scales=np.zeros((workers, AT_ONCE), dtype=np.float32),
            stop=stop,
        )

    def run(self, places: Sequence[int], step: int, n_steps: int, source: Source) -> list[Progress]:
        """Take steps of some trials; return what each did."""
        by_timesteps = sorted(places, key=lambda place: self._trials.timesteps[place])
        steps = np.zeros(len(self._trials.timesteps), dtype=np.int64)
        losses = np.full(len(steps), math.nan)
        run = train if len(self._memory.noise) == 1 else train_parallel
        if by_timesteps:
            run(
                self._longest,
                self._blocks,
                source,
                self._units,
                self.cut,
                self._trials,
                np.array(by_timesteps, dtype=np.int64),
                self._memory,
                self._passes,
                self._lanes,
                step,
                n_steps,
                steps,
                losses,
            )
        return [Progress(int(steps[place]), float(losses[place])) for place in places]


def cut_of(configuration: WalkConfiguration, n_padded: int) -> Cut:
    """Return how a step is cut; by the number of perturbations only as far as it says whether they run in turn."""
    m = configuration.datapoints
    in_turn = runs_in_turn(configuration)
    lane_groups = -(-m // LANES)
    of_a_part = min(lane_groups, _LANE_GROUPS_OF_A_PART)
    at_least = 1 if in_turn else LANES
    return Cut(
        datapoints=m,
        share_data=int(configuration.share_data),
        shaping=SHAPING_CODES[configuration.shaping],
        in_turn=int(in_turn),
        of_a_unit=max(at_least, _PAIRS_OF_A_UNIT // m // at_least * at_least),
        parts=-(-lane_groups // of_a_part) if in_turn else 1,
        of_a_part=of_a_part,
        n_chunks=most_chunks(n_padded),
    )


def runs_in_turn(configuration: WalkConfiguration) -> bool:
    """Return whether perturbations run one after another, for lanes of datapoints are better filled."""
    k, m = configuration.n_perturbations, configuration.datapoints
    filled_by_datapoints, filled_by_perturbations = m / (-(-m // LANES) * LANES), k / (-(-k // LANES) * LANES)
    return m > LANES or (m > 1 and filled_by_datapoints >= filled_by_perturbations)


def _trials_of(walks: Sequence[CpuFullRankWalk], cut: Cut) -> FullTrials:
    """Return the walks as arrays by place."""
    shapes, rules = [walk._shape for walk in walks], [rule_of(walk._configuration) for walk in walks]
    weights, perturbations = [w._weights for w in walks], [w._configuration.n_perturbations for w in walks]
    n, n_padded, most = len(walks), len(weights[0].master), max(perturbations)
    kept = most * cut.parts if cut.shaping else 0
    single = aligned(n, n_padded)
    single[:] = [w.single for w in weights]
    return FullTrials(
        timesteps=np.array([shape.timesteps for shape in shapes], dtype=np.int64),
        input_rows=np.array([shape.input_rows for shape in shapes], dtype=np.int64),
        output_rows=np.array([shape.output_rows for shape in shapes], dtype=np.int64),
        perturbations=np.array(perturbations, dtype=np.int64),
        choices=np.array([(r.kind, r.two_sided, r.cosine_steps) for r in rules], dtype=np.int64),
        numbers=np.array([(r.stddev, r.learning_rate, r.momentum) for r in rules]),
        master=np.stack([w.master for w in weights]),
        single=single,
        first=np.stack([w.first for w in weights]),
        second=np.stack([w.second for w in weights]),
        partial=np.zeros((n, 1, n_padded)),
        total=np.zeros((n, n_padded)),
        base=np.zeros((n, -(-cut.datapoints // LANES) * LANES if cut.share_data else 0), dtype=np.float32),
        plus=np.zeros((n, kept)),
        other=np.zeros((n, kept)),
        coefficients=np.zeros((n, most if cut.shaping else 0), dtype=np.float32),
        chunk_loss=np.zeros((n, cut.n_chunks)),
        loss=np.zeros(n),
    )


def _weights_at(trials: FullTrials, place: int) -> Weights:
    """Return a trial's weights as views of the arrays of all."""
    return Weights(trials.master[place], trials.single[place], trials.first[place], trials.second[place])


class CpuFullRankPack(CpuPack):
    """Walks of one seed and one network with full perturbations of any kind. Parameters as for `CpuPack`.

    Those that are cut alike, and agree in directions, draw their perturbations once; the others take turns.

    Raises
    ------
    ValueError
        If the trials differ in seed, step or kind of noise, or a state does not fit its trial.
    """

    def _join(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        evaluation_points: int,
        mask: NDArray[np.bool_] | None,
    ) -> Sequence[CpuTrainer]:
        walks = [walk_of(CpuFullRankWalk, network, data, trial, evaluation_points, mask) for trial in trials]
        alike: dict[Hashable, list[int]] = {}
        for place, walk in enumerate(walks):
            own = walk._configuration
            key = walk._machine.cut, own.directions, own.tangent, walk._blocks.is_layered
            alike.setdefault(key, []).append(place)
        self._parts = [(places, FullRankMachine([walks[place] for place in places])) for places in alike.values()]
        for _, machine in self._parts:
            machine.allocate(1, self._stop)
        self._training = walks[0]._training
        return walks

    def _run(self, places: Sequence[int], n_steps: int) -> list[Progress]:
        done: dict[int, Progress] = {}
        for of_part, machine in self._parts:
            own = [place for place in places if place in of_part]
            step = self._walks[own[0]].step if own else 0
            run = machine.run([of_part.index(place) for place in own], step, n_steps, self._training)
            done |= zip(own, run, strict=True)
        return [done[place] for place in places]


def compile_kernels(threads: int) -> None:
    """Run every kernel of the family's walk on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=2 * LANES * threads, timesteps=1, datapoints=2)
    exercise(
        CpuFullRankWalk(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads)
    )
