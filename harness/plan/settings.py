"""The settings of a sweep, each said once: type, default, range, help, what None means, and what was done before.

A field makes its option with help and environment variable, its key in presets and TOML files, its keyword in Python,
its part of the budget, of the names of trials and of the comparison with what a folder holds.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from freewalk.harness.parameters.parameters import base_type
from freewalk.harness.parameters.seeds import checked_seeds

RIVALS = {"steps_per_epoch": "evaluations", "evaluations": "steps_per_epoch"}
"""Two ways to say how long a trial trains: on the command line, one replaces what a file says of the other."""
RACE_EVALUATIONS = 1_000_000
"""What a trial of a race may spend where nobody says it."""

Looks = Literal["growing", "epochs"]
BackendChoice = Literal["auto", "cuda", "cpu", "reference"]
BACKENDS: tuple[str, ...] = get_args(BackendChoice)
_ALWAYS = object()


@dataclass(frozen=True)
class About:
    """What a setting's type, default and range do not tell."""

    none: str = ""
    """What None means, in words."""
    before: Any = _ALWAYS
    """What sweeps did before there was the setting; names leave this value out, so that stores of then keep theirs."""


class TrialSettings(BaseModel):
    """How long a trial trains and how it is measured; the names of trials depend on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(40, ge=1, description="Epochs of a trial.")
    steps_per_epoch: int = Field(100, ge=1, description="Steps of an epoch.")
    evaluations: Annotated[int | None, About("what the steps cost", before=None)] = Field(
        None,
        ge=1,
        le=2**63 - 1,
        description="Forward passes of one datapoint that each trial may spend: as many steps as they pay for, but at"
        " least one, in place of --steps-per-epoch.",
    )
    target: Annotated[float | None, About("each task's own")] = Field(
        None, allow_inf_nan=False, description="Value of the metric to reach."
    )
    plateau: Annotated[int | None, About("never")] = Field(
        None, ge=1, le=2**63 - 1, description="Stop a trial after so many epochs without improvement."
    )
    looks: Annotated[Looks, About(before="epochs")] = Field(
        "growing",
        description="When a trial is measured on held-out data: growing: after its first step, then whenever its cost"
        " has grown by 5 %; epochs: after every epoch.",
    )
    evaluation_points: int = Field(2048, ge=1, le=2**32 - 1, description="Held-out datapoints of a measurement.")


class RunSettings(TrialSettings):
    """What has an option of its own in every command that trains, and a keyword in Python."""

    backend: BackendChoice = Field("auto", description="What computes.")


class Settings(RunSettings):
    """Everything that a sweep's file may say above its grid."""

    name: str | None = Field(None, description="A name for reports; decides nothing.")
    seeds: tuple[int, ...] = Field((0, 1, 2), description="Every cell runs once with each seed.")
    plugins: tuple[str, ...] = Field(
        (), description="Files with tasks and methods of one's own, each with its SHA-256."
    )

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return checked_seeds(seeds)


def about(field: FieldInfo) -> About:
    """Return what a setting's field says besides its type, default and range."""
    return next((item for item in field.metadata if isinstance(item, About)), About())


def words_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a setting may be; none for numbers and texts."""
    kind = base_type(field)
    return get_args(kind) if get_origin(kind) is Literal else ()


def earlier_values() -> dict[str, Any]:
    """Return by name what sweeps did before there was a setting, of those that are younger than the first stores."""
    known = {name: about(field).before for name, field in Settings.model_fields.items()}
    return {name: value for name, value in known.items() if value is not _ALWAYS}


def naming_values(settings: TrialSettings) -> dict[str, Any]:
    """Return the settings that the name of a trial is made of."""
    earlier = earlier_values()
    values = {name: getattr(settings, name) for name in TrialSettings.model_fields}
    if settings.evaluations is not None:
        del values["steps_per_epoch"]
    return {name: value for name, value in values.items() if name not in earlier or value != earlier[name]}
