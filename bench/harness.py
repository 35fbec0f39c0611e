"""What the benchmark programs share: their options, contenders that take turns, medians, ratios and tables.

A program says what is measured; this says how often, in which order, and how it is shown. Contenders are interleaved,
and each round begins with the next one, so that a machine that gets slower or warmer favours none of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = dict[str, float]


def options(doc: str | None, **names: str) -> argparse.ArgumentParser:
    """A parser with `--json` and the program's docstring as its help.

    Parameters
    ----------
    names
        Options that say yes, with their help: `quick="one round"` is `--quick`.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, told in names.items():
        made.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=told)
    made.add_argument("--json", action="store_true", help="JSON, for machines")
    return made


def in_turns(contenders: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Measure every contender once a round; medians by contender, in the order in which they were given.

    >>> in_turns({"a": lambda: {"s": 1.0}, "b": lambda: {"s": 2.0}}, 3)
    {'a': {'s': 1.0}, 'b': {'s': 2.0}}
    """
    seen: dict[str, list[Figures]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seen[name].append(contenders[name]())
    return {name: medians(figures) for name, figures in seen.items()}


def medians(seen: Sequence[Mapping[str, float]]) -> Figures:
    """The median of each figure over the rounds.

    >>> medians([{"s": 1.0}, {"s": 9.0}, {"s": 2.0}])
    {'s': 2.0}
    """
    return {name: float(statistics.median(figures[name] for figures in seen)) for name in seen[0]}


def ratios(found: Mapping[str, Figures], figure: str, of: str) -> Figures:
    """A figure of each contender as a multiple of that of `of`.

    >>> ratios({"ours": {"s": 2.0}, "theirs": {"s": 6.0}}, "s", "ours")
    {'ours': 1.0, 'theirs': 3.0}
    """
    return {name: figures[figure] / found[of][figure] for name, figures in found.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    >>> print(table(["fit", "s"], [["ours", "1.0"]]))
    | fit | s |
    |---|---|
    | ours | 1.0 |
    """
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def show(found: Any, text: Callable[[], str] | None = None, *, as_json: bool, indent: int | None = None) -> None:
    """Print the result: JSON for machines, else what `text` makes for a person; nothing where that was told before."""
    if as_json:
        print(json.dumps(found, indent=indent), flush=True)
    elif text is not None:
        print(text(), flush=True)
