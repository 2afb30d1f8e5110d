"""Colours of the plots: fixed ones for files, and stand-ins that the page replaces by its own variables."""

from dataclasses import dataclass
from typing import Final, Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Palette:
    """Colours by their part in a plot, each as ``#rrggbb``."""

    surface: str
    """What the plot lies on."""
    ink: str
    """Text, and what must be seen first."""
    muted: str
    """Tick labels, axes, remarks."""
    faint: str
    """Grid lines, borders, empty fields."""
    series: tuple[str, ...]
    """Colours that stay apart for people who see few colours (after Okabe and Ito, 2008)."""


LIGHT: Final = Palette(
    surface="#ffffff",
    ink="#1b1f24",
    muted="#5c6670",
    faint="#dde2e7",
    series=("#0b68c1", "#c25400", "#00825c", "#b0368c", "#8a6a00", "#3d8fb8"),
)
DARK: Final = Palette(
    surface="#15181c",
    ink="#e8eaed",
    muted="#a0a9b2",
    faint="#333a41",
    series=("#5eb0ff", "#ff9a4d", "#3ecf9f", "#f08bd0", "#e0bf3f", "#9ad8f5"),
)
FILES: Final[dict[Theme, Palette]] = {"light": LIGHT, "dark": DARK}

# No plot uses these colours for anything else; each stands for a variable of the page's style sheet.
INLINE: Final = Palette(
    surface="#fe0001",
    ink="#fe0002",
    muted="#fe0003",
    faint="#fe0004",
    series=("#fe0011", "#fe0012", "#fe0013", "#fe0014", "#fe0015", "#fe0016"),
)

N_SERIES: Final = len(INLINE.series)


def variables(palette: Palette) -> dict[str, str]:
    """Return a palette's colours by the names of the page's style sheet: ``--ink``, ``--series-1`` and so on."""
    named = {f"--{part}": getattr(palette, part) for part in ("surface", "ink", "muted", "faint")}
    return named | {f"--series-{place}": colour for place, colour in enumerate(palette.series, 1)}
