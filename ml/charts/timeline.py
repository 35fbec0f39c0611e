"""What happened when: a lane a kind of thing, with marks for moments and bars for spans of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml.charts.chart import WIDTH, Chart, escape
from ml.charts.line_chart import RIGHT

LANE = 34  # pixels a lane
THICK = 22  # of a span's bar
LETTER = 6.5  # about the width of one at 12 units


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment `x` on a lane (its place, from 0). `kind` is the colour: good, warn, bad, or "" for none."""

    x: float
    lane: int
    text: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `start` to `end` on a lane; `kind` picks the colours, as in `region-1` and `served-2`."""

    start: float
    end: float
    lane: int
    text: str
    kind: str


def lanes(
    marks: Sequence[Mark],
    names: Sequence[str],
    x_names: Sequence[tuple[float, str]],
    *,
    title: str,
    spans: Sequence[Span] = (),
    width: int = WIDTH,
    left: float | None = None,
    inset: float = 10,
) -> Chart:
    """Lanes from top to bottom over one axis of time, which spans from the first to the last of `x_names`.

    Parameters
    ----------
    left
        Room for the names of the lanes; by default as much as the longest needs.
    inset
        Between the ends of the lanes and the first and last moment, so that a mark there is whole.
    """
    start = 10 + 10.5 * max(len(name) for name in names) if left is None else left
    first, last = x_names[0][0], x_names[-1][0]
    bottom = 8 + LANE * len(names)

    def place(value: float) -> float:
        return start + inset + (value - first) / ((last - first) or 1.0) * (width - RIGHT - start - 2 * inset)

    parts = []
    for lane, name in enumerate(names):
        y = 8 + LANE * (lane + 0.5)
        parts.append(f'<line class="grid" x1="{start:.1f}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{start - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
    parts += [_span(place(span.start), place(span.end), span) for span in spans]
    for mark in marks:
        colour = f" mark-{mark.kind}" if mark.kind else ""
        parts.append(
            f'<circle class="mark{colour}" cx="{place(mark.x):.1f}" cy="{8 + LANE * (mark.lane + 0.5):.1f}" r="6">'
            f"<title>{escape(names[mark.lane])}: {escape(mark.text)}</title></circle>"
        )
    for index, (x, text) in enumerate(x_names):
        anchor = "start" if index == 0 else "end" if index == len(x_names) - 1 else "middle"
        parts.append(
            f'<text class="tick{" spare" if index % 2 else ""}" x="{place(x):.1f}" y="{bottom + 18}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )
    return Chart(title=title, body="".join(parts), width=width, height=bottom + 28)


def _span(x: float, end: float, span: Span) -> str:
    """A bar with its name in it, where there is room for one."""
    middle = 8 + LANE * (span.lane + 0.5)
    bar = (
        f'<rect class="span span-{escape(span.kind)}" x="{x:.1f}" y="{middle - THICK / 2:.1f}" '
        f'width="{max(end - x, 1):.1f}" height="{THICK}"><title>{escape(span.text)}</title></rect>'
    )
    if len(span.text) * LETTER > end - x:
        return bar
    return (
        f'{bar}<text class="span-label span-label-{escape(span.kind)}" x="{(x + end) / 2:.1f}" y="{middle + 4:.1f}" '
        f'text-anchor="middle">{escape(span.text)}</text>'
    )
