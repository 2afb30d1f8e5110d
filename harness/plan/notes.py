"""What tables do not say of the tasks that are known here, for reports."""

from __future__ import annotations

from freewalk.results.report.subject import TaskNote
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import METRIC_DESCRIPTIONS


def task_notes() -> dict[str, TaskNote]:
    """Return by name what is known of each task, those of plug-ins and of this process among them."""
    return {
        name: TaskNote(task.summary, task.comparison, METRIC_DESCRIPTIONS[task.metric]) for name, task in TASKS.items()
    }
