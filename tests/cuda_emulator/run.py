"""Run a Python program with an emulated GPU: `python tests/cuda_emulator/run.py -m pytest -m gpu`.

Everything after run.py is what Python itself would get. README.md beside this file says what is emulated.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emulator.build import EmulatorError, build_driver

HERE = Path(__file__).resolve().parent


def environment(driver: Path) -> dict[str, str]:
    """Return the environment of a program that finds the stand-in for the driver, and of all that it starts."""
    libraries, modules = os.environ.get("LD_LIBRARY_PATH"), os.environ.get("PYTHONPATH")
    return os.environ | {
        "FREEWALK_CUDA_EMULATOR": "1",
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, (str(driver), libraries))),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), modules))),
    }


def main() -> None:
    """Build the stand-in where it is missing, and become the program."""
    try:
        driver = build_driver()
    except EmulatorError as error:
        sys.exit(f"cuda_emulator: {error}")
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environment(driver))


if __name__ == "__main__":
    main()
