"""Charts as SVG drawn by the server: no script, no inline style, colours from the page's own CSS.

Every text goes through `escape`; numbers are formatted here. Each function returns Markup with a
`<title>` for screen readers; the page puts the same numbers in a table below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from markupsafe import Markup, escape

from serving.pages.i18n.formats import localised

WIDTH, HEIGHT = 640, 260
SMALL = 320  # several of these stand side by side, and on a phone keep their size
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 40
# Bars: a name stands above its bar, so that a long one has the whole width, on a phone too.
BARS, ROW, THICK, NUMBER, LONGEST_NAME = 480, 44, 14, 72, 46


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line: points (x, y) in data units; `y` None breaks the line; `band` is (low, high) a point.

    `dots` marks the points, with `sizes` as radii; `line` joins them; `hollow` leaves the dots empty.
    `colour` is the place in the palette; 0 takes the series' own place.
    """

    name: str
    points: tuple[tuple[float, float | None], ...]
    band: tuple[tuple[float, float] | None, ...] = ()
    dots: bool = False
    sizes: tuple[float, ...] = ()
    hollow: bool = False
    line: bool = True
    colour: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A vertical mark: what happened at `x`. `kind` picks the colour: promoted, rolled-back, drift."""

    x: float
    text: str
    kind: str = "promoted"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round positions between low and high (Heckbert's nice numbers, Graphics Gems 1990)."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else [0.0]
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number for an axis: at most four significant digits, no exponent in the usual range."""
    return localised(f"{value:.4g}")


class _Frame:
    """Maps data units to the picture and draws the axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], width: int, height: int):
        (self.x0, self.x1), (self.y0, self.y1) = _widen(*x), _widen(*y)
        self.width, self.right, self.bottom = width, width - RIGHT, height - BOTTOM

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) / (self.x1 - self.x0) * (self.right - LEFT)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - TOP)

    def axes(self, x_label: str, y_label: str, x_names: Sequence[tuple[float, str]] | None) -> list[str]:
        parts: list[str] = []
        for tick in ticks(self.y0, self.y1):
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
        count = 6 if self.width > SMALL else 4
        names = x_names if x_names is not None else [(t, short(t)) for t in ticks(self.x0, self.x1, count)]
        for index, (value, name) in enumerate(names):
            x = self.x(value)
            # Named ticks may be long and stand at the very ends: these grow inwards.
            anchor = "middle" if x_names is None or LEFT < x < self.right else ("start" if x <= LEFT else "end")
            parts.append(
                f'<text class="tick{" spare" if index % 2 else ""}" x="{x:.1f}" y="{self.bottom + 16}" '
                f'text-anchor="{anchor}">{escape(name)}</text>'
            )
        parts.append(
            f'<text class="axis" x="{(LEFT + self.right) / 2}" y="{self.bottom + BOTTOM - 6}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
        )
        parts.append(
            f'<text class="axis" transform="translate(12 {(TOP + self.bottom) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return parts


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    events: Sequence[Event] = (),
    x_names: Sequence[tuple[float, str]] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Markup:
    """Lines with optional bands, marks for events, and a dashed diagonal (ROC, calibration)."""
    xs = [x for s in series for x, _ in s.points] + [e.x for e in events]
    ys = [y for s in series for _, y in s.points if y is not None]
    ys += [edge for s in series for pair in s.band if pair for edge in pair]
    if not xs or not ys:
        return Markup("")
    frame = _Frame(x_range or (min(xs), max(xs)), y_range or (min(ys), max(ys)), width, height)
    parts = frame.axes(x_label, y_label, x_names)
    if diagonal:
        parts.append(
            f'<line class="diagonal" x1="{frame.x(frame.x0):.1f}" y1="{frame.y(frame.y0):.1f}" '
            f'x2="{frame.x(frame.x1):.1f}" y2="{frame.y(frame.y1):.1f}"/>'
        )
    for event in events:
        x = f"{frame.x(event.x):.1f}"
        parts.append(
            f'<line class="event event-{escape(event.kind)}" x1="{x}" x2="{x}" y1="{TOP}" y2="{frame.bottom}">'
            f"<title>{escape(event.text)}</title></line>"
        )
    for index, one in enumerate(series, 1):
        parts += _line(frame, one, one.colour or index)
    return svg(parts, title, height, width)


def _line(frame: _Frame, one: Series, index: int) -> list[str]:
    parts = []
    band = [(x, pair) for (x, _), pair in zip(one.points, one.band, strict=False) if pair]
    if len(band) > 1:
        upper = " ".join(f"{frame.x(x):.1f},{frame.y(high):.1f}" for x, (_, high) in band)
        lower = " ".join(f"{frame.x(x):.1f},{frame.y(low):.1f}" for x, (low, _) in reversed(band))
        parts.append(f'<polygon class="band band-{index}" points="{upper} {lower}"/>')
    path, pen_down = [], False
    for x, y in one.points:
        if y is not None:
            path.append(f"{'L' if pen_down else 'M'}{frame.x(x):.1f} {frame.y(y):.1f}")
        pen_down = y is not None
    if one.line:
        parts.append(f'<path class="line line-{index}" d="{"".join(path)}"/>')
    if one.dots or len(one.points) == 1:
        kind = f"dot dot-{index}{' hollow' if one.hollow else ''}"
        sizes = one.sizes or (3.5,) * len(one.points)
        parts += [
            f'<circle class="{kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{size:.3g}">'
            f"<title>{escape(one.name)}: {short(y)}</title></circle>"
            for (x, y), size in zip(one.points, sizes, strict=True)
            if y is not None
        ]
    return parts


def signed_bars(items: Sequence[tuple[str, float]], *, title: str) -> Markup:
    """Horizontal bars around zero, in the given order: what pushed the score up or down."""
    if not items:
        return Markup("")
    height = ROW * len(items) + 12
    widest = max(abs(value) for _, value in items) or 1.0
    middle = BARS / 2
    scale = BARS / 2 - NUMBER
    parts = [f'<line class="zero" x1="{middle}" x2="{middle}" y1="4" y2="{height - 4}"/>']
    for index, (name, value) in enumerate(items):
        y, length = 6 + index * ROW, abs(value) / widest * scale
        x = middle if value >= 0 else middle - length
        kind = "up" if value >= 0 else "down"
        text_x, anchor = (middle + length + 6, "start") if value >= 0 else (middle - length - 6, "end")
        parts.append(
            f'<rect class="bar bar-{kind}" x="{x:.1f}" y="{y + 22}" width="{max(length, 0.8):.1f}" '
            f'height="{THICK}" rx="3"/>'
            f'<text class="bar-label" x="0" y="{y + 15}">{escape(cut(name))}</text>'
            f'<text class="bar-value" x="{text_x:.1f}" y="{y + 36}" text-anchor="{anchor}">'
            f"{localised(f'{value:+.3f}')}</text>"
        )
    return svg(parts, title, height, BARS)


def bars(
    items: Sequence[tuple[str, float]],
    *,
    title: str,
    maximum: float | None = None,
    percent: bool = False,
    mark: float | None = None,
) -> Markup:
    """Horizontal bars from zero: shares, drift by column, counts. `mark` draws a dashed line at a limit."""
    if not items:
        return Markup("")
    height = ROW * len(items) + 12
    top = maximum or max((value for _, value in items), default=1.0) or 1.0
    parts = []
    if mark is not None:
        x = mark / top * (BARS - NUMBER)
        parts.append(f'<line class="event event-drift" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - 2}"/>')
    for index, (name, value) in enumerate(items):
        y = 6 + index * ROW
        length = max(min(value / top, 1.0), 0.0) * (BARS - NUMBER)
        text = localised(f"{value:.1%}" if percent else f"{value:.3f}" if maximum is not None else f"{value:.4g}")
        parts.append(
            f'<rect class="bar bar-plain" x="0" y="{y + 22}" width="{max(length, 0.8):.1f}" '
            f'height="{THICK}" rx="3"/>'
            f'<text class="bar-label" x="0" y="{y + 15}">{escape(cut(name))}</text>'
            f'<text class="bar-value" x="{length + 6:.1f}" y="{y + 36}">{text}</text>'
        )
    return svg(parts, title, height, BARS)


def cut(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that is no longer than there is room for, without its middle: names often differ at their ends."""
    if len(name) <= longest:
        return name
    tail = longest // 2 - 1
    return f"{name[: longest - tail - 1]}…{name[-tail:]}"


def _widen(low: float, high: float) -> tuple[float, float]:
    if high > low:
        return low, high
    pad = abs(low) * 0.1 or 0.5
    return low - pad, high + pad


def svg(parts: Sequence[str], title: str, height: float, width: int = WIDTH) -> Markup:
    """The whole picture. Every part is numbers, class names of ours, or escaped text."""
    kind = " small" if width <= SMALL else " bars" if width == BARS else ""
    return Markup(
        f'<svg class="chart{kind}" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
