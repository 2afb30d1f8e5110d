"""The sweeps that come with the program."""

from pathlib import Path

FOLDER = Path(__file__).parent


def preset_names() -> tuple[str, ...]:
    """Name the presets, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def preset_path(name: str) -> Path:
    """Locate a preset's TOML file; the name must be one of `preset_names`."""
    return FOLDER / f"{name}.toml"
