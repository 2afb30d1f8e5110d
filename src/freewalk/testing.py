"""Checks for tasks and methods of one's own: `check_task`, `check_method`."""

from freewalk.harness.gradcheck.conformance import check_method, check_task

__all__ = ["check_method", "check_task"]
