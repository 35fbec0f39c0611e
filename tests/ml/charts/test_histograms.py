"""Two sides in the same bins: bars as high as their shares, with what they are under the pointer."""

from __future__ import annotations

import re

import pytest

from ml.charts import histogram, paired_bars

SIDES = ("before", "now")


def test_a_bar_is_as_high_as_its_share_and_says_what_it_is() -> None:
    svg = histogram([0, 1, 2], [0.25, 0.75], [0.5, 0.5], SIDES, title="x").__html__()
    heights = [float(h) for h in re.findall(r'class="bar bar-\w+"[^>]*height="([^"]+)"', svg)]
    assert len(heights) == 4
    assert heights[2] == pytest.approx(3 * heights[0], abs=0.2)
    assert heights[1] == heights[3]
    assert "<title>0 – 1, now: 50.0%</title>" in svg


def test_levels_are_escaped() -> None:
    svg = paired_bars(["<b>", "c"], [0.9, 0.1], [0.2, 0.8], SIDES, title="<i>").__html__()
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "<title>&lt;b&gt;, before: 90.0%</title>" in svg
    widths = [float(w) for w in re.findall(r'class="bar bar-\w+"[^>]*width="([^"]+)"', svg)]
    assert len(widths) == 4
    assert widths[0] == max(widths)


def test_nothing_to_draw_draws_nothing() -> None:
    assert not histogram([0, 1], [0.0], [0.0], SIDES, title="x")
    assert not paired_bars([], [], [], SIDES, title="x")
