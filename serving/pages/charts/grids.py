"""Charts with names along both sides: the confusion matrix, and values of several things beside one another."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from serving.pages.charts.svg import RIGHT, SMALL, WIDTH, cut, svg, ticks
from serving.pages.i18n.formats import localised, number

SIDE = 560  # of the matrix, names included
LONGEST_NAME = 14
MOST_COUNTS = 12  # classes up to which a cell has room for its count
ROW = 24  # of a dot plot
LANE = 34


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], *, title: str, x_label: str, y_label: str) -> Markup:
    """A square of cells, the darker the larger the share of its row. `counts` is rows × columns, one name a row."""
    n = len(names)
    shown = [cut(name, LONGEST_NAME) for name in names]
    left = 34 + 7.5 * max((len(name) for name in shown), default=0)
    cell = (SIDE - left) / n
    slanted = n > 4
    top = 8.0
    parts: list[str] = []
    for i, row in enumerate(counts):
        y, total = top + i * cell, max(sum(row), 1)
        parts.append(
            f'<text class="tick" x="{left - 6:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">'
            f"{escape(shown[i])}</text>"
        )
        parts += [_cell(left + j * cell, y, cell, n, count, total) for j, count in enumerate(row)]
    bottom = top + n * cell
    for j, name in enumerate(shown):
        x = left + (j + 0.5) * cell
        turn = f' transform="rotate(-60 {x:.1f} {bottom + 14:.1f})" text-anchor="end"' if slanted else ""
        anchor = "" if slanted else ' text-anchor="middle"'
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}"{turn}{anchor}>{escape(name)}</text>')
    height = bottom + (24 + 6.5 * max((len(name) for name in shown), default=0) if slanted else 24) + 18
    parts.append(
        f'<text class="axis" x="{(left + SIDE) / 2:.1f}" y="{height - 6:.1f}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text class="axis" transform="translate(12 {(top + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return svg(parts, title, height, SIDE)


def _cell(x: float, y: float, side: float, n: int, count: int, total: int) -> str:
    share = count / total
    rect = (
        f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" '
        f'fill-opacity="{0.04 + 0.96 * share:.2f}"/>'
    )
    if n > MOST_COUNTS:
        return rect
    kind = "count strong" if share > 0.5 else "count"
    return (
        f'{rect}<text class="{kind}" x="{x + side / 2:.1f}" y="{y + side / 2 + 5:.1f}" text-anchor="middle">'
        f"{number(count, 0)}</text>"
    )


def dots(items: Sequence[tuple[str, float, int]], *, title: str) -> Markup:
    """(name, value, colour) as dots on a common scale that starts where the values do: for values close together."""
    if not items:
        return Markup("")
    left = 10 + 7.2 * max(len(cut(name, LONGEST_NAME + 8)) for name, _, _ in items)
    values = [value for _, value, _ in items]
    room = (max(values) - min(values)) * 0.12 or abs(values[0]) * 0.05 or 0.5
    low, high = min(values) - room, max(values) + room
    bottom = 10 + ROW * len(items)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (SMALL - RIGHT - left)

    parts = []
    for tick in ticks(low, high, 4):
        x = place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{localised(f"{tick:.4g}")}</text>'
        )
    for index, (name, value, colour) in enumerate(items):
        y = 10 + ROW * (index + 0.5)
        parts.append(
            f'<text class="tick" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(cut(name, LONGEST_NAME + 8))}</text>"
            f'<circle class="dot dot-{colour}" cx="{place(value):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(name)}: {localised(f'{value:.4f}')}</title></circle>"
        )
    return svg(parts, title, bottom + 24, SMALL)


def lanes(
    marks: Sequence[tuple[float, int, str, str]],
    names: Sequence[str],
    x_names: Sequence[tuple[float, str]],
    *,
    title: str,
) -> Markup:
    """What happened when, a lane a kind. Marks are (x, lane, colour: good, warn, bad or "", text)."""
    left = 10 + 10.5 * max(len(name) for name in names)
    first, last = x_names[0][0], x_names[-1][0]
    bottom = 8 + LANE * len(names)

    def place(value: float) -> float:
        return left + 10 + (value - first) / ((last - first) or 1.0) * (WIDTH - RIGHT - left - 20)

    parts = []
    for lane, name in enumerate(names):
        y = 8 + LANE * (lane + 0.5)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
    for x, lane, kind, text in marks:
        colour = f" mark-{kind}" if kind else ""
        parts.append(
            f'<circle class="mark{colour}" cx="{place(x):.1f}" cy="{8 + LANE * (lane + 0.5):.1f}" r="6">'
            f"<title>{escape(names[lane])}: {escape(text)}</title></circle>"
        )
    for index, (x, text) in enumerate(x_names):
        anchor = "start" if index == 0 else "end" if index == len(x_names) - 1 else "middle"
        parts.append(
            f'<text class="tick{" spare" if index % 2 else ""}" x="{place(x):.1f}" y="{bottom + 18}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )
    return svg(parts, title, bottom + 28)
