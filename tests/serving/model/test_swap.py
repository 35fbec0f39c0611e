"""Swaps as they are: follower process, four workers, traffic. The figures of many more are bench/swap.py's."""

from __future__ import annotations

from bench import swap


def test_no_swap_fails_mixes_loses_or_doubles_an_answer() -> None:
    found = swap.measure(swaps=5, workers=4, connections=8)
    assert found["swaps"] == 5
    assert found["answered"] > 100
    assert found["failures"] == {}
    assert found["mixed"] == 0
    assert found["answered and not in the log"] == 0
    assert found["twice in the log"] == 0
