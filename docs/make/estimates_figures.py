"""Tables and the picture of docs/benchmarks/estimates.md, from a folder of `harness estimate`.

python docs/make/estimates_figures.py FOLDER AT                    the estimators at one place, as Markdown
python docs/make/estimates_figures.py FOLDER AT PARAMETER [SVG]    what they cost over a parameter, and a picture of it
"""

from __future__ import annotations

import sys
from pathlib import Path

from freewalk import read_table
from freewalk.results.analysis.estimators import Names, PriceLine, crossings, price_lines
from freewalk.results.base.numbers import interval, significant
from freewalk.results.report.estimates_view import crossing_sentence, figures_of, place_views
from freewalk.results.report.palette import LIGHT
from freewalk.results.report.style import file_bytes, styled

_SHOWN = ("slope", "second moment", "over theory", "cosine", "evaluations", "time", "numbers")


def main(folder: str, at: str, parameter: str = "", svg: str = "") -> None:
    """Print what is asked for."""
    estimates = read_table(Path(folder) / "estimates.csv", "estimates")
    cosines = read_table(Path(folder) / "cosines.csv", "cosines")
    (view,) = (one for one in place_views(estimates, cosines) if one.at == at)
    if not parameter:
        print(f"{view.facts} {view.usual}\n\n| estimator | {' | '.join(_SHOWN)} |\n|---|{'---|' * len(_SHOWN)}")
        for row in view.rows:
            figures = figures_of(row)
            print(f"| {view.words(row)} | {' | '.join(figures[name] for name in _SHOWN)} |")
        return
    axis = f"param_{parameter}"
    whole = estimates[(estimates["at"] == at) & (estimates["weights"] == "all")].reset_index(drop=True)
    lines = price_lines(whole, axis, Names.of(whole))
    print(f"| {parameter} | {' | '.join(line.words for line in lines)} |\n|---|{'---|' * len(lines)}")
    for place, x in enumerate(lines[0].x):
        print(f"| {significant(x)} | {' | '.join(_price(one, place) for one in lines)} |")
    for crossing in crossings(lines, axis):
        print(f"\n{crossing_sentence(crossing)}")
    if svg:
        (drawing,) = (one for group in view.groups for one in group.drawings if one.name == f"price-{parameter}")
        with styled(LIGHT, text_as_text=False):
            Path(svg).write_bytes(file_bytes(drawing.plot.draw(LIGHT, view.title), "svg"))


def _price(line: PriceLine, place: int) -> str:
    ends = interval(line.low[place], line.high[place])
    return f"{significant(line.price[place])} ({ends})" if ends else "no gradient there"


if __name__ == "__main__":
    main(*sys.argv[1:])
