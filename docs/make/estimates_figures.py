"""Tables and the picture of docs/benchmarks/estimates.md, from a folder of `harness estimate`.

python docs/make/estimates_figures.py FOLDER AT                    the estimators at one place, as Markdown
python docs/make/estimates_figures.py FOLDER AT PARAMETER [SVG]    what they cost over a parameter, and a picture of it
"""

from __future__ import annotations

import sys
from pathlib import Path

from freewalk import read_table
from freewalk.results.analysis.estimators import Names, PriceLine, price_lines
from freewalk.results.base.numbers import interval, significant
from freewalk.results.report.estimates_view import crossing_sentence, figures_of, place_views
from freewalk.results.report.palette import LIGHT
from freewalk.results.report.style import file_bytes, styled

_SHOWN = ("slope", "second moment", "over theory", "cosine", "evaluations", "time", "numbers")


def figures_page(folder: str, at: str, parameter: str = "", svg: str = "") -> str:
    """Return what is asked for; the picture is written to its path."""
    estimates = read_table(Path(folder) / "estimates.csv", "estimates")
    cosines = read_table(Path(folder) / "cosines.csv", "cosines")
    views = [one for one in place_views(estimates, cosines) if one.at == at]
    lines: list[str] = []
    for view in views:
        if not parameter:
            lines += [f"{view.title}. {view.facts} {view.usual}", "", f"| estimator | {' | '.join(_SHOWN)} |"]
            lines.append(f"|---|{'---|' * len(_SHOWN)}")
            for row in view.rows:
                figures = figures_of(row)
                lines.append(f"| {view.words(row)} | {' | '.join(figures[name] for name in _SHOWN)} |")
            continue
        whole = estimates[(estimates["at"] == at) & (estimates["weights"] == "all")].reset_index(drop=True)
        prices = price_lines(whole, f"param_{parameter}", Names.of(whole))
        lines += [f"| {parameter} | {' | '.join(line.words for line in prices)} |", f"|---|{'---|' * len(prices)}"]
        for place, x in enumerate(prices[0].x):
            lines.append(f"| {significant(x)} | {' | '.join(_price(one, place) for one in prices)} |")
        lines += ["", *map(crossing_sentence, view.crossings)]
        if svg:
            (drawing,) = (one for group in view.groups for one in group.drawings if one.name == f"price-{parameter}")
            with styled(LIGHT, text_as_text=False):
                Path(svg).write_bytes(file_bytes(drawing.plot.draw(LIGHT, view.title), "svg"))
    return "\n".join([*lines, ""])


def _price(line: PriceLine, place: int) -> str:
    ends = interval(line.low[place], line.high[place])
    return f"{significant(line.price[place])} ({ends})" if ends else "no gradient there"


if __name__ == "__main__":
    sys.stdout.write(figures_page(*sys.argv[1:]))
