"""Feature drift, column by column: is it broken, has it drifted, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.drift import profile, stuck_feed
from ml.drift.reference import Baseline
from ml.drift.verdict import PREDICTION, Finding
from ml.evaluation import two_sample
from ml.evaluation.two_sample import Test
from ml.messages import Message, message
from ml.schema.cells import WEEKDAYS
from ml.schema.schema import Column, Schema
from ml.settings import Drift

if TYPE_CHECKING:
    import pandas as pd

NOTHING = Test(0.0, 0.0, 1.0)
ORDERED, UNORDERED = "two-sample Kolmogorov-Smirnov and rank-sum", "two-sample chi-square"  # methods


class _Window(NamedTuple):
    """What came: the canonical rows, what is wrong with columns of them, and the rows before."""

    frame: pd.DataFrame
    problems: dict[str, Message]
    earlier: Callable[[], pd.DataFrame | None]


class _Tests(msgspec.Struct, frozen=True):
    finding: Finding
    shape: Test = NOTHING
    missing: Test = NOTHING
    new: Test = NOTHING


def examine(
    baseline: Baseline,
    frame: pd.DataFrame,
    problems: dict[str, Message],
    drift: Drift,
    *,
    answers: tuple[Any, Any] | None,
    earlier: Callable[[], pd.DataFrame | None] = lambda: None,
) -> list[Finding]:
    """Compare every input column of a window, and the model's answers, with the reference.

    All tests share one chance of a false alarm, `drift.false_discovery_rate`.

    Parameters
    ----------
    frame, problems
        What `baseline.canonical` gave for the current window.
    answers
        The window's probabilities (n, n_classes) and decided labels (n,); None leaves them out.
    earlier
        Gives the canonical rows before the window, in the order of time; asked for a column of one value only.
    """
    window = _Window(frame, problems, earlier)
    tests = [_column(column, baseline, window, drift) for column in baseline.schema.columns]
    return judge([*tests, *([_answers(baseline, *answers)] if answers else [])], drift)


def _answers(baseline: Baseline, probabilities: Any, labels: Any) -> _Tests:
    """The model's scores (two classes) or its predicted labels (more)."""
    if len(baseline.schema.classes) == 2:
        before, now = baseline.probabilities[:, 1], probabilities[:, 1]
        reference = profile.numbers(before)
        current = profile.numbers(now, reference.edges)
        shape = two_sample.ordered(reference.counts, current.counts)
        method = ORDERED
    else:
        shape = two_sample.chi_square(profile.categories(baseline.label).counts, profile.categories(labels).counts)
        method = UNORDERED
    return _Tests(Finding(column=PREDICTION, kind=PREDICTION, method=method), shape)


def judge(tests: list[_Tests], drift: Drift) -> list[Finding]:
    """Settle significance over all tests together, then materiality one by one."""
    p_values = [t.p for each in tests for t in (each.shape, each.missing, each.new)]
    stands = iter(two_sample.significant([p for p in p_values if p < 1.0] or [1.0], drift.false_discovery_rate))
    passed = [p < 1.0 and bool(next(stands)) for p in p_values]
    return [_judge_one(each, passed[3 * i : 3 * i + 3], drift) for i, each in enumerate(tests)]


def _judge_one(tests: _Tests, passed: list[bool], drift: Drift) -> Finding:
    finding, reasons = tests.finding, list(tests.finding.reasons)
    if passed[0] and two_sample.may_be_material(tests.shape, drift.material_effect):
        reasons.append(_of(finding, _moved(tests)))
    if passed[1] and two_sample.may_be_material(tests.missing, drift.material_missing):
        share = {"before": finding.missing_reference, "now": finding.missing_current}
        reasons.append(_of(finding, message("drift.missing", **share)))
    if passed[2] and two_sample.may_be_material(tests.new, drift.material_new):
        reasons.append(_of(finding, message("drift.new_values", share=finding.new_share)))
    return msgspec.structs.replace(
        finding,
        effect=tests.shape.effect,
        p=tests.shape.p,
        drifted=bool(reasons) and not finding.broken,
        reasons=reasons,
    )


def _moved(tests: _Tests) -> Message:
    """By how much: a distance of distributions in order, the share that moved between levels."""
    if tests.finding.kind == "date" and tests.finding.method == ORDERED:
        return message("drift.days_between", distance=tests.shape.effect)
    if tests.finding.kind == "date":
        return message("drift.weekdays", share=tests.shape.effect)
    if tests.finding.method == ORDERED:
        return message("drift.distance", distance=tests.shape.effect)
    return message("drift.share_moved", share=tests.shape.effect)


def _of(finding: Finding, reason: Message) -> Message:
    if finding.of_predictions:
        return message("drift.predictions", reason=reason)
    return message("drift.column", column=finding.column, reason=reason)


def _column(column: Column, baseline: Baseline, window: _Window, drift: Drift) -> _Tests:
    frame, problem = window.frame, window.problems.get(column.name)
    other = _other_date(column, baseline.schema)
    number = column.kind == "number"
    method = ORDERED if number or other else UNORDERED
    finding = Finding(column=column.name, kind=column.kind, method=method)
    if column.name not in frame or column.name not in baseline.frame:
        return _Tests(_as_broken(finding, problem or message("drift.not_in_reference")))
    if column.kind == "date":
        tests = _date(finding, baseline, frame)
    else:
        tests = _number(finding, column, baseline, frame) if number else _category(finding, column, baseline, frame)
    reason = _broken(column, tests.finding, baseline, window, drift)
    return msgspec.structs.replace(tests, finding=_as_broken(tests.finding, reason)) if reason else tests


def _as_broken(finding: Finding, reason: Message) -> Finding:
    return msgspec.structs.replace(finding, broken=True, reasons=[_of(finding, reason)])


def _number(finding: Finding, column: Column, baseline: Baseline, frame: pd.DataFrame) -> _Tests:
    reference = profile.numbers(baseline.frame[column.name].to_numpy(dtype=np.float64))
    current = profile.numbers(frame[column.name].to_numpy(dtype=np.float64), reference.edges)
    shape = two_sample.ordered(reference.counts, current.counts)
    finding, missing = _missing(finding, reference, current)
    return _Tests(finding, shape, missing)


def _other_date(column: Column, schema: Schema) -> str:
    """The date column that a date is compared with: the first, or for that the second; "" where it is the only one."""
    return next((name for name in schema.dates if name != column.name), "") if column.kind == "date" else ""


def of_date(column: str, baseline: Baseline, frame: pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is compared of the date `column`, in the reference and in a window's `frame`: (n,) days to another date, or
    weekdays as text.

    By what it means: a date near the time of its row is always another one, its distance to another date is not. Where
    there is no other, the weekdays are compared. Seasons are not: a window is shorter than a year.
    """
    sides = baseline.frame, frame
    other = _other_date(baseline.schema.column(column), baseline.schema)
    days = [side[column].to_numpy(dtype=np.float64) for side in sides]
    if other and all(other in side for side in sides):
        before, now = (side[other].to_numpy(dtype=np.float64) - own for side, own in zip(sides, days, strict=True))
        return before, now
    before, now = map(_weekdays, days)
    return before, now


def _date(finding: Finding, baseline: Baseline, frame: pd.DataFrame) -> _Tests:
    """A date by `of_date`, and how many are missing."""
    days, reference = (f[finding.column].to_numpy(dtype=np.float64) for f in (frame, baseline.frame))
    before, now = of_date(finding.column, baseline, frame)
    if before.dtype == object:
        shape = two_sample.chi_square(profile.categories(before).counts, profile.categories(now).counts)
        finding = msgspec.structs.replace(finding, method=UNORDERED)
    else:
        known = profile.numbers(before)
        shape = two_sample.ordered(known.counts, profile.numbers(now, known.edges).counts)
    finding, missing = _missing(finding, profile.numbers(reference), profile.numbers(days))
    return _Tests(finding, shape, missing)


def _weekdays(days: stuck_feed.Floats) -> Any:
    """(n,) names of days as text, "" for missing."""
    return np.array(["" if day != day else WEEKDAYS[int(day // 1 % 7)] for day in days], dtype=object)


def _category(finding: Finding, column: Column, baseline: Baseline, frame: pd.DataFrame) -> _Tests:
    reference = profile.categories(baseline.frame[column.name].to_numpy(dtype=object))
    current = profile.categories(frame[column.name].to_numpy(dtype=object))
    known = {*column.categories, *reference.counts}
    new = sum(count for level, count in current.counts.items() if level not in known)
    rows, rows_reference = sum(current.counts.values()), sum(reference.counts.values())
    # A reference row whose level is there once would have been new as well: in a column of many levels some
    # always are (Good and Turing 1953), and only more of them mean anything.
    usual = sum(count for level, count in reference.counts.items() if count == 1 and level not in column.categories)
    finding, missing = _missing(finding, reference, current)
    return _Tests(
        msgspec.structs.replace(finding, new_share=new / rows if rows else 0.0),
        two_sample.chi_square(reference.counts, current.counts),
        missing,
        two_sample.proportions(usual, rows_reference, new, rows) if new * rows_reference > usual * rows else NOTHING,
    )


def _missing(finding: Finding, reference: Any, current: Any) -> tuple[Finding, Test]:
    finding = msgspec.structs.replace(
        finding,
        missing_reference=reference.missing / max(1, reference.rows),
        missing_current=current.missing / max(1, current.rows),
    )
    return finding, two_sample.proportions(reference.missing, reference.rows, current.missing, current.rows)


def _broken(column: Column, finding: Finding, baseline: Baseline, window: _Window, drift: Drift) -> Message | None:
    """Why the feed of a column cannot be trusted, or None."""
    rise, problem = finding.missing_current - finding.missing_reference, window.problems.get(column.name)
    if problem and rise >= drift.material_missing:
        return problem
    if rise >= drift.broken_missing:
        return message("drift.feed_broken")
    return _stuck(column, baseline, window, drift) if column.kind == "number" else None


def _stuck(column: Column, baseline: Baseline, window: _Window, drift: Drift) -> Message | None:
    values, before = _present(window.frame, column.name), _present(baseline.frame, column.name)
    usual = stuck_feed.usual_share(values, before, drift, columns=len(baseline.schema.columns))
    if usual is None:
        return None
    rows = window.earlier()
    earlier = _present(rows, column.name) if rows is not None and column.name in rows else np.zeros(0)
    if stuck_feed.moves_with_time(values[0], before, earlier):
        return None
    return message("drift.feed_stuck", value=values[0], share=usual)


def _present(frame: pd.DataFrame, name: str) -> stuck_feed.Floats:
    values: stuck_feed.Floats = frame[name].to_numpy(dtype=np.float64)
    return values[~np.isnan(values)]
