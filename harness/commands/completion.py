"""What the shell is offered for arguments, by names alone: nothing is opened, no kernel is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from freewalk.harness.parameters.parameters import AXIS_KEYS, PARAMETERS
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.presets.relatives import RELATIVES

_OF_A_SWEEP = ("sweep.sqlite", "trials.csv")


def specs(incomplete: str) -> list[str]:
    """Return how an argument of ``--grid`` may go on: keys, the words of a parameter, presets."""
    key, equals, values = incomplete.partition("=")
    if not equals:
        names = (*(f"{name}=" for name in AXIS_KEYS), *preset_names(), *RELATIVES)
        return [name for name in names if name.startswith((incomplete, incomplete.replace("-", "_")))]
    before, comma, last = values.rpartition(",")
    return [f"{key}={before}{comma}{word}" for word in _words(key) if word.startswith(last)]


def _words(key: str) -> tuple[str, ...]:
    if key == "task":
        from freewalk.tasks.registry import TASKS

        return tuple(TASKS)
    if key == "method":
        from freewalk.harness.methods.registered import METHODS

        return tuple(METHODS)
    return PARAMETERS[key].choices if key in PARAMETERS else ()


def sweep_folders(incomplete: str) -> list[str]:
    """Return folders that hold a sweep, or that lead to one, by how their paths begin."""
    parent, _, name = incomplete.rpartition("/")
    start = Path(f"{parent}/") if parent or incomplete.startswith("/") else Path()
    found = list(_within(start, name))
    if not incomplete and Path("runs") in found:
        found += _within(Path("runs"), "")
    return [str(path) if _is_sweep(path) else f"{path}/" for path in found]


def _within(folder: Path, name: str) -> Iterator[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith(name))
    except OSError:
        return
    for path in paths:
        if not path.name.startswith(".") and (_is_sweep(path) or any(map(_is_sweep, _folders(path)))):
            yield path


def _folders(path: Path) -> Iterator[Path]:
    for depth in ("*", "*/*"):
        yield from path.glob(depth)


def _is_sweep(path: Path) -> bool:
    return any((path / name).is_file() for name in _OF_A_SWEEP)


class Bash(BashComplete):
    """Completion in bash, which takes `key=value` for three words."""

    source_template = BashComplete.source_template.replace(
        "    return 0", "    [[ ${COMPREPLY[*]} == *[=/] ]] && compopt -o nospace\n\n    return 0"
    )
    _before = ""
    """What stands before the word that bash completes."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before, and the one to complete, with what bash has cut off put back."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        whole = words.pop()
        self._before = whole.removesuffix(incomplete) if incomplete != "=" else whole
        return words, whole

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as bash takes it."""
        item.value = str(item.value).removeprefix(self._before)
        return super().format_completion(item)


def prepare() -> None:
    """Let completion in bash be ours."""
    add_completion_class(Bash)
