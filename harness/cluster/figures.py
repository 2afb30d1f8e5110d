"""What a sweep on a cluster cost beside its work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Figures:
    """Counts of what has travelled; a journey takes one or more works to a worker and what came of them back."""

    slices: int = 0
    journeys: int = 0
    lost: int = 0
    """Journeys whose worker died."""
    bytes_out: int = 0
    bytes_back: int = 0
    busy_seconds: float = 0.0
    """Time that workers spent on slices."""

    def sentence(self, n_threads: int, seconds: float) -> str:
        """Return the costs in a sentence, for so many threads over so many seconds."""
        if not self.slices:
            return "cluster: no slice came back"
        lost = f", {self.lost} lost with a worker and made again" if self.lost else ""
        idle = max(0.0, seconds * n_threads - self.busy_seconds)
        return (
            f"cluster: {self.slices} slices, {self.journeys} journeys{lost}, {seconds:.1f} s; per slice"
            f" {self.bytes_out / self.slices:,.0f} bytes out and {self.bytes_back / self.slices:,.0f} back,"
            f" {1e3 * self.busy_seconds / self.slices:,.1f} ms of work,"
            f" {1e3 * idle / self.slices:,.1f} ms of idle thread"
        )
