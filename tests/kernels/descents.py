"""The gradient methods as tests start them: by name, without the harness."""

from __future__ import annotations

from typing import Any

from freewalk.kernels.backend import Backend
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import Network
from freewalk.kernels.model.walk import Data, Trainer
from freewalk.kernels.trainers import feedback
from freewalk.kernels.trainers.backprop import BACKPROP
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.numerical import NUMERICAL
from freewalk.kernels.trainers.synthetic import SYNTHETIC

FEEDBACK = tuple(one for one in vars(feedback).values() if isinstance(one, Descent))
DESCENTS = {descent.configuration.method: descent for descent in (BACKPROP, NUMERICAL, SYNTHETIC, *FEEDBACK)}


def configure(method: str, **values: Any) -> DescentConfiguration:
    return DESCENTS[method].configuration(**values)


def start(
    backend: Backend, network: Network, configuration: DescentConfiguration, data: Data, **options: Any
) -> Trainer:
    descent = DESCENTS[configuration.method]
    return descent.start(network, configuration, data, float64=backend.name == "reference", **options)
