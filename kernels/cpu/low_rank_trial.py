"""The walk of low rank on the CPU: arrays made and handed to the compiled kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import COLUMNS, Blocks, Places, from_master, make_blocks, to_master, write_single
from freewalk.kernels.cpu.factors import factor_source, make_panels
from freewalk.kernels.cpu.layout import Shape, aligned
from freewalk.kernels.cpu.low_rank import Family, LowRankMemory, train, train_parallel
from freewalk.kernels.cpu.shaping import SHAPING_CODES
from freewalk.kernels.cpu.shared_pass import make_passes
from freewalk.kernels.cpu.trainer import CpuTrainer, exercise
from freewalk.kernels.cpu.trial import rule_of
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, WalkConfiguration

_PANEL_BYTES = 1 << 26  # of the vectors kept from one part of a step to the next
_PAIRS_OF_A_ROUND = 1 << 20
_CACHED_WEIGHTS = 1 << 18  # float32: a level-2 cache's half; beyond it several lane groups share what is loaded
_GROUPS_BEYOND = 4


class CpuLowRankWalk(CpuTrainer):
    """One walk of low rank on the CPU. Parameters as for `CpuTrainer`.

    Raises
    ------
    ValueError
        If a mask is not that of a layered network.
    """

    _configuration: WalkConfiguration

    def _arrange(self) -> tuple[Blocks, Places]:
        return make_blocks(self.network, self._allowed, self._configuration.timesteps)

    def _prepare(self) -> int:
        configuration, blocks = self._configuration, self._blocks
        rank = configuration.rank or 1
        self._rule = rule_of(configuration)
        self._factors = factor_source(blocks, configuration.noise, rank, configuration.directions, int(self._seed))
        self._family = family_of(configuration, self._places.n_padded)
        self._panels = make_panels(blocks, rank, perturbations_of_a_round(configuration, blocks))
        units = [(k, first) for k, layer in enumerate(blocks.layers) for first in range(0, layer[COLUMNS], LANES)]
        self._units = np.array(units, dtype=np.int64)
        lane_groups = -(-configuration.batch_size // LANES)
        return max(1, min(-(-lane_groups // self._family.groups), _PAIRS_OF_A_ROUND))

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
        memory = make_memory(
            self._shape, self._blocks, self._configuration, self._family, self._panels.per_round, threads
        )
        self._memory = memory._replace(stop=self._stop)
        groups, rank = self._family.groups, self._factors.rank
        self._passes = make_passes(self._shape, self._blocks, groups, 2 * groups, rank, threads)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = train if self.threads == 1 else train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._blocks,
            self._rule,
            self._training,
            self._factors,
            self._panels,
            self._family,
            self._weights,
            self._units,
            self._memory,
            self._passes,
            self.step,
            n_steps,
        )
        return done


def family_of(configuration: WalkConfiguration, n_weights: int) -> Family:
    """Return how the pairs of a step are made and weighed; a large network runs several lane groups at once."""
    shares_base = configuration.share_data and configuration.sides == "one"
    groups = _GROUPS_BEYOND if n_weights > _CACHED_WEIGHTS else 2 if shares_base else 1
    return Family(
        configuration.batch_size,
        configuration.datapoints,
        int(configuration.share_data),
        SHAPING_CODES[configuration.shaping],
        groups,
    )


def perturbations_of_a_round(configuration: WalkConfiguration, blocks: Blocks) -> int:
    """Return how many perturbations are kept at a time, a multiple of sixteen."""
    bytes_of_each = (configuration.rank or 1) * (blocks.a_stride + blocks.b_stride) * 4
    most = min(_PANEL_BYTES // bytes_of_each, _PAIRS_OF_A_ROUND // configuration.datapoints)
    wanted = min(configuration.n_perturbations, max(most, 1))
    return -(-wanted // LANES) * LANES


def make_memory(
    shape: Shape, blocks: Blocks, configuration: WalkConfiguration, family: Family, per_round: int, workers: int
) -> LowRankMemory:
    """Allocate what the steps of a trial need besides its weights."""
    rank, n = configuration.rank or 1, configuration.n_perturbations
    vectors = 2 * family.groups
    shared = configuration.datapoints + LANES if configuration.share_data else 0
    pairs = min(per_round, n) * configuration.datapoints
    return LowRankMemory(
        shared_x=aligned(shape.input_rows * shape.n_input, shared),
        shared_y=aligned(shape.output_rows * shape.n_output, shared),
        base=np.zeros(shared, dtype=np.float32),
        plus=np.zeros(pairs, dtype=np.float32),
        other=np.zeros(pairs, dtype=np.float32),
        mean_plus=np.zeros(n),
        mean_other=np.zeros(n),
        coefficients=np.zeros(n, dtype=np.float32),
        indices=np.zeros((workers, LANES), dtype=np.uint64),
        turned=aligned(workers, LANES * LANES),
        groups_of=np.zeros((workers, vectors), dtype=np.int64),
        scales=np.zeros((workers, vectors), dtype=np.float32),
        scaled=aligned(workers, rank * per_round * LANES),
        tile=aligned(workers, LANES * LANES),
        sums=np.zeros(int(sum(layer[0] * -(-layer[1] // LANES) * LANES for layer in blocks.layers))),
        stop=np.zeros(1, dtype=np.uint8),
    )


def compile_kernels(threads: int) -> None:
    """Run every kernel of a walk of low rank on a tiny problem, so that it is compiled or loaded from the cache."""
    configuration = WalkConfiguration(stddev=0.1, batch_size=LANES * threads, timesteps=1, rank=1)
    exercise(CpuLowRankWalk(FreeNetwork(1, 1, 0), configuration, Data(0), seed=0, evaluation_points=1, threads=threads))
