"""A chart as a record, and the text in it: escaped, cut to its room, numbers as the reader writes them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 260  # of a chart with two axes, in units of its view box
SMALL = 320  # several of these stand side by side, and on a phone keep their size
BARS = 480  # of bars, whose names stand above them

# What XML 1.0 (section 2.2) has no character for: control characters, halves of surrogate pairs.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Localise = Callable[[str], str]
"""A number as Python writes it (`1,234.5`) → as the reader writes it. `str` leaves it as it is."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A line of the legend: `kind` is the place in the palette (`"1"` to `"7"`) or the kind of an event."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart: SVG elements with class names, in a box of `width` × `height` units.

    A page shows it inline and colours the classes by its own style sheet; `ml.charts.document` makes a file with
    colours of its own. One without a body has nothing to show and draws nothing.
    """

    title: str
    body: str = ""
    width: int = WIDTH
    height: float = 0.0
    legend: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.body)

    def __html__(self) -> str:
        """An `<svg>` element for a page, without script and style; templates take it as markup that is safe."""
        if not self.body:
            return ""
        kind = " small" if self.width <= SMALL else " bars" if self.width == BARS else ""
        title = escape(self.title)
        return (
            f'<svg class="chart{kind}" viewBox="0 0 {self.width} {self.height:.0f}" role="img" aria-label="{title}">'
            f"<title>{title}</title>{self.body}</svg>"
        )


def escape(text: object) -> str:
    """Text that is safe between tags and in a quoted attribute, of a page and of a file.

    >>> escape('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(_NO_CHARACTER.sub("\ufffd", str(text)))


def cut(name: str, longest: int) -> str:
    """A name that is no longer than there is room for, without its middle: names often differ at their ends.

    >>> cut("a_long_name_017", 10)
    'a_lon…_017'
    """
    if len(name) <= longest:
        return name
    tail = longest // 2 - 1
    return f"{name[: longest - tail - 1]}…{name[-tail:]}"


def short(value: float, localise: Localise = str) -> str:
    """A number for an axis: at most four significant digits, no exponent in the usual range."""
    return localise(f"{value:.4g}")
