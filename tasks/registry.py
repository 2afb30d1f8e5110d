"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping

from freewalk.tasks import addition, logic, parity, shifted_sums, sign
from freewalk.tasks.task import Task

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (shifted_sums.TASK, logic.AND, logic.OR, logic.XOR, sign.TASK, parity.TASK, addition.TASK)
}
"""Every task that comes with freewalk, in the order in which it is shown."""
