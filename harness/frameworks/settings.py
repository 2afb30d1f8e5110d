"""What users say of a walk on a model of PyTorch or JAX, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from freewalk.harness.methods.walk import WALK
from freewalk.kernels.model.noise import Generator, Noise, seed_words
from freewalk.kernels.model.walk import (
    Directions,
    Optimizer,
    Schedule,
    Shaping,
    Sides,
    Update,
    WalkConfiguration,
)

PERTURBATIONS = 64


@dataclass(frozen=True)
class Settings:
    """How steps are taken, whatever the batch."""

    walk: WalkConfiguration
    """Of a batch of one datapoint for each perturbation."""
    datapoints: int | None
    """Datapoints that see one perturbation, dealt out; None: all perturbations see the whole batch."""
    seed: int
    at_once: int | None
    """Perturbations that run at a time; None: chosen by their size."""

    def for_batch(self, n: int) -> WalkConfiguration:
        """Return the configuration of a step on n datapoints; ValueError if they cannot be dealt out."""
        if self.datapoints is None:
            k = self.walk.n_perturbations
            return replace(self.walk, batch_size=k * n, datapoints=n, share_data=True)
        return replace(self.walk, batch_size=n, datapoints=self.datapoints)


def settings_of(
    *,
    stddev: float,
    rank: int | None,
    noise: Noise,
    generator: Generator,
    perturbations: int | None,
    datapoints: int | None,
    sides: Sides,
    directions: Directions,
    shaping: Shaping,
    update: Update,
    optimizer: Optimizer,
    learning_rate: float | None,
    momentum: float,
    schedule: Schedule,
    schedule_steps: int,
    seed: int,
    at_once: int | None,
) -> Settings:
    """Return settings; ValueError, in one line that names the culprit, if a value is out of range."""
    seed_words(seed)
    counts = {"perturbations": perturbations, "datapoints": datapoints, "at_once": at_once}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if perturbations is not None and datapoints is not None:
        raise ValueError(
            "give perturbations, which all see the whole batch, or datapoints, of which each perturbation sees its own"
        )
    walk = WalkConfiguration(
        stddev=stddev,
        batch_size=PERTURBATIONS if perturbations is None else perturbations,
        timesteps=1,
        update=update,
        optimizer=optimizer,
        learning_rate=WALK.learning_rates.get(optimizer, 0.1) if learning_rate is None else learning_rate,
        momentum=momentum,
        schedule=schedule,
        schedule_steps=schedule_steps,
        sides=sides,
        noise=noise,
        generator=generator,
        rank=rank,
        directions=directions,
        shaping=shaping,
    )
    return Settings(walk, datapoints, seed, at_once)
