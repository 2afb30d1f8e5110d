"""Checks of tasks, methods and gradients of your own, and what they report."""

from freewalk.harness.estimates.checking.observed import Observed
from freewalk.harness.estimates.checking.report import EstimatorFault, EstimatorReport
from freewalk.harness.gradcheck.conformance import check_method, check_task
from freewalk.harness.gradcheck.diagnosis import Fault
from freewalk.harness.gradcheck.report import LayerResult, Miss, Report

__all__ = [
    "EstimatorFault",
    "EstimatorReport",
    "Fault",
    "LayerResult",
    "Miss",
    "Observed",
    "Report",
    "check_method",
    "check_task",
]
