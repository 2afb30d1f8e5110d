"""How the files and folders of a reproduction are called."""

from typing import Final, Literal, get_args

ScaleName = Literal["quick", "paper"]
SCALES: Final[tuple[ScaleName, ...]] = get_args(ScaleName)
VERDICT_NAME: Final = "verdict.json"
"""File of a reproduction's folder, NAME-SCALE, that says what it came to."""
SWEEP_PREFIX: Final = "sweep-"
"""Of the folder of its sweep, in that folder."""
COMMANDS_PREFIX: Final = "commands-"
"""Of the folders of its commands' answers."""
