"""A plot, its name and its caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.figure import Figure

from freewalk.results.report.palette import Palette


class Plot(Protocol):
    """What can be drawn in any colours."""

    @property
    def title(self) -> str:
        """What it shows, in a few words."""

    def draw(self, palette: Palette, subject: str = "") -> Figure:
        """Draw it; where it stands alone, with the name of its subject and all that a page would say beside it."""


@dataclass(frozen=True)
class Drawing:
    """A plot with its name and what is said below it."""

    name: str
    """Letters, digits and dashes, unique in its task."""
    plot: Plot
    caption: str = ""
    """What is shown, and what was left out."""


@dataclass(frozen=True)
class Group:
    """Drawings that stand side by side under one heading."""

    title: str
    drawings: Sequence[Drawing]
    caption: str = ""
    """What holds for all of them."""
    choices: Sequence[tuple[int, str]] = ()
    """The numbers of their curves, and the cells in words that they stand for."""
