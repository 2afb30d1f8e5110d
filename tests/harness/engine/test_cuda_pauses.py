"""Trials that pause on a GPU, alone and side by side, go on to the bits of undisturbed ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.engine.engine import Engine
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.events import Finished, Paused
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cuda.device import why_unusable

REASON = why_unusable()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
BUDGET = Budget(epochs=4, steps_per_epoch=5, evaluation_points=32, target=-1.0, looks="growing")


@pytest.mark.parametrize("together", [False, True], ids=["alone", "side by side"])
def test_trials_that_pause_go_on_to_the_same_bits(plan: Callable[..., Plan], together: bool) -> None:
    gpu = replace(resolve_backend("cuda"), fewest_in_a_pack=1 if together else 1000)
    trials = plan("batch_size=16", "hidden=4", "timesteps=4", "stddev=0.1,0.7", tasks=["xor"], seeds=[1, 2]).trials
    whole = {
        event.trial.trial_id: _of(event) for event in Engine(gpu, BUDGET).run(trials) if isinstance(event, Finished)
    }
    saved: dict[str, Checkpoint] = {}
    found: dict[str, Any] = {}
    for steps in (0, 1, 3, 12, 1000):
        pauses = {trial.trial_id: steps * 32.0 for trial in trials}
        left = [trial for trial in trials if trial.trial_id not in found]
        for event in Engine(gpu, BUDGET).run(left, saved, pauses):
            if isinstance(event, Paused):
                assert event.checkpoint.step == steps
                saved[event.trial.trial_id] = Checkpoint.from_bytes(event.checkpoint.to_bytes())
            elif isinstance(event, Finished):
                found[event.trial.trial_id] = _of(event)
        assert len(found) == (len(trials) if steps == 1000 else 0)
    assert found == whole


def _of(event: Finished) -> Any:
    return event.result.fields["loss_final"], [(p.step, p.split, p.metric, p.value) for p in event.result.curve]
