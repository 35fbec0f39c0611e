"""Before and after: the shares of two sides in the same bins or levels, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml.charts.chart import SMALL, Chart, Localise, cut, escape, short
from ml.charts.line_chart import RIGHT, ticks

HEIGHT, LEFT, TOP, BOTTOM = 150, 40, 8, 20
ROW, LONGEST_LEVEL, NUMBER = 34, 40, 44


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """A column before and after, as counts of the same bins or levels.

    Of numbers there are `edges` (one more than counts; the outermost bins hold what lies beyond, too), of categories
    `levels`, the commonest first; `others` levels are counted together in the last count. `missing` rows of either side
    are not in the counts. `of_predictions`: it is the model's own score, and no column of the table. `weekdays`: the
    levels are `ml.schema.cells.WEEKDAYS`, and no text of the table.
    """

    column: str
    of_predictions: bool = False
    weekdays: bool = False
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    others: int = 0
    before: tuple[int, ...] = ()
    now: tuple[int, ...] = ()
    missing: tuple[int, int] = (0, 0)


def histogram(
    edges: Sequence[float],
    before: Sequence[float],
    now: Sequence[float],
    names: tuple[str, str],
    *,
    title: str,
    localise: Localise = str,
) -> Chart:
    """Shares of a number's bins as two bars each.

    Parameters
    ----------
    edges
        (n + 1,) of the bins.
    before, now
        (n,) shares in [0, 1].
    names
        Of the two sides, for what a pointer shows.
    """
    top = max([*before, *now], default=0.0)
    if not top or len(edges) != len(before) + 1:
        return Chart(title=title)
    wide = (SMALL - RIGHT - LEFT) / len(before)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - share / top * (HEIGHT - BOTTOM - TOP)

    parts = []
    for tick in ticks(0.0, top, 4):
        text = localise(f"{100 * tick:.3g}%")
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{SMALL - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" x="{LEFT - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for i, shares in enumerate(zip(before, now, strict=True)):
        bin_name = f"{short(edges[i], localise)} – {short(edges[i + 1], localise)}"
        for side, (kind, share) in enumerate(zip(("before", "now"), shares, strict=True)):
            parts.append(
                f'<rect class="bar bar-{kind}" x="{LEFT + wide * (i + 0.06 + 0.44 * side):.1f}" y="{y(share):.1f}" '
                f'width="{wide * 0.44:.1f}" height="{HEIGHT - BOTTOM - y(share):.1f}">'
                f"<title>{escape(bin_name)}, {escape(names[side])}: {localise(f'{share:.1%}')}</title></rect>"
            )
    for place, anchor in ((0, "start"), (len(before) // 2, "middle"), (len(before), "end")):
        parts.append(
            f'<text class="tick" x="{LEFT + wide * place:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">'
            f"{short(edges[place], localise)}</text>"
        )
    return Chart(title=title, body="".join(parts), width=SMALL, height=HEIGHT)


def paired_bars(
    levels: Sequence[str],
    before: Sequence[float],
    now: Sequence[float],
    names: tuple[str, str],
    *,
    title: str,
    localise: Localise = str,
) -> Chart:
    """Shares in [0, 1] of a category's levels, a name with two bars below it each.

    Parameters
    ----------
    levels
        Their names, from the top.
    before, now
        A share a level.
    names
        Of the two sides.
    """
    top = max([*before, *now], default=0.0)
    if not top:
        return Chart(title=title)
    parts = []
    for i, (level, *shares) in enumerate(zip(levels, before, now, strict=True)):
        y = i * ROW
        parts.append(f'<text class="tick" x="0" y="{y + 11}">{escape(cut(level, LONGEST_LEVEL))}</text>')
        for side, (kind, share) in enumerate(zip(("before", "now"), shares, strict=True)):
            parts.append(
                f'<rect class="bar bar-{kind}" x="0" y="{y + 16 + 7 * side}" '
                f'width="{max(share / top * (SMALL - NUMBER), 0.8):.1f}" height="6">'
                f"<title>{escape(level)}, {escape(names[side])}: {localise(f'{share:.1%}')}</title></rect>"
            )
    return Chart(title=title, body="".join(parts), width=SMALL, height=ROW * len(levels) + 2)
