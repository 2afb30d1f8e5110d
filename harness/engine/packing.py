"""Which trials run together."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.engine.work import Work
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Trial
from freewalk.harness.trial.trial import resolve_trial
from freewalk.kernels.backend import Backend
from freewalk.kernels.model.own_network import ModelNetwork


def works_of(
    trials: Sequence[Trial],
    budget: Budget,
    backend: Backend,
    *,
    checkpoints: Mapping[str, Checkpoint] | None = None,
    plan: Sequence[Trial] | None = None,
    pauses: Mapping[str, float] | None = None,
) -> list[Work]:
    """Put trials together that one pack can hold, in the order in which the first of each comes.

    On the CPU a pack shares its unit perturbations, so its trials have one seed, and each has the bits of a trial
    alone. On a GPU a pack shares launches.

    Parameters
    ----------
    trials
        What shall run.
    budget, backend
        How long, and where.
    checkpoints
        Where trials go on, by trial_id; the others start.
    plan
        All trials of the sweep; None: just these. On a GPU their number decides whether trials share a pack or run
        one by one, which differ in the last bits; so a sweep that is resumed must not decide by what is left.
    pauses
        Evaluations that trials may spend for now, by trial_id; the others run to their ends.
    """
    saved, until = checkpoints or {}, pauses or {}
    problems = {trial.cell: resolve_trial(trial.cell, budget) for trial in trials}
    keys = {trial.trial_id: _shared(trial, problems[trial.cell], budget, backend) for trial in trials}
    wide = _wide_enough(trials if plan is None else plan, budget, backend)
    packs: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        key = keys[trial.trial_id]
        before = saved.get(trial.trial_id)
        pause_at = until.get(trial.trial_id, math.inf)
        packs.setdefault((key or trial.trial_id, before.step if before else 0, pause_at), []).append(trial)
    works = []
    for (key, _, pause_at), pack in packs.items():  # type: ignore[misc]
        together = keys[pack[0].trial_id] is not None and (wide is None or key in wide)
        for part in _even_parts(pack, backend) if together else [[trial] for trial in pack]:
            together_now = together and (wide is not None or len(part) > 1)
            starts = tuple(saved.get(trial.trial_id) for trial in part)
            works.append(Work(tuple(part), starts, together_now, pause_at))
    return works


def _shared(trial: Trial, problem: ResolvedProblem, budget: Budget, backend: Backend) -> Hashable | None:
    """Return what the trials of a pack have in common; None for a trial that no pack takes."""
    alike = problem.method.alike(problem.configuration, backend)
    if alike is None or not _most(backend) or isinstance(problem.network, ModelNetwork):
        return None
    data = problem.problem
    wired = None if problem.free_mask is None else problem.free_mask.tobytes()
    return (
        *(problem.task.name, problem.network, problem.layers, wired, data.datapoint, data.argument, alike),
        data.evaluation_points(budget.evaluation_points),
        trial.seed if backend.most_sharing_noise else None,
    )


def _most(backend: Backend) -> int:
    return backend.most_sharing_noise or backend.most_in_a_pack


def _wide_enough(plan: Sequence[Trial], budget: Budget, backend: Backend) -> set[Hashable] | None:
    """Return what enough trials of the plan have in common to be worth a pack; None where two are enough."""
    if backend.fewest_in_a_pack == 0:
        return None
    problems = {trial.cell: resolve_trial(trial.cell, budget) for trial in plan}
    count = Counter(_shared(trial, problems[trial.cell], budget, backend) for trial in plan)
    return {key for key, n in count.items() if key is not None and n >= backend.fewest_in_a_pack}


def _even_parts(trials: Sequence[Trial], backend: Backend) -> Sequence[Sequence[Trial]]:
    """Cut trials into parts of much the same size.

    The number that shares noise best is no limit: 18 stay together where 16 are best. What a GPU holds is one.
    """
    n_parts = max(1, round(len(trials) / _most(backend)))
    if not backend.most_sharing_noise:
        n_parts = math.ceil(len(trials) / _most(backend))
    ends = [len(trials) * k // n_parts for k in range(n_parts + 1)]
    return [trials[first:end] for first, end in itertools.pairwise(ends)]
