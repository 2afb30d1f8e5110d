"""`python -m freewalk` is the command `freewalk`: it needs no installation, only this package on the path."""

import os
import sys
from contextlib import suppress
from pathlib import Path

# Python puts the present folder first: one in it that is called as a package would be imported in that package's place
with suppress(OSError):
    if sys.path[:1] == [os.getcwd()] != [str(Path(__file__).parents[1])]:
        del sys.path[0]

from freewalk.harness.cli import main

main()
