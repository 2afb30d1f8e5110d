"""RTRL, RFLO and UORO on free networks: configurations, compiled trainers, and the reference's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import online
from freewalk.kernels.cpu.carried import RFLO as RFLO_KIND
from freewalk.kernels.cpu.carried import RTRL as RTRL_KIND
from freewalk.kernels.cpu.carried import UORO as UORO_KIND
from freewalk.kernels.cpu.carried import Estimator, make_carried
from freewalk.kernels.cpu.descent import CpuDescent
from freewalk.kernels.cpu.layout import aligned, make_sums
from freewalk.kernels.cpu.memory import make_blocked, make_memory, rows_of
from freewalk.kernels.cpu.optimizers import make_rule
from freewalk.kernels.cpu.products import BLOCK
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import Network
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import key_schedule
from freewalk.kernels.model.walk import check_words
from freewalk.kernels.reference.online import Carried, Rflo, Rtrl, Uoro, online_gradient, random_feedback, uoro_signs
from freewalk.kernels.reference.reference import Array
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.reference_descent import ReferenceDescent

Feedback = Literal["random", "symmetric"]


def _free(network: Network) -> FreeNetwork:
    """Return the network; raise ValueError if it is layered."""
    if not isinstance(network, FreeNetwork):
        raise ValueError("gradients are carried forward in free networks only")
    return network


@dataclass(frozen=True)
class OnlineConfiguration(DescentConfiguration):
    """A gradient that is carried forward in time."""

    def read_share(self, network: Network) -> float:
        """Return at which part of the timesteps outputs are read."""
        return 1.0 if _free(network).sequence_output else 1.0 / self.timesteps


@dataclass(frozen=True)
class RtrlConfiguration(OnlineConfiguration):
    """Real-time recurrent learning."""

    method: ClassVar = "rtrl"

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 1 + N**2 + (N + 1) r for N neurons, with r the share of timesteps that are read.

        A pass forward; N answers of each weight, each a sum over N neurons; and where outputs are read, a sum over the
        N answers of each weight, and what needs no memory.
        """
        neurons = _free(network).n_to
        return 1.0 + neurons**2 + (neurons + 1) * self.read_share(network)


@dataclass(frozen=True)
class RfloConfiguration(OnlineConfiguration):
    """Random-feedback local online learning, or e-prop.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "rflo"
    feedback: Feedback = "random"
    """How errors reach neurons: by fixed random numbers, or by the weights to the outputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, feedback=get_args(Feedback))

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 2 + 2 r: a pass forward, a trace for each weight; where outputs are read, its credit, and the rest."""
        return 2.0 + 2.0 * self.read_share(network)


@dataclass(frozen=True)
class UoroConfiguration(OnlineConfiguration):
    """Unbiased online recurrent optimization."""

    method: ClassVar = "uoro"

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 4 + 2 r.

        A pass forward, one of a vector over neurons, a factor for each weight and its norm; where outputs are read, its
        credit, and what needs no memory.
        """
        return 4.0 + 2.0 * self.read_share(network)


class CpuOnline(CpuDescent):
    """One trial along a gradient that is carried forward, compiled. Parameters as for `CpuTrainer`."""

    kind: ClassVar[int]

    def _prepare(self) -> int:
        shape, feedback = self._shape, self._feedback()
        self._rule = make_rule(self._configuration)
        self._estimator = Estimator(self.kind, _blocked(feedback), key_schedule(int(self._seed)))
        self._tiling = online.tiling_of(shape, self._configuration.batch_size)
        self._sums = make_sums(shape, self._tiling)
        self._rows = rows_of(shape)
        self._blocked = make_blocked(shape)
        self._gradient = self._sums.total
        return self._tiling.n_chunks

    def _feedback(self) -> Array:
        """Return F, (n_to, n_output); of no rows where errors go back by the weights."""
        return np.zeros((0, 0))

    def _allocate(self, threads: int) -> None:
        self._memory = make_memory(self._shape, self._tiling.groups, threads)._replace(stop=self._stop)
        self._carried = make_carried(self._shape, self.kind, threads)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = online.train if self.threads == 1 else online.train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rows,
            self._rule,
            self._estimator,
            self._training,
            self._seed,
            self._tiling,
            self._weights,
            self._blocked,
            self._memory,
            self._carried,
            self._sums,
            self.step,
            n_steps,
        )
        return done


class CpuRtrl(CpuOnline):
    """One trial of RTRL. Parameters as for `CpuTrainer`."""

    configured_by, kind = RtrlConfiguration, RTRL_KIND


class CpuRflo(CpuOnline):
    """One trial of RFLO. Parameters as for `CpuTrainer`."""

    configured_by, kind = RfloConfiguration, RFLO_KIND
    _configuration: RfloConfiguration

    def _feedback(self) -> Array:
        if self._configuration.feedback == "random":
            return random_feedback(self.network, int(self._seed))
        return super()._feedback()


class CpuUoro(CpuOnline):
    """One trial of UORO. Parameters as for `CpuTrainer`."""

    configured_by, kind = UoroConfiguration, UORO_KIND


def _blocked(feedback: Array) -> NDArray[np.float32]:
    """Return F, (n_to, n_output), in the order in which products read it: (blocks of n_to, n_output, BLOCK)."""
    n_to, n_output = feedback.shape
    blocks = -(-n_to // BLOCK)
    padded = np.zeros((blocks * BLOCK, n_output))
    padded[:n_to] = feedback
    factors: NDArray[np.float32] = aligned(1, padded.size)[0][: padded.size]
    factors[:] = padded.reshape(blocks, BLOCK, n_output).swapaxes(1, 2).ravel()
    return factors


class ReferenceOnline(ReferenceDescent):
    """One trial along a gradient that is carried forward, in NumPy. Parameters as for `ReferenceTrainer`."""

    def _loss_and_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, Array]:
        return online_gradient(self.network, self._weights, x, y, self._timesteps, self._carried(len(x)))

    @abstractmethod
    def _carried(self, batch_size: int) -> Carried:
        """Return the rule before the first timestep of a step."""


class ReferenceRtrl(ReferenceOnline):
    """One trial of RTRL. Parameters as for `ReferenceTrainer`."""

    def _carried(self, batch_size: int) -> Carried:
        return Rtrl(self.network, self._weights, batch_size)


class ReferenceRflo(ReferenceOnline):
    """One trial of RFLO. Parameters as for `ReferenceTrainer`."""

    _configuration: RfloConfiguration

    def _carried(self, batch_size: int) -> Carried:
        feedback = random_feedback(self.network, self._seed) if self._configuration.feedback == "random" else None
        return Rflo(self.network, self._weights, batch_size, feedback)


class ReferenceUoro(ReferenceOnline):
    """One trial of UORO. Parameters as for `ReferenceTrainer`."""

    def _carried(self, batch_size: int) -> Carried:
        drawn: dict[str, Any] = {"seed": self._seed, "step": self.step, "datapoints": np.arange(batch_size)}
        return Uoro(self.network, self._weights, batch_size, uoro_signs(self.network, self._timesteps, **drawn))


def _descent(configuration: type[OnlineConfiguration], free: type[CpuOnline], reference: type[ReferenceOnline]) -> Any:
    return Descent(configuration, free=free, reference=reference, compile_free=free.compile_kernels)


RTRL: Descent = _descent(RtrlConfiguration, CpuRtrl, ReferenceRtrl)
RFLO: Descent = _descent(RfloConfiguration, CpuRflo, ReferenceRflo)
UORO: Descent = _descent(UoroConfiguration, CpuUoro, ReferenceUoro)
