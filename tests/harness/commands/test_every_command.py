"""Every command once, in the order in which one would use them, with what each leaves for the next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness import bench, cli
from freewalk.harness.watching.server import Server

Harness = Callable[..., Any]

_SMALL = "--task xor --epochs 4 --steps-per-epoch 5 --grid stddev=0.1,0.5 --grid hidden=4 --grid batch_size=16 --quiet"
_REPRODUCTION = """
title = "XOR in a moment"
source = "nobody"
known = "derived"
claim = "Something is lost."
epochs = 2
steps_per_epoch = 5
grid = [{ task = "xor", method = "backprop", architecture = "2-3-1" }]
check = [{ claim = "loss", value = "loss_final", above = 0 }]
quick = { seeds = "0:2" }
"""
ONCE = (
    "info",
    "tasks xor",
    "methods walk",
    "presets mezo",
    f"sweep {_SMALL} --seeds 0:3 --out swept",
    f"sweep {_SMALL} --seeds 3:6 --out more",
    "report swept",
    "list .",
    "status swept",
    "watch swept",
    "show swept --table trials",
    "compare swept more",
    "merge swept more --out merged",
    "export merged --format ioh --out exported",
    "train --task xor --architecture 2-3-1 --method backprop --epochs 2 --save xor.npz",
    "evaluate xor.npz",
    "maximize xor.npz --restarts 2 --steps 5",
    "gradcheck --task xor --architecture 2-3-1",
    "estimate --task xor --method backprop --at initial",
    "tune --task and --method backprop --settings 2 --evaluations 2000 --race-seeds 5:8 --seeds 0:2",
    "reproduce own.toml --out reproduced",
    "ladder",
    "bench --threads 1",
)


def test_every_command_once(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.toml").write_text(_REPRODUCTION)
    monkeypatch.setattr(bench, "WORKLOADS", (bench.Workload(hidden=2, batch_size=20),))  # seconds, not half a minute
    monkeypatch.setattr(Server, "serve_forever", lambda server: None)  # nor until somebody ends it
    assert {line.split()[0] for line in ONCE} == set(cli.COMMANDS), "a new command belongs into ONCE"
    for line in ONCE:
        result = harness(*line.split())
        assert result.code == 0, f"{line}: {result.err}"
        assert result.out or "--quiet" in line, line
