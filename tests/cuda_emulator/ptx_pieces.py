"""Small kernels in PTX for the tests of the translator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEADER = ".version 8.0\n.target sm_90a\n.address_size 64\n"


def kernel(body: str, before: str = "", registers: str = "") -> str:
    """Return the PTX of a kernel of two arrays, whose addresses are in %rd1 and %rd2."""
    return (
        f"{HEADER}{before}\n.visible .entry piece(.param .u64 given, .param .u64 filled)\n{{\n"
        f".reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .pred %p<9>; {registers}\n"
        f"ld.param.u64 %rd1, [given]; ld.param.u64 %rd2, [filled];\n{body}\nret;\n}}\n"
    )


def run_all(tasks: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Launch kernels in a process of their own."""
    (folder / "tasks.json").write_text(json.dumps(tasks))
    command = [sys.executable, HERE / "run_ptx.py", folder / "tasks.json", folder / "out.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "out.json").read_text())
    return found
