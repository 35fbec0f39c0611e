"""Charts of named things: bars, a share with marks, bars around zero, dots on a common scale, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.charts.chart import BARS, SMALL, Chart, Localise, cut, escape, short
from ml.charts.line_chart import RIGHT, ticks

# Bars: a name stands above its bar, so that a long one has the whole width, on a phone too.
ROW, THICK, NUMBER, LONGEST_NAME = 44, 14, 72, 46
GAP, DIGIT = 6, 11  # from a bar to its number, and of each character of that, as a phone shows it
DOT_ROW, LONGEST_DOT = 24, 22
SIDE = 560  # of the matrix, names included
LONGEST_CLASS = 14  # characters; what a cell of the matrix has room for
MOST_COUNTS = 12  # classes up to which a cell has room for its count


def bars(
    items: Sequence[tuple[str, float]],
    *,
    title: str,
    maximum: float | None = None,
    percent: bool = False,
    mark: float | None = None,
    labels: Mapping[str, str] | None = None,
    localise: Localise = str,
) -> Chart:
    """Horizontal bars from zero: shares, drift by column, counts.

    Parameters
    ----------
    maximum
        What the longest bar stands for; by default the largest value.
    mark
        A dashed line at a limit.
    labels
        What stands at the bar of a name, where that is shorter: a pointer shows the whole.
    """
    height = ROW * len(items) + 12
    top = maximum or max((value for _, value in items), default=1.0) or 1.0
    form = ".1%" if percent else ".3f" if maximum is not None else ".4g"
    parts = []
    if mark is not None and items:
        x = mark / top * (BARS - NUMBER)
        parts.append(f'<line class="event event-drift" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - 2}"/>')
    for index, (name, value) in enumerate(items):
        length = max(min(value / top, 1.0), 0.0) * (BARS - NUMBER)
        number = _value(index, length + GAP, "", localise(format(value, form)))
        text = f"{name}: {localise(format(value, form))}"
        parts.append(_bar(index, (labels or {}).get(name, name), "plain", "0", length, text) + number)
    return Chart(title=title, body="".join(parts), width=BARS, height=height)


def share_bar(share: float, marks: Sequence[tuple[str, float, str]], *, title: str) -> Chart:
    """One bar from 0 to 1 with marks on it: a probability, the threshold that it is held against, what is usual.

    Parameters
    ----------
    share
        In [0, 1].
    marks
        (kind, share, text): "threshold" stands above the bar, every other kind below it.
    """
    parts = [
        f'<rect class="track" x="0" y="24" width="{BARS}" height="20" rx="4"/>',
        f'<rect class="bar bar-share" x="0" y="24" width="{max(share * BARS, 0.8):.1f}" height="20" rx="4"/>',
    ]
    for kind, at, text in marks:
        x, above = at * BARS, kind == "threshold"
        top, bottom, base = (20, 48, 17) if above else (20, 50, 64)
        anchor = "start" if at < 0.35 else "end" if at > 0.65 else "middle"
        parts.append(
            f'<line class="event event-{escape(kind)}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
            f'<text class="bar-label" x="{x:.1f}" y="{base}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    return Chart(title=title, body="".join(parts), width=BARS, height=72)


def signed_bars(
    items: Sequence[tuple[str, float]],
    *,
    title: str,
    numbers: Sequence[str] = (),
    asides: Sequence[str] = (),
    unsure: Sequence[bool] = (),
    labels: Mapping[str, str] | None = None,
    localise: Localise = str,
) -> Chart:
    """Horizontal bars around zero, in the given order: what pushed the score up or down.

    Parameters
    ----------
    items
        (name, value) from top to bottom, in any unit: the longest bar fills its half.
    numbers
        What stands at each bar; by default its value.
    asides
        What stands at the end of each name's line, where the screen has room for it.
    unsure
        Whether a value is within its own error: its bar is drawn hollow.
    labels
        As in `bars`.
    """
    if not items:
        return Chart(title=title)
    height = ROW * len(items) + 12
    widest = max(abs(value) for _, value in items) or 1.0
    middle = BARS / 2
    scale = BARS / 2 - max(NUMBER, GAP + DIGIT * max(map(len, numbers), default=0))
    parts = [f'<line class="zero" x1="{middle}" x2="{middle}" y1="4" y2="{height - 4}"/>']
    for index, (name, value) in enumerate(items):
        length, up = abs(value) / widest * scale, value >= 0
        kind = f"{'up' if up else 'down'}{' bar-unsure' if unsure and unsure[index] else ''}"
        text = numbers[index] if numbers else localise(f"{value:+.3f}")
        end, anchor = (middle + length + GAP, "start") if up else (middle - length - GAP, "end")
        start = f"{middle if up else middle - length:.1f}"
        number = _value(index, end, f' text-anchor="{anchor}"', escape(text))
        parts.append(_bar(index, (labels or {}).get(name, name), kind, start, length, f"{name}: {text}") + number)
        if asides:
            place = f'x="{BARS}" y="{6 + index * ROW + 15}" text-anchor="end"'
            parts.append(f'<text class="tick spare" {place}>{escape(asides[index])}</text>')
    return Chart(title=title, body="".join(parts), width=BARS, height=height)


def _bar(index: int, name: str, kind: str, start: str, length: float, text: str) -> str:
    y = 6 + index * ROW
    return (
        f'<rect class="bar bar-{kind}" x="{start}" y="{y + 22}" width="{max(length, 0.8):.1f}" '
        f'height="{THICK}" rx="3"><title>{escape(text)}</title></rect>'
        f'<text class="bar-label" x="0" y="{y + 15}">{escape(cut(name, LONGEST_NAME))}</text>'
    )


def _value(index: int, x: float, anchor: str, text: str) -> str:
    return f'<text class="bar-value" x="{x:.1f}" y="{6 + index * ROW + 36}"{anchor}>{text}</text>'


def dot_plot(items: Sequence[tuple[str, float, int]], *, title: str, localise: Localise = str) -> Chart:
    """(name, value, colour) as dots on a common scale that starts where the values do: for values close together.

    Parameters
    ----------
    items
        (name, value, index of a colour of the palette) from top to bottom.
    """
    if not items:
        return Chart(title=title)
    left = 14 + 7.2 * max(len(cut(name, LONGEST_DOT)) for name, _, _ in items)
    values = [value for _, value, _ in items]
    room = (max(values) - min(values)) * 0.12 or abs(values[0]) * 0.05 or 0.5
    low, high = min(values) - room, max(values) + room
    bottom = 10 + DOT_ROW * len(items)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (SMALL - RIGHT - left)

    parts = []
    for tick in ticks(low, high, 4):
        x, number = place(tick), short(tick, localise)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number}</text>')
    for index, (name, value, colour) in enumerate(items):
        y = 10 + DOT_ROW * (index + 0.5)
        parts.append(
            f'<text class="tick" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(cut(name, LONGEST_DOT))}</text>"
            f'<circle class="dot dot-{colour}" cx="{place(value):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(name)}: {localise(f'{value:.4f}')}</title></circle>"
        )
    return Chart(title=title, body="".join(parts), width=SMALL, height=bottom + 24)


def matrix(
    counts: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    title: str,
    x_label: str,
    y_label: str,
    localise: Localise = str,
) -> Chart:
    """A square of cells, the darker the larger the share of its row.

    Parameters
    ----------
    counts
        Rows × columns, both in the order of `names`.
    names
        One a row and column; long ones are cut.
    """
    n = len(names)
    labels = [cut(name, LONGEST_CLASS) for name in names]
    longest = max((len(name) for name in labels), default=0)
    left, top = 34 + 7.5 * longest, 8.0
    cell = (SIDE - left) / n
    parts: list[str] = []
    for i, row in enumerate(counts):
        y, total = top + i * cell, max(sum(row), 1)
        parts.append(
            f'<text class="tick" x="{left - 6:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">'
            f"{escape(labels[i])}</text>"
        )
        parts += [_cell(left + j * cell, y, cell, n, count, total, localise) for j, count in enumerate(row)]
    bottom = top + n * cell
    slanted = n > 4
    parts += [_column(left + (j + 0.5) * cell, bottom, name, slanted=slanted) for j, name in enumerate(labels)]
    height = bottom + (24 + 6.5 * longest if slanted else 24) + 18
    parts.append(
        f'<text class="axis" x="{(left + SIDE) / 2:.1f}" y="{height - 6:.1f}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text class="axis" transform="translate(12 {(top + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return Chart(title=title, body="".join(parts), width=SIDE, height=height)


def _column(x: float, bottom: float, name: str, *, slanted: bool) -> str:
    turn = f' transform="rotate(-60 {x:.1f} {bottom + 14:.1f})" text-anchor="end"' if slanted else ""
    anchor = "" if slanted else ' text-anchor="middle"'
    return f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}"{turn}{anchor}>{escape(name)}</text>'


def _cell(x: float, y: float, side: float, n: int, count: float, total: float, localise: Localise) -> str:
    share = count / total
    rect = (
        f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" '
        f'fill-opacity="{0.04 + 0.96 * share:.2f}"/>'
    )
    if n > MOST_COUNTS:
        return rect
    return (
        f'{rect}<text class="count" x="{x + side / 2:.1f}" y="{y + side / 2 + 5:.1f}" text-anchor="middle">'
        f"{localise(f'{count:,.0f}')}</text>"
    )
