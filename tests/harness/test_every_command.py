"""Every command once, in the order in which one would use them, with what each leaves for the next."""

from collections.abc import Callable
from typing import Any

from freewalk.harness import cli

Harness = Callable[..., Any]

_SMALL = "--task xor --epochs 4 --steps-per-epoch 5 --grid hidden=4 --grid timesteps=2 --grid batch_size=16"
ONCE = {
    "info": "",
    "tasks": "xor",
    "sweep": f"{_SMALL} --grid stddev=0.1,0.5 --seeds 0:3 --out swept --quiet",
    "report": "swept",
    "show": "swept --table trials",
    "compare": "swept swept",
    "merge": "swept swept --out merged",
    "train": "--task xor --architecture 2-3-1 --method backprop --epochs 2 --save xor.npz",
    "evaluate": "--weights xor.npz",
    "maximize": "--weights xor.npz --restarts 2 --steps 5",
    "gradcheck": "--task xor --architecture 2-3-1",
    "ladder": "",
    "bench": "--suite quick --only timings --time-limit 0.1",
}


def test_every_command_once(harness: Harness) -> None:
    assert set(ONCE) == set(cli.COMMANDS), "a new command belongs into ONCE"
    for command, arguments in ONCE.items():
        result = harness(command, *arguments.split())
        assert result.code == 0, f"{command}: {result.err}"
        assert result.out or "--quiet" in arguments, command
