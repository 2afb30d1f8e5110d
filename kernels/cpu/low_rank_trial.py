"""The walk of low rank on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import COLUMNS, Blocks, Places, from_master, make_blocks, to_master, write_single
from freewalk.kernels.cpu.factors import factor_source, make_panels
from freewalk.kernels.cpu.layout import Shape, Source, aligned, shape_of
from freewalk.kernels.cpu.low_rank import train, train_parallel
from freewalk.kernels.cpu.low_rank_layout import Family, LowRankMemory, LowRankTrials
from freewalk.kernels.cpu.low_rank_sums import SUMMED_AT_ONCE
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

_PANEL_BYTES = 1 << 26  # of the vectors kept from one part of a step to the next
_PAIRS_OF_A_ROUND = 1 << 20
_PANELS_FOR_TWO = 6
_GROUPS = 4  # lane groups that share what is loaded of the weights


class CpuLowRankWalk(CpuTrainer):
    """One walk of low rank on the CPU. Parameters as for `CpuTrainer`.

    Raises
    ------
    ValueError
        If a mask is not that of a layered network.
    """

    _configuration: WalkConfiguration

    def _make_shape(self) -> Shape:
        tangent = self._configuration.tangent == "exact"
        return shape_of(self.network, self._configuration.timesteps, tangent=tangent)

    def _arrange(self) -> tuple[Blocks, Places]:
        return make_blocks(self.network, self._allowed, self._configuration.timesteps)

    def _prepare(self) -> int:
        self._machine = LowRankMachine([self])
        return self._machine.n_parts

    def _matrix_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return from_master(values, self._places, self._shape)

    def _values_of(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return to_master(matrix, self._places)

    def _copy_to_single(self) -> None:
        write_single(self._blocks, self._weights.master, self._weights.single)

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


class LowRankMachine:
    """The arrays of walks of one seed and one network that draw their perturbations together; perhaps just one.

    Parameters
    ----------
    walks
        They agree in noise, rank, directions, datapoints, sharing of data, sides and shaping. Their weights become
        views of the arrays of all.
    """

    def __init__(self, walks: Sequence[CpuLowRankWalk]) -> None:
        walk = walks[0]
        configuration, blocks = walk._configuration, walk._blocks
        rank = configuration.rank or 1
        largest = max((w._configuration for w in walks), key=lambda c: c.batch_size)
        self._longest = max((w._shape for w in walks), key=lambda shape: shape.timesteps)
        self._blocks = blocks
        kind = configuration.kind, rank, configuration.directions
        self._factors = factor_source(blocks, *kind, int(walk._seed))
        self._family = family_of(configuration)
        self._panels = make_panels(blocks, rank, perturbations_of_a_round(largest, blocks))
        self._units = _units_of(blocks)
        self._trials = _trials_of(walks, min(self._panels.per_round, largest.n_perturbations))
        for place, own in enumerate(walks):
            weights = self._trials.master, self._trials.single, self._trials.first, self._trials.second
            own._weights = Weights(*(values[place] for values in weights))
        lane_groups = -(-largest.batch_size // LANES)
        self.n_parts = -(-lane_groups // self._family.groups)

    @property
    def per_round(self) -> int:
        """Perturbations that are kept at a time."""
        return self._panels.per_round

    def allocate(self, workers: int, stop: NDArray[np.uint8]) -> None:
        """Make the scratch memory of so many threads."""
        groups, rank = self._family.groups, self._factors.rank
        self._memory = _make_memory(self._longest, self._family, rank, self._panels.per_round, workers, stop)
        self._passes = make_passes(self._longest, self._blocks, groups, 2 * groups, rank, workers)

    def run(self, places: Sequence[int], step: int, n_steps: int, source: Source) -> list[Progress]:
        """Take steps of some trials; return what each did."""
        by_timesteps = sorted(places, key=lambda place: self._trials.timesteps[place])
        steps = np.zeros(len(self._trials.timesteps), dtype=np.int64)
        losses = np.full(len(steps), math.nan)
        run = train if len(self._memory.indices) == 1 else train_parallel
        if by_timesteps:
            run(
                self._longest,
                self._blocks,
                source,
                self._factors,
                self._panels,
                self._family,
                self._trials,
                np.array(by_timesteps, dtype=np.int64),
                self._units,
                self._memory,
                self._passes,
                step,
                n_steps,
                steps,
                losses,
            )
        return [Progress(int(steps[place]), float(losses[place])) for place in places]


def _units_of(blocks: Blocks) -> NDArray[np.int64]:
    """Return the panels of weights that a thread sums at once: two, where that leaves enough for many threads."""
    units: list[tuple[int, int, int]] = []
    for k, layer in enumerate(blocks.layers):
        at_once = 2 if layer[COLUMNS] > _PANELS_FOR_TWO * LANES else 1
        firsts = range(0, layer[COLUMNS], at_once * LANES)
        units += [(k, first, min(at_once, -(-(layer[COLUMNS] - first) // LANES))) for first in firsts]
    return np.array(units, dtype=np.int64)


def family_of(configuration: WalkConfiguration) -> Family:
    """Return how the pairs of a step are made and weighed."""
    return Family(
        configuration.datapoints,
        int(configuration.share_data),
        int(configuration.sides == "two"),
        SHAPING_CODES[configuration.shaping],
        _GROUPS,
    )


def perturbations_of_a_round(configuration: WalkConfiguration, blocks: Blocks) -> int:
    """Return how many perturbations are kept at a time, a multiple of sixteen; all, or whole sums."""
    bytes_of_each = (configuration.rank or 1) * (blocks.a_stride + blocks.b_stride) * 4
    most = min(_PANEL_BYTES // bytes_of_each, _PAIRS_OF_A_ROUND // configuration.datapoints)
    most = max(most // SUMMED_AT_ONCE, 1) * SUMMED_AT_ONCE  # whole sums: where rounds are cut, changes no bit
    return min(-(-configuration.n_perturbations // LANES) * LANES, most)


def _trials_of(walks: Sequence[CpuLowRankWalk], most: int) -> LowRankTrials:
    """Return walks as arrays by place; `most` perturbations are run in a round."""
    shapes, rules = [walk._shape for walk in walks], [rule_of(walk._configuration) for walk in walks]
    weights, configurations = [walk._weights for walk in walks], [walk._configuration for walk in walks]
    n, datapoints = len(walks), configurations[0].datapoints
    perturbations = max(c.n_perturbations for c in configurations)
    shared = datapoints + LANES if configurations[0].share_data else 0
    return LowRankTrials(
        timesteps=np.array([shape.timesteps for shape in shapes], dtype=np.int64),
        input_rows=np.array([shape.input_rows for shape in shapes], dtype=np.int64),
        output_rows=np.array([shape.output_rows for shape in shapes], dtype=np.int64),
        batch_sizes=np.array([c.batch_size for c in configurations], dtype=np.int64),
        choices=np.array([(r.kind, r.two_sided, r.cosine_steps) for r in rules], dtype=np.int64),
        numbers=np.array([(r.stddev, r.learning_rate, r.momentum) for r in rules]),
        master=np.stack([w.master for w in weights]),
        single=_stacked(w.single for w in weights),
        first=np.stack([w.first for w in weights]),
        second=np.stack([w.second for w in weights]),
        sums=np.zeros((n, len(weights[0].master))),
        base=np.zeros((n, shared), dtype=np.float32),
        plus=np.zeros((n, most * datapoints), dtype=np.float32),
        other=np.zeros((n, most * datapoints), dtype=np.float32),
        mean_plus=np.zeros((n, perturbations)),
        mean_other=np.zeros((n, perturbations)),
        coefficients=np.zeros((n, perturbations), dtype=np.float32),
        total_loss=np.zeros(n),
    )


def _stacked(arrays: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    rows = list(arrays)
    stacked = aligned(len(rows), len(rows[0]))
    stacked[:] = rows
    return stacked


def _make_memory(
    shape: Shape, family: Family, rank: int, per_round: int, workers: int, stop: NDArray[np.uint8]
) -> LowRankMemory:
    """Allocate scratch memory for `workers` threads."""
    vectors = 2 * family.groups
    shared = family.datapoints + LANES if family.share_data else 0
    return LowRankMemory(
        shared_x=aligned(shape.input_rows * shape.n_input, shared),
        shared_y=aligned(shape.output_rows * shape.n_output, shared),
        indices=np.zeros((workers, LANES), dtype=np.uint64),
        turned=aligned(workers, LANES * LANES),
        groups_of=np.zeros((workers, vectors), dtype=np.int64),
        scales=np.zeros((workers, vectors), dtype=np.float32),
        scaled=aligned(workers, 2 * rank * per_round * LANES),
        tile=aligned(workers, LANES * LANES),
        stop=stop,
    )


class CpuLowRankPack(CpuPack):
    """Walks of low rank, of one seed and one network, that draw their perturbations once. Parameters as for `CpuPack`.

    Raises
    ------
    ValueError
        If the trials differ in seed, step or what decides the perturbations of a pair, or a state does not fit.
    """

    def _join(
        self,
        network: FreeNetwork,
        data: Data,
        trials: Sequence[PackTrial],
        evaluation_points: int,
        mask: NDArray[np.bool_] | None,
    ) -> Sequence[CpuTrainer]:
        if len({perturbations_key(trial.configuration) for trial in trials}) > 1:
            raise ValueError("trials that share their perturbations must agree in what makes them")
        walks = [walk_of(CpuLowRankWalk, network, data, trial, evaluation_points, mask) for trial in trials]
        self._machine = LowRankMachine(walks)
        self._machine.allocate(1, self._stop)
        self._training = walks[0]._training
        return walks

    def _run(self, places: Sequence[int], n_steps: int) -> list[Progress]:
        step = self._walks[places[0]].step if places else 0
        return self._machine.run(places, step, n_steps, self._training)


def perturbations_key(configuration: WalkConfiguration) -> Hashable:
    """Return what trials must have in common to be run together."""
    c = configuration
    rows = c.timesteps if c.share_data else 0  # shared data are loaded once
    return c.kind, c.rank, c.directions, c.datapoints, c.share_data, c.sides, c.shaping, c.tangent, rows


def compile_kernels(threads: int) -> None:
    """Run every kernel of a walk of low rank on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=LANES * threads, timesteps=1, rank=1)
    exercise(CpuLowRankWalk(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads))
