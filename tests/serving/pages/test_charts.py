"""The charts: right places, nothing unescaped, nothing on empty input."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from ml.charts import Chart, Event, Mark, Series, bars, dot_plot, lanes, line_chart, matrix, share_bar, signed_bars
from ml.charts.chart import HEIGHT, WIDTH, cut
from ml.charts.line_chart import BOTTOM, LEFT, RIGHT, TOP, ticks

HOSTILE = '"><script>alert(1)</script>'


def inline(chart: Chart) -> str:
    """As a page has it: templates show what says of itself that it is markup."""
    return str(Markup(chart))


def test_numbers_are_written_as_the_reader_writes_them() -> None:
    """On the axis, in the tips of the dots, in cells and at the ends of bars."""
    commas = str.maketrans(",.", ".,")
    lines = line_chart(
        [Series(name="a", points=((0.0, 0.25), (1.0, 0.5)), dots=True)],
        title="t",
        x_label="x",
        y_label="y",
        localise=lambda text: text.translate(commas),
    )
    assert ">0,3<" in lines.body
    assert "<title>a: 0,25</title>" in lines.body
    counts = matrix([[1234]], ["a"], title="t", x_label="x", y_label="y", localise=lambda text: text.translate(commas))
    assert ">1.234<" in counts.body


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.0, 10.0, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]), (5.0, 5.0, [5.0])],
    ids=["unit", "ten", "no range"],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    """Axis positions are 1, 2 or 5 times a power of ten apart."""
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_spans_the_frame() -> None:
    """The first and last point lie on the frame's edges."""
    svg = inline(line_chart([Series(name="a", points=((0.0, 1.0), (1.0, 3.0)))], title="t", x_label="x", y_label="y"))
    path = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    assert path
    assert [float(v) for v in path.groups()] == [
        LEFT,
        HEIGHT - BOTTOM,
        WIDTH - RIGHT,
        TOP,
    ]


def test_a_gap_breaks_the_line() -> None:
    """A missing value is not bridged."""
    points = ((0.0, 1.0), (1.0, None), (2.0, 2.0))
    svg = inline(line_chart([Series(name="a", points=points)], title="t", x_label="x", y_label="y"))
    assert svg.count("M") - svg.count("Math") >= 2
    assert "L" not in re.search(r'd="([^"]*)"', svg)[1]  # type: ignore[index]


def test_signed_bars_point_both_ways() -> None:
    """A positive value begins at the middle, a negative one ends there."""
    root = ElementTree.fromstring(inline(signed_bars([("up", 2.0), ("down", -1.0)], title="t")))
    up, down = (rect for rect in root.iter() if rect.tag.endswith("rect"))
    assert float(up.get("x", 0)) == pytest.approx(float(down.get("x", 0)) + float(down.get("width", 0)), abs=0.2)
    assert float(up.get("width", 0)) == pytest.approx(2 * float(down.get("width", 0)), rel=0.01)


def test_a_value_within_its_own_error_is_drawn_hollow() -> None:
    items = [("sure", 2.0), ("unsure", -0.1)]
    svg = inline(signed_bars(items, title="t", numbers=["+9 pp", "0 pp"], asides=["+2", "-0.1"], unsure=[False, True]))
    assert svg.count("bar-unsure") == 1
    assert 'class="bar bar-down bar-unsure"' in svg
    assert all(f">{text}</text>" in svg for text in ("+9 pp", "0 pp", "+2", "-0.1"))


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_marks_of_a_share_stay_in_the_picture(at: float) -> None:
    """At its ends a mark's text grows inwards."""
    root = ElementTree.fromstring(inline(share_bar(at, [("threshold", at, "threshold")], title="t")))
    (text,) = (element for element in root.iter() if element.tag.endswith("text"))
    assert text.get("text-anchor") == {0.0: "start", 0.5: "middle", 1.0: "end"}[at]


@pytest.mark.parametrize(
    "chart",
    [
        signed_bars([(HOSTILE, 1.0)], title=HOSTILE),
        bars([(HOSTILE, 1.0)], title=HOSTILE),
        line_chart(
            [Series(name=HOSTILE, points=((0.0, 1.0), (1.0, 2.0)), dots=True)],
            title=HOSTILE,
            x_label=HOSTILE,
            y_label=HOSTILE,
            events=[Event(x=0.5, text=HOSTILE)],
            x_names=[(0.0, HOSTILE)],
        ),
    ],
    ids=["signed bars", "bars", "lines"],
)
def test_hostile_text_stays_text(chart: Chart) -> None:
    """Names of columns and classes come from customers' tables."""
    svg = inline(chart)
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_nothing_to_draw_draws_nothing() -> None:
    """Empty input gives empty markup, not an empty frame."""
    for chart in (
        line_chart([], title="t", x_label="x", y_label="y"),
        bars([], title="t"),
        bars([], title="t", mark=0.1),
        signed_bars([], title="t"),
        dot_plot([], title="t"),
    ):
        assert not chart
        assert inline(chart) == ""


def test_the_matrix_is_dark_where_most_of_a_row_is() -> None:
    """Opacity is the share of the true class's rows, and each cell says its count."""
    drawn = ElementTree.fromstring(
        inline(matrix([[90, 10], [0, 50]], ["no", "yes"], title="t", x_label="said", y_label="true"))
    )
    cells = [float(cell.get("fill-opacity", "0")) for cell in drawn.iter() if cell.get("class") == "cell"]
    assert cells == [0.9, 0.14, 0.04, 1.0]
    counts = [text.text for text in drawn.iter() if (text.get("class") or "").startswith("count")]
    assert counts == ["90", "10", "0", "50"]


def test_dots_stand_in_the_order_of_their_values() -> None:
    """A common scale that starts where the values do: differences in the third digit can be seen."""
    drawn = ElementTree.fromstring(inline(dot_plot([("a", 0.301, 2), ("b", 0.302, 3), ("c", 0.309, 2)], title="t")))
    places = [float(dot.get("cx", "0")) for dot in drawn.iter() if (dot.get("class") or "").startswith("dot")]
    assert places == sorted(places)
    assert places[2] - places[0] > 100


def test_a_mark_lies_on_its_lane_at_its_time() -> None:
    """Later is further right, and each verdict has a height of its own."""
    marks = [Mark(x=0.0, lane=0, kind="good", text="first"), Mark(x=10.0, lane=1, kind="bad", text="last")]
    drawn = ElementTree.fromstring(inline(lanes(marks, ["stable", "drift"], [(0.0, "0 h"), (10.0, "10 h")], title="t")))
    found = [
        (float(m.get("cx", "0")), float(m.get("cy", "0"))) for m in drawn.iter() if "mark" in (m.get("class") or "")
    ]
    assert found[0][0] < found[1][0]
    assert found[0][1] < found[1][1]


@pytest.mark.parametrize(
    "chart",
    [
        matrix([[1, 0], [0, 1]], [HOSTILE, "b"], title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE),
        dot_plot([(HOSTILE, 1.0, 1), ("b", 2.0, 2)], title=HOSTILE),
        lanes([Mark(x=0.0, lane=0, text=HOSTILE)], [HOSTILE], [(0.0, HOSTILE), (1.0, "b")], title=HOSTILE),
    ],
    ids=["matrix", "dots", "lanes"],
)
def test_hostile_names_stay_text(chart: Chart) -> None:
    """Classes, families and columns are customers' texts."""
    svg = inline(chart)
    assert "<script" not in svg
    ElementTree.fromstring(svg)


def test_a_long_name_keeps_its_end() -> None:
    """Columns of a warehouse often begin alike."""
    short = cut("a_long_common_beginning_of_column_names_number_017", 20)
    assert len(short) == 20
    assert short.endswith("ber_017")
