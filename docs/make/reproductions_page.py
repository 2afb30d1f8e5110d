"""docs/benchmarks/reproductions.md and .csv, from what `harness reproduce --all` left at both scales.

`python docs/make/reproductions_page.py runs/reproduce` writes both. With `--check`, nothing is written: a check that
holds in the committed table and does not in the folder is named, and the exit code is 1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from freewalk import read_table
from freewalk.harness.reproducing.document import FOLDER
from freewalk.results.report.reproductions_view import CheckView, ReproductionView, reproduction_views, summary_of

PAGE = Path(__file__).parents[1] / "benchmarks" / "reproductions.md"
TABLE = PAGE.with_suffix(".csv")
_SOURCES = "../../harness/reproducing/published"
_HEAD = """# Published results, run again

[`harness reproduce`](../reproduce.md) runs published results and says which of them come out:

```sh
harness reproduce --all                  # the quick scale: {quick} of running
harness reproduce --all --scale paper    # {paper}
```

At the quick scale: {quick_summary}
At the paper's: {paper_summary}

*Reproduced* means that every check holds and nothing was changed; *at another scale*, that every check holds with
something changed, which is said; *undecided*, that there are too few trials to say.
[What the verdicts mean exactly](../reproduce.md), [all of it as a table]({table}).
{machine}, {date}.

| result | quick | paper |
|---|---|---|
"""


def reproductions_page(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the page's text in pieces."""
    by_scale = {scale: [one for one in found if one["scale"] == scale] for scale in ("quick", "paper")}
    views = {(view.name, view.scale): view for view in reproduction_views(found)}
    last = max(found, key=lambda one: str(one["date"]))
    yield _HEAD.format(
        **{scale: _minutes(sum(float(one["seconds"]) for one in own)) for scale, own in by_scale.items()},
        **{f"{scale}_summary": summary_of(own) for scale, own in by_scale.items()},
        table=TABLE.name,
        machine=last["machine"],
        date=last["date"],
    )
    names = list(dict.fromkeys(one["name"] for one in found))
    for name in names:
        both = [views.get((name, scale)) for scale in ("quick", "paper")]
        cells = ["" if view is None else f"{view.verdict}, {view.time}" for view in both]
        title = _first(both).title
        yield f"| [{title}](#{_anchor(title)}) | {' | '.join(cells)} |\n"
    for name in names:
        yield from _section(name, [view for scale in ("quick", "paper") if (view := views.get((name, scale)))])


def _section(name: str, both: Sequence[ReproductionView]) -> Iterator[str]:
    one = both[-1]
    file = f"[{name}.toml]({_SOURCES}/{name}.toml)" if (FOLDER / f"{name}.toml").is_file() else name
    read = f" Read at {_link(one.address)}." if one.address else ""
    yield f"\n## {one.title}\n\n{one.source}.{read} {file}\n\n{one.claim} {one.notes}\n"
    scales = " | ".join(view.scale for view in both)
    yield f"\n| check | published | {scales} |\n|---|---|{'---|' * len(both)}\n"
    rows: dict[str, dict[str, CheckView]] = {}
    for view in both:
        for check in view.checks:
            rows.setdefault(check.claim, {})[view.scale] = check
    for claim, found in rows.items():
        here = [_here(found.get(view.scale)) for view in both]
        yield f"| {claim} | {next(iter(found.values())).published} | {' | '.join(here)} |\n"
    for view in both:
        what = f"Not as published: {view.changed}." if view.changed else "As published."
        yield f"\n{view.scale.capitalize()}: {view.verdict}. {what} `{view.command}`, {view.time}.\n"


def _here(check: CheckView | None) -> str:
    if check is None:
        return ""
    return check.here if check.held == "holds" else f"**{check.here}: {check.held}**"


def _first(both: Sequence[ReproductionView | None]) -> ReproductionView:
    return next(view for view in both if view is not None)


def _anchor(title: str) -> str:
    """Return what links call a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _link(address: str) -> str:
    first, _, more = address.partition(",")
    return f"<{first}>{',' + more if more else ''}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def lost_checks(table: Path, folder: Path) -> list[str]:
    """Return those checks that hold in the committed table and do not in a folder's, of the scales that this has."""
    keys = ["reproduction", "scale", "claim"]
    committed, found = (read_table(path, "reproductions") for path in (table, folder / TABLE.name))
    both = committed.merge(found, on=keys, suffixes=("_committed", ""))
    lost = both[both["holds_committed"].fillna(False) & ~both["holds"].fillna(True)]
    return [f"{row.reproduction}, {row.scale}: {row.claim}: {row.estimate:g}" for row in lost.itertuples()]


if __name__ == "__main__":
    check = "--check" in sys.argv
    (folder,) = (Path(argument) for argument in sys.argv[1:] if argument != "--check")
    if check:
        lost = lost_checks(TABLE, folder)
        sys.stdout.write("".join(f"no longer holds: {line}\n" for line in lost))
        sys.exit(1 if lost else 0)
    known = json.loads((folder / "reproductions.json").read_text(encoding="utf-8"))
    PAGE.write_text("".join(reproductions_page(known)), encoding="utf-8")
    TABLE.write_bytes((folder / TABLE.name).read_bytes())
