"""Plots: what is drawn, what the page gets of it, and data that would break a careless one."""

import io
import itertools
import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from freewalk.results.report.bar_plot import Bar, BarPlot
from freewalk.results.report.drawing import Plot
from freewalk.results.report.heat_map import HeatMap
from freewalk.results.report.inline_svg import marks_of, to_inline
from freewalk.results.report.line_plot import Line, LinePlot, SeedLine
from freewalk.results.report.palette import DARK, FILES, INLINE, LIGHT, N_SERIES, Palette, variables
from freewalk.results.report.point_plot import Point, PointPlot
from freewalk.results.report.style import EndLabel, file_bytes, label_ends, new_figure, short, spread, styled, unstacked

X = np.array([0.0, 10.0, 100.0])
HOSTILE = '<script>alert("x")</script> & $x^{ \x07 \u200f名前 😀 ]]> --'
HEAT_MAP = HeatMap(
    *("part", "cost", "x", ["1", "2"], "y", ["a", "b"]),
    np.array([[1.0, 100.0], [math.inf, math.nan]]),
    [["1\n5/5", "100\n1/5"], ["0/5", ""]],
    (1.0, 100.0),
)
PLOTS: list[Plot] = [
    LinePlot("lines", "x", "y", [Line(X, X + 1, 1, "one", X + 0.5, X + 2), Line(X, X + 3)], target=3, target_label="t"),
    LinePlot("shares", "x", "y", [Line(X, X / 100, 2, "two")], "share", steps=True),
    HEAT_MAP,
    BarPlot("bars", [Bar("a", 0.5, "50 %", "strong"), Bar("rest", 0.1, "10 %", "rest")]),
    PointPlot("points", "x", "y", [Point("1", 10, 5, 20, "5/5"), Point("2", math.inf, math.nan, math.nan, "0/5")]),
]
EMPTY: list[Plot] = [
    LinePlot("no value", "x", "y", [Line(X, np.full(3, math.nan), 1, "", X, X)], target=0.5),
    LinePlot("infinite", "x", "y", [Line(X, np.array([1, 2, math.inf]), 1, "", X, np.full(3, math.inf))]),
    LinePlot("no cost", "x", "y", [Line(np.zeros(1), np.ones(1), 1)], "linear"),
    LinePlot("zero", "x", "y", [Line(X, np.zeros(3), 1)]),
    LinePlot("one point", "x", "y", [Line(X[1:2], X[1:2], 1)]),
    BarPlot("nothing explained", [Bar("a", 0.0, "0 %", "weak")]),
    PointPlot("never reached", "x", "y", [Point("1", math.inf, math.nan, math.nan, "0/5")]),
    HeatMap("one field", "cost", "x", ["1"], "y", ["1"], np.array([[5.0]]), [["5"]], (5.0, 5.0)),
    HeatMap("empty", "cost", "x", ["1"], "y", ["1"], np.array([[math.nan]]), [[""]], (1.0, 1.0)),
]


@pytest.fixture(autouse=True)
def _inline() -> Iterator[None]:
    with styled(INLINE, text_as_text=True):
        yield


def document(plot: Plot, palette: Palette = INLINE) -> str:
    return file_bytes(plot.draw(palette), "svg").decode()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


@pytest.mark.parametrize("plot", [*PLOTS, *EMPTY], ids=lambda plot: plot.title)
@pytest.mark.parametrize(("palette", "subject"), [(INLINE, ""), (LIGHT, "xor"), (DARK, "xor")])
def test_every_plot_is_drawn_in_every_palette(plot: Plot, palette: Palette, subject: str) -> None:
    figure = plot.draw(palette, subject)
    assert file_bytes(figure, "png" if subject else "svg")
    assert any(plot.title in text for text in texts(figure))
    assert any("xor" in text for text in texts(figure)) == bool(subject)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_plot_is_the_same_file(kind: str) -> None:
    first, second = (file_bytes(PLOTS[0].draw(LIGHT), kind) for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    assert b"freewalk" in first


def test_a_users_own_settings_change_nothing() -> None:
    before = document(PLOTS[0])
    with mpl.rc_context({"lines.linewidth": 20, "font.size": 40, "text.usetex": True, "axes.facecolor": "red"}):
        with styled(INLINE, text_as_text=True):
            assert document(PLOTS[0]) == before
        assert mpl.rcParams["font.size"] == 40


@pytest.mark.parametrize("plot", [*PLOTS, *EMPTY], ids=lambda plot: plot.title)
def test_inline_svg_is_sound_and_needs_nothing(plot: Plot) -> None:
    svg = to_inline(document(plot), "fig-1", "a <plot>")
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "a <plot>"
    assert "http" not in svg
    assert "font-family" not in svg
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name is not None and name.startswith("fig-1-") for name in ids)
    assert set(re.findall(r"(?:url\(|href=.)#([\w-]+)", svg)) == set(ids), (
        "no name without a reference, nor the reverse"
    )
    assert not re.search(r"\d\.\d\d", re.sub(r">[^<]*<|viewBox=\S* \S* \S* \S*", "><", svg)), "numbers are rounded"


def test_inline_svg_takes_the_pages_colours() -> None:
    svg = to_inline(document(PLOTS[0]), "f", "")
    assert "var(--series-1)" in svg
    assert "var(--muted)" in svg
    assert not any(colour in svg for colour in variables(INLINE).values())
    assert len(svg) < 0.6 * len(document(PLOTS[0]))


def test_palettes_have_the_same_parts() -> None:
    assert set(variables(LIGHT)) == set(variables(DARK)) == set(variables(INLINE))
    assert len(variables(LIGHT)) == 4 + N_SERIES
    assert len({*variables(INLINE).values()}) == len(variables(INLINE)), "stand-ins are told apart"


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", FILES.values())
def test_colours_can_be_read(palette: Palette) -> None:
    # WCAG 2.1: 4.5 for text, 3 for large or bold text and for lines.
    assert contrast(palette.ink, palette.surface) >= 7
    assert contrast(palette.muted, palette.surface) >= 4.5
    assert all(contrast(colour, palette.surface) >= 3 for colour in palette.series)


def test_text_on_a_heat_map_can_be_read() -> None:
    costs = np.geomspace(1, 1000, 8)[None, :]
    plot = HeatMap("m", "c", "x", list("abcdefgh"), "y", ["1"], costs, [["0"] * 8], (1.0, 1000.0))
    axes = plot.draw(INLINE).axes[0]
    for field, text in zip(axes.patches, axes.texts, strict=True):
        assert contrast(to_hex(field.get_facecolor()), to_hex(str(text.get_color()))) >= 4.5


def test_heat_map_shows_what_was_run() -> None:
    axes = HEAT_MAP.draw(INLINE).axes[0]
    assert len(axes.patches) == 3, "nothing where nothing was run"
    assert [text.get_text() for text in axes.texts] == ["1\n5/5", "100\n1/5", "0/5"]
    cheap, dear, never = (patch.get_facecolor() for patch in axes.patches)
    assert cheap != dear
    assert never[3] == 0, "an empty frame"


@pytest.mark.parametrize("place", range(5))
def test_hostile_names_stay_text(place: int) -> None:
    plots: list[Plot] = [
        LinePlot(HOSTILE, HOSTILE, HOSTILE, [Line(X, X, 1, HOSTILE)], target=1, target_label=HOSTILE),
        HeatMap(HOSTILE, HOSTILE, HOSTILE, [HOSTILE], HOSTILE, [HOSTILE], np.ones((1, 1)), [[HOSTILE]], (1, 1)),
        BarPlot(HOSTILE, [Bar(HOSTILE, 1, HOSTILE, "strong")]),
        PointPlot(HOSTILE, HOSTILE, HOSTILE, [Point(HOSTILE, 1, 1, 1, HOSTILE)]),
        LinePlot("x" * 5000, "y" * 5000, "z" * 5000, [Line(X, X, 1, "n" * 5000)]),
    ]
    figure = plots[place].draw(INLINE, HOSTILE)
    svg = to_inline(file_bytes(figure, "svg").decode(), "f", HOSTILE.replace("\x07", ""))
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert len(svg) < 20_000
    assert file_bytes(plots[place].draw(LIGHT, HOSTILE), "png").startswith(b"\x89PNG")


def test_short() -> None:
    assert short("abc", 3) == "abc"
    assert short("abcd", 3) == "ab…"


@given(st.lists(st.floats(-1, 2), max_size=9), st.floats(0.001, 0.5))
def test_spread_keeps_order_and_distance(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap)
    assert all(-1e-9 <= y <= 1 + 1e-9 for y in placed)
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    pairs = sorted(zip(wanted, placed, strict=True))
    assert all(
        after[1] - before[1] >= gap - 1e-9 for before, after in itertools.pairwise(pairs) if after[0] > before[0]
    )
    assert all(abs(a - b) >= gap - 1e-9 for i, a in enumerate(placed) for b in placed[:i])


def test_spread_moves_nothing_that_has_room() -> None:
    assert spread([0.9, 0.1, 0.5], 0.1) == [0.9, 0.1, 0.5]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_labels_do_not_cover_each_other(places: list[tuple[float, float]]) -> None:
    moved = unstacked(places, 0.05, 0.06)
    assert [x for x, _ in moved] == [x for x, _ in places]
    for i, (x, y) in enumerate(moved):
        assert all(abs(x - other) >= 0.05 or abs(y - level) >= 0.06 - 1e-9 for other, level in moved[:i])


def test_end_labels_stand_at_the_ends_of_their_lines() -> None:
    _, axes = new_figure()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 1)
    label_ends(axes, [EndLabel(5, 0.25, "a", "red"), EndLabel(10, 1.0, "b", "blue")])
    assert [text.xy for text in axes.texts] == [(0.5, 0.25), (1.0, 1.0)]  # type: ignore[attr-defined]
    assert [text.arrow_patch for text in axes.texts] == [None, None], "no leader where nothing was moved"  # type: ignore[attr-defined]


def test_a_label_that_was_moved_has_a_leader_to_the_end_of_its_line() -> None:
    figure, axes = new_figure()
    axes.set_ylim(0, 1)
    label_ends(axes, [EndLabel(0.5, 0.5, "walk", "red", "label-1"), EndLabel(0.5, 0.5, "backprop", "blue", "label-2")])
    file_bytes(figure, "svg")
    boxes = [text.get_window_extent() for text in axes.texts]
    first, second = axes.texts
    assert first.xy == second.xy == (0.5, 0.5)  # type: ignore[attr-defined]
    assert [text.get_gid() for text in axes.texts] == ["label-1", "label-2"]
    leaders = [text.arrow_patch for text in axes.texts if text.arrow_patch]  # type: ignore[attr-defined]
    assert leaders
    assert {str(leader.get_gid()) for leader in leaders} <= {"leader-1", "leader-2"}
    end = axes.transAxes.transform((0.5, 0.5))
    for leader in leaders:
        reached = leader.get_path().vertices
        assert np.abs(leader.get_transform().transform(reached) - end).sum(axis=1).min() < 3
    assert all(box.x1 > end[0] for box in boxes)
    assert axes.texts[0].xyann[1] != axes.texts[1].xyann[1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [False, True])
def test_labels_of_curves_that_end_together_do_not_cover_each_other(words: bool) -> None:
    ends = [f"stddev 0.{n}" for n in range(N_SERIES)] if words else [""] * N_SERIES
    lines = [Line(X, X / 100, n, f"cell {n}", end=end) for n, end in enumerate(ends, 1)]
    figure = LinePlot("p", "x", "y", lines, "share", steps=True).draw(INLINE)
    file_bytes(figure, "svg")
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.padded(-1).overlaps(second.padded(-1))
    assert [text.get_text() for text in figure.axes[0].texts] == (ends if words else list("123456"))


def test_lines_show_values_and_bands() -> None:
    axes = PLOTS[0].draw(INLINE).axes[0]
    grey, coloured, end, target = axes.lines
    assert set(end.get_xdata()) == {100}
    assert set(end.get_ydata()) == {101}
    assert np.array_equal(coloured.get_ydata(), X + 1)
    assert np.array_equal(grey.get_ydata(), X + 3)
    assert coloured.get_color() == INLINE.series[0]
    assert target.get_ydata() == [3, 3]
    (band,) = axes.collections
    low, high = band.get_datalim(axes.transData).intervaly
    assert (low, high) == (0.5, 102)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.texts[-1].get_text() == "1"


def test_a_band_without_end_leaves_the_plot() -> None:
    line = Line(X, X + 1, 1, "", X, np.array([2.0, math.inf, math.inf]))
    axes = LinePlot("p", "x", "y", [line]).draw(INLINE).axes[0]
    top = axes.get_ylim()[1]
    assert top < 200, "infinite values do not stretch the axis"
    assert axes.collections[0].get_datalim(axes.transData).y1 > top


def test_png_has_the_wanted_size() -> None:
    content = file_bytes(PLOTS[0].draw(LIGHT, "xor"), "png")
    image = mpl.image.imread(io.BytesIO(content))
    assert image.shape[1] == round(5.4 * 160)


def test_the_page_can_tell_curves_apart_and_read_their_values() -> None:
    seeds = [SeedLine(7, X, X + 2)]
    line = Line(X, X + 1, 2, HOSTILE, X, X + 2, pale=X + 1.5, seeds=seeds)
    figure = LinePlot("p", "x", "y", [line, Line(X, X + 3, name="grey")]).draw(INLINE)
    svg = file_bytes(figure, "svg").decode()
    inline = to_inline(svg, "f", "", marks_of(figure))
    root = ElementTree.fromstring(inline)
    marked = {part: element for element in root.iter("g") if (part := element.get("class"))}
    assert set(marked) == {f"{part} of-2" for part in ("line", "pale", "band", "seed", "end", "label")} | {"other of-1"}
    shown = HOSTILE.replace("\x07", "")
    titles = {part: title.text for part, element in marked.items() if (title := element.find("title")) is not None}
    assert titles == {
        "line of-2": f"2: {shown}",
        "pale of-2": f"2: {shown}, with easier targets",
        "seed of-2": f"2: {shown}, seed 7",
        "other of-1": "grey",
    }
    # Where the axes say that a value lies, its line is.
    places = {}
    for name in "xy":
        scale, *numbers = (root.get(f"data-{name}") or "").split()
        assert scale == "log"
        low, high, first, last = map(float, numbers)
        places[name] = lambda value, low=low, high=high, first=first, last=last: (
            low + (high - low) * math.log(value / first) / math.log(last / first)
        )
    path = marked["line of-2"].find("path")
    assert path is not None
    *_, x, y = re.findall(r"-?[\d.]+", path.get("d") or "")
    assert (float(x), float(y)) == pytest.approx((places["x"](100), places["y"](101)), abs=0.3)
    alone = LinePlot("p", "x", "y", [line]).draw(LIGHT, "xor")
    assert not any("seed" in str(drawn.get_gid()) for drawn in alone.axes[0].lines), "the page alone has single seeds"


def test_what_has_no_curves_has_no_marks() -> None:
    for plot in (HEAT_MAP, *PLOTS[3:]):
        figure = plot.draw(INLINE)
        inline = to_inline(file_bytes(figure, "svg").decode(), "f", "", marks_of(figure))
        assert "class=" not in inline
        assert "data-x" not in inline
