"""Run `harness` with the arguments given, without the peers that take too long to prepare for a session of minutes."""

from freewalk.harness.bench.peers import table
from freewalk.harness.cli import main

SLOW = ("torch-compile", "torch-func", "evosax", "tensorflow", "numpy")

if __name__ == "__main__":
    for name in SLOW:
        del table.PEERS[name]  # type: ignore[attr-defined]
    main()
