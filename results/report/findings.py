"""What is found in a sweep, in words: how much was run, an answer for each task, and what does well on all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from freewalk.results.report.answers import Answer, answer
from freewalk.results.report.headline import Headline, Overall, headline, overall
from freewalk.results.report.subject import Tables, Task, split_tasks


class Answered(NamedTuple):
    """A task and what is known of it."""

    task: Task
    answer: Answer


@dataclass(frozen=True)
class Findings:
    """What the page, the command line and a notebook say of a sweep."""

    headline: Headline
    tasks: Sequence[Answered]
    overall: Overall | None

    @classmethod
    def of(cls, tables: Tables) -> Self:
        """Find out what a sweep's tables say."""
        tasks = split_tasks(tables)
        return cls(headline(tasks, tables.trials), [Answered(task, answer(task)) for task in tasks], overall(tasks))

    def lines(self) -> list[str]:
        """Return it as lines of text: what is still to run, then the answer for each task, then for all."""
        lines = [self.headline.progress, ""] if self.headline.progress else []
        for task, found in self.tasks:
            lines += [f"{task.name}: {found.verdict}", *(f"  {sentence}" for sentence in found.sentences)]
        return [*lines, *([self.overall.sentence] if self.overall else [])]
