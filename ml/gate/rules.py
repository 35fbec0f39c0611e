"""The gate's rules, champion or challenger: may this model replace the one that serves?

All comparisons are of log-loss, row by row, on the same rows, each model with its own preprocessing:
d = loss(champion) - loss(challenger), positive where the challenger is better. What is asked for is a
one-sided confidence bound of its mean (`ml.evaluation.bounds`).

In order, and each "no" is a reason in the verdict:

1. servability: the bundle loads, repeats its own examples, and keeps to its budgets;
2. floor: better than always answering the classes' shares, with confidence (waived where the champion is
   degraded, is itself not above the floor, and the challenger is better than it);
3. no champion yet: that is enough; a champion that is there and cannot be compared (other columns, other classes, a
   damaged bundle) is kept: a person may decide;
4. better than the champion on the recent rows, with confidence; or, where the champion is known to be
   degraded, not worse by more than a margin. Indistinguishable keeps the champion;
   a degraded champion that is below the floor itself gives way to a better one below it;
5. accuracy not significantly and materially worse;
6. nothing old forgotten: not significantly and materially worse on the golden rows (waived where the
   world has changed, that is the champion is degraded or outdone by models of newer rows, and the challenger is
   better on the recent rows);
7. no large slice significantly and materially worse (Bonferroni over the slices).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.decision import Floats
from ml.evaluation.bounds import Bound, bound
from ml.evaluation.metrics import GATE_FLOOR, log_losses, log_losses_of_label
from ml.settings import Gate

Rows = npt.NDArray[Any]  # a mask of (n_rows,), or row numbers

NAMED_SLICES = 3  # in a sentence that people read; our choice


class Servability(msgspec.Struct, frozen=True, kw_only=True):
    """What trying to serve the bundle showed. `problem` is "" where it loads and repeats its examples."""

    latency_ms: float = 0.0  # one row, median
    bundle_mb: float = 0.0
    problem: str = ""


INCOMPARABLE = "incomparable"  # a code: there is a champion, and it cannot be compared with the challenger


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Content of gate.json: the answer, a sentence, every reason, and the numbers behind them.

    `code` is `INCOMPARABLE` where the champion could not be compared, whatever the policy made of it; else "".
    """

    promote: bool
    sentence: str
    reasons: list[str]
    numbers: dict[str, Any]
    code: str = ""


def judge(
    challenger: Floats,
    champion: Floats | None,
    y: npt.NDArray[np.int64],
    *,
    settings: Gate,
    parts: Mapping[str, Rows] | None = None,
    prior: Floats | None = None,
    slices: Mapping[str, Rows] | None = None,
    servability: Servability | None = None,
    incomparable: str = "",
    degraded: bool = False,
    challenger_beats_champion: bool = False,
    seed: int = 0,
) -> Verdict:
    """Judge a challenger.

    Parameters
    ----------
    challenger, champion
        (n_rows, n_classes) probabilities of the same rows, which neither model was trained on; `champion`
        is None where nothing serves yet.
    y
        (n_rows,) class codes.
    parts
        "recent": the rows that decide (the newest labelled ones); "golden": the fixed old ones that must
        not be forgotten. Without "recent" all rows decide; without "golden" nothing is remembered.
    prior
        (n_classes,) shares of the classes in training: the floor. None: the shares in `y`.
    slices
        Named parts of the rows (`ml.evaluation.slices`).
    incomparable
        Why the champion that serves has no probabilities here; "" where it has, or where none serves.
    degraded
        The champion's labelled performance is known to have dropped.
    changed
        The champion is known to be outdone by models of newer rows: the golden rows tell of a world that has passed.
    """
    y = np.asarray(y, dtype=np.int64)
    reasons: list[str] = _servability(servability, settings)
    numbers: dict[str, Any] = {"rows": len(y), "confidence": settings.confidence, "degraded": degraded}
    if servability is not None:
        numbers["servability"] = msgspec.to_builtins(servability)
    loss = log_losses(challenger, y, GATE_FLOOR)
    everything = np.arange(len(y))
    recent = _rows((parts or {}).get("recent"), everything)
    below = _floor(loss[recent], y[recent], prior, settings, numbers, seed)
    if incomparable:
        found = _verdict([*reasons, f"cannot be compared with the champion: {incomparable}", *below], numbers, settings)
        return msgspec.structs.replace(found, code=INCOMPARABLE)
    if champion is None or reasons or not len(recent):
        return _verdict(reasons + below, numbers, settings, first=champion is None)
    gain = log_losses(champion, y, GATE_FLOOR) - loss
    right = (challenger.argmax(axis=1) == y).astype(float) - (champion.argmax(axis=1) == y)
    numbers["log_loss"] = {"challenger": float(loss[recent].mean()), "champion": float((gain + loss)[recent].mean())}
    better = _bound(gain[recent], settings, seed)
    accuracy = _bound(right[recent], settings, seed)
    numbers["gain"], numbers["accuracy_gain"] = better.plain(), accuracy.plain()
    if below and not (
        degraded and better.lower > 0 and _floor((gain + loss)[recent], y[recent], prior, settings, {}, seed)
    ):
        reasons += below
    reasons += _against_champion(better, accuracy, settings, degraded)
    golden = gain[_rows((parts or {}).get("golden"), everything[:0])]
    reasons += _forgets(
        golden, settings, numbers, seed, excused=(degraded or challenger_beats_champion) and better.lower > 0
    )
    reasons += _slices(gain, slices or {}, len(y), settings, numbers, seed)
    return _verdict(reasons, numbers, settings, first=False)


def _rows(rows: Rows | None, otherwise: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if rows is None:
        return otherwise
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)


def _servability(found: Servability | None, settings: Gate) -> list[str]:
    if found is None:
        return []
    out = [f"cannot be served: {found.problem}"] if found.problem else []
    if found.latency_ms > settings.max_latency_ms:
        out.append(f"too slow: {found.latency_ms:.1f} ms a row, allowed {settings.max_latency_ms:g} ms")
    if found.bundle_mb > settings.max_bundle_mb:
        out.append(f"too large: {found.bundle_mb:.1f} MB, allowed {settings.max_bundle_mb:g} MB")
    return out


def _floor(
    loss: npt.NDArray[np.float64], y: npt.NDArray[np.int64], prior: Floats | None, settings: Gate,
    numbers: dict[str, Any], seed: int,
) -> list[str]:  # fmt: skip
    """Must beat answering the class shares, by `floor_gain`, with confidence."""
    if not len(y):
        return ["no labelled rows to judge on"]
    shares = np.bincount(y, minlength=int(y.max()) + 1) / len(y) if prior is None else np.asarray(prior)
    gain = _bound(log_losses_of_label(shares[y], GATE_FLOOR) - loss, settings, seed)
    numbers["floor_gain"] = gain.plain()
    if gain.lower > settings.floor_gain:
        return []
    few = f"; {len(y)} rows are few" if len(y) < settings.min_rows else ""
    return [
        f"not shown to know more than the class shares: log-loss better by {gain.mean:.4f}, "
        f"with confidence only {gain.lower:.4f} (asked for more than {settings.floor_gain:g}{few})"
    ]


def _against_champion(better: Bound, accuracy: Bound, settings: Gate, degraded: bool) -> list[str]:
    if better.rows < settings.min_rows:
        return [f"too few rows to judge: {better.rows}, at least {settings.min_rows} are needed; the champion stays"]
    out = []
    if degraded:
        if better.lower <= -settings.margin:
            out.append(
                f"may be worse than the degraded champion: log-loss gain {better.mean:.4f}, "
                f"with confidence only {better.lower:.4f} (asked for more than {-settings.margin:g})"
            )
    elif better.upper < 0:
        out.append(f"worse than the champion: log-loss higher by {-better.mean:.4f}")
    elif better.lower <= 0:
        out.append(
            f"indistinguishable from the champion on {better.rows} rows: log-loss gain {better.mean:.4f}, "
            f"with confidence between {better.lower:.4f} and {better.upper:.4f}"
        )
    if accuracy.upper < -settings.accuracy_margin:
        out.append(f"accuracy is lower by {-100 * accuracy.mean:.1f} points")
    return out


def _forgets(
    gain: npt.NDArray[np.float64], settings: Gate, numbers: dict[str, Any], seed: int, *, excused: bool
) -> list[str]:
    """Worse on the golden rows by more than `golden_margin`; `excused` where the world has changed since."""
    if not len(gain):
        return []
    remembered = _bound(gain, settings, seed)
    numbers["golden_gain"] = remembered.plain()
    if excused or remembered.upper >= -settings.golden_margin:
        return []
    return [
        f"forgets: log-loss on the {len(gain)} golden rows is worse by {-remembered.mean:.4f} "
        f"(at least {-remembered.upper:.4f} with confidence; allowed {settings.golden_margin:g})"
    ]


def _slices(
    gain: npt.NDArray[np.float64],
    slices: Mapping[str, Rows],
    n: int,
    settings: Gate,
    numbers: dict[str, Any],
    seed: int,
) -> list[str]:
    """Slices of at least `slice_min_rows` rows and 5% of all that lose more than `slice_margin`."""
    everything = np.arange(n)
    large = {name: _rows(rows, everything) for name, rows in slices.items()}
    large = {name: rows for name, rows in large.items() if len(rows) >= max(settings.slice_min_rows, 0.05 * n)}
    bounds = {name: _bound(gain[rows], settings, seed, tests=len(large)) for name, rows in large.items()}
    worse = {name: found for name, found in bounds.items() if found.upper < -settings.slice_margin}
    numbers["slices_checked"] = len(large)
    numbers["slices_worse"] = {name: found.plain() for name, found in worse.items()}
    # A bad challenger is bad everywhere: the sentence names the worst, the numbers hold all.
    ranked = sorted(worse.items(), key=lambda item: item[1].mean)
    out = [
        f"worse where {name} ({found.rows} rows): log-loss higher by {-found.mean:.4f}"
        for name, found in ranked[:NAMED_SLICES]
    ]
    return out + ([f"worse in {len(ranked) - NAMED_SLICES} more slices"] if len(ranked) > NAMED_SLICES else [])


def _bound(d: npt.NDArray[np.float64], settings: Gate, seed: int, *, tests: int = 1) -> Bound:
    return bound(d, confidence=settings.confidence, n_bootstrap=settings.n_bootstrap, seed=seed, tests=tests)


def _verdict(reasons: list[str], numbers: dict[str, Any], settings: Gate, *, first: bool = False) -> Verdict:
    numbers["policy"] = settings.policy
    blocked = [r for r in reasons if r.startswith(("cannot be served", "too slow", "too large"))]
    if settings.policy == "never":
        return _say(False, "Not promoted: the policy is 'never'.", reasons, numbers)
    if settings.policy == "always" and not blocked:
        return _say(True, "Promoted: the policy is 'always'" + _but(reasons), reasons, numbers)
    if reasons:
        return _say(False, f"Not promoted: {'; '.join(reasons)}.", reasons, numbers)
    sentence = _first(numbers, settings) if first else _better(numbers, settings)
    return _say(True, sentence, [sentence], numbers)


def _first(numbers: dict[str, Any], settings: Gate) -> str:
    floor = numbers["floor_gain"]
    return (
        f"Promoted: the first champion; log-loss beats the class shares by {floor['mean']:.4f} "
        f"({settings.confidence:.0%} sure of {floor['lower']:.4f}) on {floor['rows']} rows."
    )


def _better(numbers: dict[str, Any], settings: Gate) -> str:
    gain, loss, sure = numbers["gain"], numbers["log_loss"], f"{settings.confidence:.0%} sure of"
    if gain["lower"] > 0:
        return (
            f"Promoted: better than the champion on {gain['rows']} rows: log-loss {loss['challenger']:.4f} against "
            f"{loss['champion']:.4f}, lower by {gain['mean']:.4f} ({sure} {gain['lower']:.4f})."
        )
    return (
        f"Promoted: the champion is degraded, and the challenger is not worse by more than {settings.margin:g} "
        f"on {gain['rows']} rows (log-loss gain {gain['mean']:.4f}, {sure} {gain['lower']:.4f})."
    )


def _but(reasons: list[str]) -> str:
    return f", although {'; '.join(reasons)}." if reasons else "."


def _say(promote: bool, sentence: str, reasons: list[str], numbers: dict[str, Any]) -> Verdict:
    return Verdict(promote=promote, sentence=sentence, reasons=reasons, numbers=numbers)
