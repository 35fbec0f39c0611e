"""What commands print: progress on a terminal's stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click
import msgspec

from ml.storage.files import to_json


def result(value: Any, *, as_json: bool, text: str) -> None:
    """The result of a command: JSON for machines, or a text for people."""
    click.echo(to_json(value).decode() if as_json else text)


class Bar:
    """A progress bar a stage, on a terminal only. Give `bar.update` to the pipeline."""

    def __init__(self, *, hidden: bool = False) -> None:
        self._hidden = hidden or not sys.stderr.isatty()
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """Called by the pipeline after each step."""
        if self._hidden:
            return
        if stage != self._stage or (self._bar is not None and self._bar.total != total):
            from tqdm import tqdm

            self.close()
            self._stage = stage
            self._bar = tqdm(total=total, desc=stage.ljust(9), leave=False, dynamic_ncols=True, file=sys.stderr)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def stage_line(name: str, found: dict[str, Any]) -> str:
    """One line on what a stage did."""
    says: dict[str, Callable[[dict[str, Any]], str]] = {
        "generate": _generated,
        "train": _trained,
        "tune": _tuned,
        "evaluate": lambda r: str(r["sentence"]),
        "register": lambda r: f"version {r['version']}",
        "promote": lambda r: str(r["sentence"]),
    }
    return f"{name.ljust(9)} {found['seconds']:6.1f} s  {says[name](found)}"


def warnings_of(found: dict[str, Any]) -> str:
    """What was noticed about the table, a line each."""
    return "\n".join(f"  note: {text}" for text in found.get("warnings", []))


def grid_text(found: dict[str, Any]) -> str:
    """The logistic grid beside the report's five rows."""
    from ml.training import course_grid

    points = msgspec.convert(found.get("grid") or [], list[course_grid.GridPoint])
    if not points:
        return ""
    head = "Logistic regression, accuracy on the validation rows"
    if not found["beside_report"]:
        return f"\n{head}:\n{course_grid.table(points, beside_report=False)}\n"
    sentence = course_grid.comparison(points, found["validation_rows"])
    return f"\n{head}, beside the course report's five rows:\n{course_grid.table(points)}\n{sentence}\n"


def _generated(r: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in r["parts"].items() if count)
    return f"snapshot {r['snapshot']}: {r['rows']:,} rows × {r['columns']} columns ({parts})"


def _trained(r: dict[str, Any]) -> str:
    fitted = [c for c in r["candidates"] if c["scores"]]
    best = min(fitted, key=lambda c: c["scores"]["log_loss"])
    failed = len(r["candidates"]) - len(fitted)
    return (
        f"{len(fitted)} candidates fitted{f', {failed} could not be' if failed else ''}; best {best['family']}, "
        f"validation log-loss {best['scores']['log_loss']:.4f}"
    )


def _tuned(r: dict[str, Any]) -> str:
    members = ", ".join(f"{m['weight']:.0%} {m['family']}" for m in r["members"])
    kind = f"a blend ({members})" if len(r["members"]) > 1 else r["best"]["family"]
    odd = ", ".join(f"{r[k]} {k}" for k in ("pruned", "failed") if r[k])
    return (
        f"{r['trials']} trials{f' ({odd})' if odd else ''}: {kind}, held-out log-loss {r['best_loss']:.4f} "
        f"(best baseline {r['baseline_loss']:.4f})"
    )
