"""Charts as a file of its own: an SVG with its colours, a white background, titles and legends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ml.charts.chart import Chart, Key, cut, escape

MARGIN, TITLE, CAPTION, LINE = 16, 34, 24, 20  # room around, for the title, for a chart's own title, for a legend line
SWATCH = 36  # of a legend's key, with the room around it
LETTER = 6.6  # about the width of one at 12 units
INK, MUTED, GRID = "#1f2733", "#50596a", "#d7dde5"
# The light theme of the pages (serving/static/style.css), which has its contrast from WCAG; a test compares them.
PALETTE = ("#0b63b0", "#b4530a", "#6d28d9", "#0f766e", "#a21caf", "#4d5b0c", "#4d5b0c", "#c9ced6")
DASHES = ("", "7 3", "2 3", "10 3 2 3", "12 4", "4 2", "", "")
STATES = {"good": "#15703d", "bad": "#b42318", "warn": "#8a5a00", "broken": "#5b0514"}
EVENTS = {
    "promoted": STATES["good"],
    "rolled-back": STATES["bad"],
    "drift": STATES["warn"],
    "alias-deleted": MUTED,
    "new-contract": PALETTE[2],
}
REGIONS = ("#f4f5f7", "#fdf1dc", "#fbe3e4")
SERVED = ("#2f6690", "#1b7f6f", "#7a5195")


def document(charts: Sequence[Chart], *, title: str, columns: int = 1) -> bytes:
    """One SVG file with all charts, `columns` side by side; the same charts give the same bytes.

    A chart whose title is not the file's has its own above it.
    """
    parts: list[str] = []
    y, right = float(MARGIN + TITLE), MARGIN + LETTER * 1.4 * len(title)
    for start in range(0, len(charts), columns):
        row = charts[start : start + columns]
        x, captions = float(MARGIN), any(chart.title != title for chart in row)
        for chart in row:
            parts.append(_placed(chart, x, y, captions=captions))
            x += chart.width + MARGIN
        right = max(right, x - MARGIN)
        y += max(_height(chart) for chart in row) + CAPTION * captions + MARGIN
    width, height = right + MARGIN, y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 14}">{escape(title)}</text>{"".join(parts)}</svg>\n'
    ).encode()


def note(text: str, *, title: str) -> Chart:
    """Words in the place of a chart, where there is nothing to draw."""
    body = f'<text class="tick" x="0" y="16">{escape(text)}</text>'
    return Chart(title=title, body=body, width=max(320, int(LETTER * len(text))), height=28)


def _placed(chart: Chart, x: float, y: float, *, captions: bool) -> str:
    caption = f'<text class="caption" x="0" y="12">{escape(chart.title)}</text>' if captions else ""
    top = CAPTION if captions else 0
    legend = "".join(
        f'<g transform="translate({left:.0f} {top + chart.height + LINE * line:.0f})">{_key(key)}</g>'
        for key, line, left in _legend(chart)
    )
    return (
        f'<g transform="translate({x:.0f} {y:.0f})">{caption}'
        f'<g transform="translate(0 {top})">{chart.body}</g>{legend}</g>'
    )


def _height(chart: Chart) -> float:
    return chart.height + LINE * max((line + 1 for _, line, _ in _legend(chart)), default=0)


def _legend(chart: Chart) -> list[tuple[Key, int, float]]:
    """Each key with its line and its place in it, wrapped at the chart's width."""
    placed: list[tuple[Key, int, float]] = []
    line, left = 0, 8.0
    longest = max(8, int((chart.width - SWATCH) / LETTER))
    for key in chart.legend:
        key = replace(key, text=cut(key.text, longest))
        room = SWATCH + LETTER * len(key.text)
        if left > 8 and left + room > chart.width:
            line, left = line + 1, 8.0
        placed.append((key, line, left))
        left += room
    return placed


def _key(key: Key) -> str:
    swatch = f'<rect class="key-{escape(key.kind)}" y="6" width="16" height="5"/>'
    return f'{swatch}<text x="22" y="13">{escape(key.text)}</text>'


def _palette() -> str:
    rules = []
    for place, (colour, dashes) in enumerate(zip(PALETTE, DASHES, strict=True), 1):
        dash = f"stroke-dasharray:{dashes};" if dashes else ""
        rules.append(
            f".line-{place}{{stroke:{colour};{dash}}}.dot-{place}{{fill:{colour};stroke:{colour}}}"
            f".band-{place},.key-{place}{{fill:{colour}}}"
        )
    for kind, colour in EVENTS.items():
        rules.append(f".event-{kind}{{stroke:{colour}}}.key-{kind}{{fill:{colour}}}")
    for kind, colour in STATES.items():
        rules.append(f".mark-{kind},.key-{kind}{{fill:{colour}}}")
    rules += [f".region-{place},.span-region-{place}{{fill:{colour}}}" for place, colour in enumerate(REGIONS)]
    rules += [f".span-served-{place}{{fill:{colour}}}" for place, colour in enumerate(SERVED)]
    return "".join(rules)


STYLE = (
    f"text{{font:12px system-ui,sans-serif;fill:{INK}}}.title{{font-size:16px;font-weight:600}}"
    f".caption{{font-size:13px;font-weight:600}}.tick,.axis{{fill:{MUTED}}}.grid{{stroke:{GRID}}}"
    f".zero{{stroke:{MUTED}}}.diagonal{{stroke:{MUTED};stroke-dasharray:5 4}}"
    ".line{fill:none;stroke-width:2.2;stroke-linejoin:round}.band{opacity:.18}.event{stroke-width:2}"
    f".mark{{fill:{MUTED}}}.cell{{opacity:.5}}.cell,.bar-plain{{fill:{PALETTE[0]}}}.bar-up{{fill:{PALETTE[1]}}}.bar-down{{fill:{PALETTE[0]}}}"
    ".count{font-size:15px}.bar-label,.bar-value{font-size:13px}.span{stroke:#ffffff}.span-run{fill:#dbe7f0}"
    f"{_palette()}.event-drift{{stroke-dasharray:4 3}}.dot{{fill-opacity:.75}}.dot.hollow{{fill:none}}"
    ".span-label-served-0,.span-label-served-1,.span-label-served-2{fill:#ffffff}"
    ".stripe{fill:#f5f7fa}"
)
