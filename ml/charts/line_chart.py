"""Charts with two axes: lines with bands and dots, events as vertical marks, periods as shaded regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ml.charts.chart import HEIGHT, SMALL, WIDTH, Chart, Key, Localise, escape, short

LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 40  # margins: tick labels and names of the axes


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: points (x, y) in data units; `y` None breaks the line; `band` is (low, high) a point.

    `dots` marks the points, with `sizes` as radii; `line` joins them; `hollow` leaves the dots empty.
    `colour` is the place in the palette; 0 takes the series' own place. `texts` is what a pointer at each dot shows; by
    default the series' name and y.
    """

    name: str
    points: tuple[tuple[float, float | None], ...]
    band: tuple[tuple[float, float] | None, ...] = ()
    dots: bool = False
    sizes: tuple[float, ...] = ()
    hollow: bool = False
    line: bool = True
    colour: int = 0
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event:
    """A vertical mark: what happened at `x`. `kind` picks the colour, see `ml.charts.document.EVENTS`."""

    x: float
    text: str
    kind: str = "promoted"


@dataclass(frozen=True, kw_only=True)
class Region:
    """A shaded period from `start` to `end`; `kind` is its place in the palette of regions, from 0."""

    start: float
    end: float
    kind: int


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round positions between low and high (Heckbert's nice numbers, Graphics Gems 1990).

    Parameters
    ----------
    low, high
        Ends of the data's range; where they are not finite or not in order, one tick at `low` (else at 0).
    count
        About how many; the step is round.

    >>> ticks(0.0, 10.0)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else [0.0]
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


class Axes:
    """Two linear scales from data units to the picture, and the drawing of their grid, ticks and names.

    Parameters
    ----------
    x, y
        (lowest, highest) value of the data; widened where both are one.
    width, height
        Of the picture, in its pixels.
    left
        Pixels at the left for the names of y's ticks.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: int,
        height: int,
        left: float,
        localise: Localise,
    ) -> None:
        (self.x0, self.x1), (self.y0, self.y1) = _widen(*x), _widen(*y)
        self.width, self.left, self.right, self.bottom = width, left, width - RIGHT, height - BOTTOM
        self._localise = localise

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - TOP)

    def draw(self, x_label: str, y_label: str, x_names: Sequence[tuple[float, str]] | None) -> list[str]:
        """Grid lines and ticks of y, ticks of x (`x_names` where they are no plain numbers), both names."""
        return [*self._y_ticks(), *self._x_ticks(x_names), *self._names(x_label, y_label)]

    def _y_ticks(self) -> list[str]:
        parts: list[str] = []
        for tick in ticks(self.y0, self.y1):
            y, name = self.y(tick), short(tick, self._localise)
            parts.append(f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
        return parts

    def _x_ticks(self, names: Sequence[tuple[float, str]] | None) -> list[str]:
        count = 6 if self.width > SMALL else 4
        plain = [(tick, short(tick, self._localise)) for tick in ticks(self.x0, self.x1, count)]
        parts: list[str] = []
        for index, (value, name) in enumerate(plain if names is None else names):
            x = self.x(value)
            # Named ticks may be long and stand at the very ends: these grow inwards.
            inside = names is None or self.left < x < self.right
            anchor = "middle" if inside else "start" if x <= self.left else "end"
            parts.append(
                f'<text class="tick{" spare" if index % 2 else ""}" x="{x:.1f}" y="{self.bottom + 16}" '
                f'text-anchor="{anchor}">{escape(name)}</text>'
            )
        return parts

    def _names(self, x_label: str, y_label: str) -> list[str]:
        return [
            f'<text class="axis" x="{(self.left + self.right) / 2}" y="{self.bottom + BOTTOM - 6}" '
            f'text-anchor="middle">{escape(x_label)}</text>',
            f'<text class="axis" transform="translate(12 {(TOP + self.bottom) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>',
        ]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    events: Sequence[Event] = (),
    regions: Sequence[Region] = (),
    x_names: Sequence[tuple[float, str]] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
    left: float = LEFT,
    localise: Localise = str,
) -> Chart:
    """Lines with optional bands, marks for events, and a dashed diagonal (ROC, calibration).

    Parameters
    ----------
    x_names
        (position, text) of the ticks of x, where they are no plain numbers.
    x_range, y_range
        What the axes span, in data units; by default the extent of what is drawn.
    left
        Room for the tick labels of y: charts that stand above one another share it.
    """
    xs = [x for s in series for x, _ in s.points] + [e.x for e in events]
    ys = [y for s in series for _, y in s.points if y is not None]
    ys += [edge for s in series for pair in s.band if pair for edge in pair]
    if not xs or not ys:
        return Chart(title=title)
    x_range, y_range = x_range or (min(xs), max(xs)), y_range or (min(ys), max(ys))
    axes = Axes(x_range, y_range, width=width, height=height, left=left, localise=localise)
    parts = [_region(axes, region) for region in regions]
    parts += axes.draw(x_label, y_label, x_names)
    if diagonal:
        parts.append(
            f'<line class="diagonal" x1="{axes.x(axes.x0):.1f}" y1="{axes.y(axes.y0):.1f}" '
            f'x2="{axes.x(axes.x1):.1f}" y2="{axes.y(axes.y1):.1f}"/>'
        )
    parts += [_event(axes, event) for event in events]
    for place, one in enumerate(series, 1):
        parts += _series(axes, one, one.colour or place, localise)
    return Chart(title=title, body="".join(parts), width=width, height=height, legend=_legend(series))


def _legend(series: Sequence[Series]) -> tuple[Key, ...]:
    """A name once, though its dots may be full and hollow."""
    named = {one.name: str(one.colour or place) for place, one in enumerate(series, 1) if one.name}
    return tuple(Key(kind=kind, text=name) for name, kind in named.items())


def _event(axes: Axes, event: Event) -> str:
    x = f"{axes.x(event.x):.1f}"
    return (
        f'<line class="event event-{escape(event.kind)}" x1="{x}" x2="{x}" y1="{TOP}" y2="{axes.bottom}">'
        f"<title>{escape(event.text)}</title></line>"
    )


def _region(axes: Axes, region: Region) -> str:
    x, end = axes.x(region.start), axes.x(region.end)
    return (
        f'<rect class="region region-{region.kind}" x="{x:.1f}" y="{TOP}" width="{max(end - x, 0):.1f}" '
        f'height="{axes.bottom - TOP}"/>'
    )


def _series(axes: Axes, one: Series, colour: int, localise: Localise) -> list[str]:
    parts = _band(axes, one, colour)
    if one.line:
        parts.append(f'<path class="line line-{colour}" d="{_path(axes, one)}"/>')
    if one.dots or len(one.points) == 1:
        kind = f"dot dot-{colour}{' hollow' if one.hollow else ''}"
        sizes = one.sizes or (3.5,) * len(one.points)
        parts += [
            f'<circle class="{kind}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="{size:.3g}">'
            f"<title>{escape(text or f'{one.name}: {short(y, localise)}')}</title></circle>"
            for (x, y), size, text in zip(one.points, sizes, one.texts or ("",) * len(sizes), strict=True)
            if y is not None
        ]
    return parts


def _band(axes: Axes, one: Series, colour: int) -> list[str]:
    band = [(x, pair) for (x, _), pair in zip(one.points, one.band, strict=False) if pair]
    if len(band) < 2:
        return []
    upper = " ".join(f"{axes.x(x):.1f},{axes.y(high):.1f}" for x, (_, high) in band)
    lower = " ".join(f"{axes.x(x):.1f},{axes.y(low):.1f}" for x, (low, _) in reversed(band))
    return [f'<polygon class="band band-{colour}" points="{upper} {lower}"/>']


def _path(axes: Axes, one: Series) -> str:
    path, pen_down = [], False
    for x, y in one.points:
        if y is not None:
            path.append(f"{'L' if pen_down else 'M'}{axes.x(x):.1f} {axes.y(y):.1f}")
        pen_down = y is not None
    return "".join(path)


def _widen(low: float, high: float) -> tuple[float, float]:
    if high > low:
        return low, high
    pad = abs(low) * 0.1 or 0.5
    return low - pad, high + pad
