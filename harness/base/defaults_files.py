"""Where files with defaults of a user's own lie: of the project that one is in, and of one's home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROJECT_NAME: Final = "freewalk.toml"
NO_DEFAULTS: Final = "HARNESS_NO_DEFAULTS"
"""Variable of the environment: set, no such file is read."""


def defaults_files() -> list[Path]:
    """Return the files that are in use, the nearest first."""
    if os.environ.get(NO_DEFAULTS):
        return []
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    own = Path(home) / "freewalk" / "defaults.toml"
    return [path for path in (_of_the_project(), own) if path is not None and path.is_file()]


def _of_the_project() -> Path | None:
    """Return the file of the present folder or of one above it, as far as the repository or the home goes.

    Elsewhere folders above are not looked at: in a folder such as /tmp anybody may have left one.
    """
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return None
    upwards = (here, *here.parents)
    home = Path("~").expanduser()
    ends = [folder for folder in upwards if (folder / ".git").exists()][:1] or [home]
    within = upwards[: upwards.index(ends[0]) + 1] if ends[0] in upwards else (here,)
    return next((path for folder in within if (path := folder / PROJECT_NAME).is_file()), None)
