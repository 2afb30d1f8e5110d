"""Reproductions as TOML files: a publication, the runs that try it, and what must come of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.plan.document import read_toml
from freewalk.harness.plan.settings import RunSettings
from freewalk.harness.reproducing.names import SCALES, ScaleName
from freewalk.results.analysis.reproduction import Check, Compare, Statistic
from freewalk.results.base.names import nearest

FOLDER = Path(__file__).with_name("published")
"""Those that come with the program."""

Known = Literal["source", "abstract", "second hand", "measured", "unverified", "derived"]
KNOWN: Mapping[str, str] = {
    "source": "read in the publication",
    "abstract": "read in its abstract alone",
    "second hand": "read in another text",
    "measured": "by running the original program",
    "unverified": "from memory: nobody here could read it",
    "derived": "theory, or a definition, of which the number follows",
}
"""How a published number is known, and what that means."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckTable(_Table):
    """A `[[check]]`; see `freewalk.results.analysis.reproduction.Check`."""

    claim: str = Field(min_length=1)
    value: str = ""
    statistic: Statistic = "mean"
    where: str = ""
    against: str = ""
    compare: Compare = "ratio"
    table: str = "trials"
    transform: str = ""
    resolution: str = ""
    published: Number | None = None
    published_low: Number | None = None
    published_high: Number | None = None
    margin: Number | None = Field(None, gt=0)
    above: Number | None = None
    below: Number | None = None
    known: Known | None = None
    """Where it differs from the reproduction's."""
    scale: ScaleName | None = None
    """None for both."""

    @model_validator(mode="after")
    def _check_criterion(self) -> Self:
        if self.published is None and self.above is None and self.below is None:
            raise ValueError("give what was published, or a bound: published, above or below")
        if not self.value and self.statistic != "ert":
            raise ValueError("give value, what is calculated of each row, such as a column's name")
        if self.resolution and self.statistic in ("share", "ert"):
            raise ValueError(
                f"resolution is for a mean or a median, not for statistic = {self.statistic!r}; leave it out"
            )
        if self.published is not None:
            ends = (self.published_low, self.published, self.published_high)
            known = [end for end in ends if end is not None]
            if known != sorted(known):
                raise ValueError("published must lie between published_low and published_high; correct one of them")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"nothing is above {self.above:g} and below {self.below:g}; correct one of them")
        return self

    def check(self) -> Check:
        """Return what the tables are judged by."""
        return Check(**{one.name: getattr(self, one.name) for one in fields(Check)})


class CommandTable(_Table):
    """A `[[command]]`: a command of the harness that prints JSON, once for each seed."""

    run: tuple[str, ...] = Field(min_length=1)
    """Its words after `harness`; {seed} and {folder} stand for the seed and for a folder of the reproduction's."""


class Scale(BaseModel):
    """A table `[quick]` or `[paper]`: what differs from the other one, and settings of its sweep."""

    model_config = ConfigDict(frozen=True, extra="allow")

    changed: str = ""
    """What is not as published; empty for nothing."""
    seconds: Number | None = Field(None, gt=0)
    """That it took on the machine that the documentation names."""
    grid: tuple[dict[str, Any], ...] = ()
    """In place of the file's."""
    command: tuple[CommandTable, ...] = ()
    """In place of the file's."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the sweep, seeds among them."""
        return dict(self.model_extra or {})


class Reproduction(BaseModel):
    """A published result and how it is tried."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    path: Path
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """The citation."""
    address: str = ""
    """Where the definition and the numbers were read."""
    known: Known
    claim: str = Field(min_length=1)
    """What was published, in a sentence or two."""
    notes: str = ""
    """How the publication was read, and what is otherwise here."""
    plugins: tuple[str, ...] = ()
    """Files with tasks and methods of one's own, from the file's folder."""
    grid: tuple[dict[str, Any], ...] = ()
    command: tuple[CommandTable, ...] = ()
    check: tuple[CheckTable, ...] = Field(min_length=1)
    quick: Scale | None = None
    paper: Scale | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, document: dict[str, Any]) -> dict[str, Any]:
        settings = (*RunSettings.model_fields, "seeds")
        tables: list[tuple[str, Any, type[BaseModel]]] = [("", document, Reproduction)]
        tables += [(f"{name}: ", document.get(name), Scale) for name in SCALES]
        for where, table, kind in tables:
            for key in table if isinstance(table, Mapping) else ():
                if key not in (*kind.model_fields, *settings):
                    raise ValueError(f"{where}{unknown('key', key, [*_keys(kind), *settings])}")
        return document

    @model_validator(mode="after")
    def _check_runs(self) -> Self:
        if not self.scales:
            raise ValueError("there is no scale to run it at; add [paper], [quick], or both")
        for name in self.scales:
            if not self.grids(name) and not self.commands(name):
                raise ValueError(f"[{name}] runs nothing; give a [[grid]] or a [[command]]")
            if not self.checks(name):
                raise ValueError(f"[{name}] has no [[check]]; add one without scale, or with scale = {name!r}")
        return self

    @property
    def scales(self) -> tuple[ScaleName, ...]:
        """Those that it can be run at."""
        return tuple(name for name in SCALES if getattr(self, name) is not None)

    @property
    def called(self) -> str:
        """What the command line takes: the name of one that comes with the program, else the path."""
        return self.name if self.path.parent == FOLDER else str(self.path)

    def scale(self, name: ScaleName) -> Scale:
        """Return how it is run at a scale.

        Raises
        ------
        UsageError
            If it has no such scale.
        """
        scale: Scale | None = getattr(self, name)
        if scale is None:
            raise UsageError(f"{self.called}: there is no [{name}]; give --scale {self.scales[0]}")
        return scale

    def settings(self, name: ScaleName) -> dict[str, Any]:
        """Return the settings of its sweep at a scale, seeds among them."""
        return {**(self.model_extra or {}), **self.scale(name).settings}

    def grids(self, name: ScaleName) -> Sequence[Mapping[str, Any]]:
        """Return the tables of its sweep at a scale; none for no sweep."""
        return self.scale(name).grid or self.grid

    def commands(self, name: ScaleName) -> Sequence[CommandTable]:
        """Return the commands that it runs at a scale."""
        return self.scale(name).command or self.command

    def checks(self, name: ScaleName) -> list[CheckTable]:
        """Return what must come of a scale."""
        return [one for one in self.check if one.scale in (None, name)]


def _keys(kind: type[BaseModel]) -> list[str]:
    return [name for name in kind.model_fields if name not in ("name", "path")]


def known_reproductions() -> list[str]:
    """Return the names of those that come with the program, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Path:
    """Return the file of a reproduction: one that comes with the program, by its name, or a path.

    Raises
    ------
    UsageError
        If there is none.
    """
    known = known_reproductions()
    if name in known:
        return FOLDER / f"{name}.toml"
    path = Path(name).expanduser()
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"{name}: no such file; give an existing TOML file, or a name of harness reproduce --list")
        return path
    raise UsageError(
        f"no reproduction {name!r}{nearest(name, known)}; see harness reproduce --list, or give a .toml file"
    )


def read_reproduction(path: Path) -> Reproduction:
    """Read a reproduction.

    Raises
    ------
    UsageError
        If the file cannot be read, is no TOML, or something in it is missing, unknown or of the wrong kind: one line
        that names the file and the place.
    """
    document = read_toml(path, f"{path}: ")
    for reserved in ("name", "path"):
        if reserved in document:
            raise UsageError(f"{path}: {reserved} is the file's own; leave it out")
    try:
        return Reproduction.model_validate({**document, "name": path.stem, "path": path})
    except ValidationError as error:
        raise UsageError(f"{path}: {_first_error(error, document)}") from None


_KINDS: Mapping[str, type[BaseModel]] = {"check": CheckTable, "command": CommandTable}
_REMEDIES = {
    "string_type": "give a text, in quotes",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "greater_than": "give a number above 0",
    "too_short": "give at least one",
    "string_too_short": "is empty; say something",
    "tuple_type": "give a list, in [ ]",
    "dict_type": "give a table",
    "model_type": "give a table",
}
"""What to do where pydantic speaks of Python's types."""
_OF_ONE_VALUE = ("string_type", "float_type", "float_parsing", "finite_number", "greater_than")


def _first_error(error: ValidationError, document: Mapping[str, Any]) -> str:
    """Say what is wrong first, and where; before what is missing, what is misspelt."""
    errors = error.errors()
    details = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = [part for part in details["loc"] if isinstance(part, str | int)]
    kind, name = details["type"], str(place[-1]) if place else ""
    where = _place(place[:-1] if kind in ("missing", "extra_forbidden") else place, document)
    if kind == "missing":
        return f"{where}there is no {name}; add it"
    if kind == "extra_forbidden":
        of = next((_KINDS[part] for part in place if isinstance(part, str) and part in _KINDS), Scale)
        return f"{where}{unknown('key', name, _keys(of))}"
    if kind == "tuple_type" and name in ("grid", *_KINDS):
        dotted = ".".join(map(str, place))
        return f"{where}there may be several; write [[{dotted}]], with two brackets, or a list of tables"
    if kind == "model_type" and name in SCALES:
        return f"{where}there is one; write [{name}]"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", details["ctx"]["expected"])
        return f"{where}{unknown('word', str(details['input']), words)}"
    message = _REMEDIES.get(kind, details["msg"].removeprefix("Value error, "))
    instead = f", not {details['input']!r}" if kind in _OF_ONE_VALUE else ""
    return f"{where}{message[0].lower()}{message[1:]}{instead}"


def _place(place: Sequence[str | int], document: Mapping[str, Any]) -> str:
    """Say where something is wrong: `quick: command 2: run: `; of a check its claim says it."""
    said: list[str] = []
    for part in place:
        if isinstance(part, str):
            said.append(part)
            continue
        table = document["check"][part] if said == ["check"] else None
        claim = table.get("claim") if isinstance(table, dict) else None
        said[-1] += f" {claim!r}" if isinstance(claim, str) and claim else f" {part + 1}"
    return "".join(f"{part}: " for part in said)
