"""The gate's rules, champion or challenger: may this model replace the one that serves?

All comparisons are of log-loss, row by row, on the same rows, each model with its own preprocessing:
d = loss(champion) - loss(challenger), positive where the challenger is better. What is asked for is a
one-sided confidence bound of its mean (`ml.evaluation.bounds`).

In order, and each "no" is a reason in the verdict:

1. servability: the bundle loads, repeats its own examples, and keeps to its budgets;
2. floor: better than always answering the classes' shares, with confidence (waived where the champion is
   degraded, is itself not above the floor, and the challenger is better than it; shown on the recent rows or, where
   these are few, on more; not asked again where the rows are too few to tell and the champion, of the same family, has
   been shown to be above it);
3. no champion yet: that is enough; a champion that is there and cannot be compared (other columns, other classes, a
   damaged bundle) is kept: a person may decide;
4. better than the champion on the recent rows, with confidence; or, where the champion is known to be
   degraded, or a drift check has proved that models of newer rows do better (the question is not asked twice, of fewer
   rows), not worse by more than a margin. Indistinguishable keeps the champion;
   a degraded champion that is below the floor itself gives way to a better one below it;
5. accuracy not significantly and materially worse;
6. nothing old forgotten: not significantly and materially worse on the regression rows (waived where the
   world has changed, that is the champion is degraded or outdone by models of newer rows, and the challenger is
   better on the recent rows);
7. no large slice significantly and materially worse (Bonferroni over the slices).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ml.decision import Floats
from ml.evaluation.bounds import Bound, bound
from ml.evaluation.metrics import GATE_FLOOR, log_losses, log_losses_of_label
from ml.messages import Message, Text, message
from ml.settings import Gate

Rows = npt.NDArray[Any]  # a mask of (n_rows,), or row numbers

NAMED_SLICES = 3  # in a sentence that people read; our choice


class Servability(msgspec.Struct, frozen=True, kw_only=True):
    """What trying to serve the bundle showed. `problem` is "" where it loads and repeats its examples."""

    latency_ms: float = 0.0  # one row, median
    bundle_mb: float = 0.0
    problem: Text = ""


NOT_SERVABLE = frozenset({"gate.not_servable", "gate.too_slow", "gate.too_large"})


class LogLosses(msgspec.Struct, frozen=True, kw_only=True):
    """Mean log-loss on the recent rows, nats."""

    challenger: float
    champion: float


class GateNumbers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verdict rests on; None, and left out of gate.json, where a rule was not come to.

    `floor_gain` is over the class shares, and was not asked for again with `floor_known`; `gain` and `accuracy_gain`
    are over the champion on the recent rows, `regression_gain` over it on the regression rows; `slices_worse` has
    those that lost too much by their names.
    """

    rows: int
    confidence: float
    degraded: bool
    policy: str
    servability: Servability | None = None
    floor_gain: Bound | None = None
    floor_known: bool = False
    log_loss: LogLosses | None = None
    gain: Bound | None = None
    accuracy_gain: Bound | None = None
    regression_gain: Bound | None = None
    slices_checked: int | None = None
    slices_worse: dict[str, Bound] | None = None
    notes: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, a sentence, every reason, and the numbers behind them."""

    promote: bool
    message: Message
    messages: list[Message]
    numbers: GateNumbers

    @property
    def sentence(self) -> str:
        """The verdict in English."""
        return self.message.text

    @property
    def reasons(self) -> list[str]:
        """Every reason in English."""
        return [reason.text for reason in self.messages]

    def to_dict(self) -> dict[str, Any]:
        """Content of gate.json."""
        return {**msgspec.to_builtins(self), "sentence": self.sentence, "reasons": self.reasons}


class _Bounds(NamedTuple):
    """Bounds of means over some of the rows, weighed alike everywhere."""

    settings: Gate
    weight: npt.NDArray[np.float64]  # (n_rows,)
    seed: int

    def of(self, d: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], *, tests: int = 1) -> Bound:
        """Of the mean of `d` (n_rows,) over `rows`."""
        return bound(
            d[rows], confidence=self.settings.confidence, n_bootstrap=self.settings.n_bootstrap, seed=self.seed,
            tests=tests, weight=self.weight[rows],
        )  # fmt: skip

    def mean(self, values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]) -> float:
        """Of `values` (n_rows,) over `rows`."""
        return float(np.average(values[rows], weights=self.weight[rows])) if self.weight[rows].any() else 0.0


def judge(
    challenger: Floats,
    champion: Floats | None,
    y: npt.NDArray[np.int64],
    *,
    settings: Gate,
    parts: Mapping[str, Rows] | None = None,
    prior: Floats | None = None,
    slices: Mapping[Text, Rows] | None = None,
    servability: Servability | None = None,
    incomparable: Sequence[Text] = (),
    degraded: bool = False,
    challenger_beats_champion: bool = False,
    floor_known: bool = False,
    weight: Floats | None = None,
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
        "recent": the rows that decide (the newest labelled ones); "regression": the fixed old ones that must
        not be forgotten; "floor": more rows on which the floor may be shown, where the recent ones are too few.
        Without "recent" all rows decide; without "regression" nothing is remembered.
    prior
        (n_classes,) shares of the classes in training: the floor. None: the shares in `y`.
    slices
        Named parts of the rows (`ml.evaluation.slices`).
    incomparable
        Why the champion that serves has no probabilities here; empty where it has, or where none serves.
    degraded
        The champion's labelled performance is known to have dropped.
    challenger_beats_champion
        The champion is known to lose to models of newer rows: that is proved, and the regression rows tell of a world
        that has passed.
    floor_known
        The champion is of the challenger's family, and has been shown to be above the floor.
    weight
        (n_rows,) inverse propensities, where the labelled rows are no sample (`ml.exploration.weights`): every mean is
        weighed by them. None: all rows alike.
    """
    y = np.asarray(y, dtype=np.int64)
    reasons: list[Message] = _servability(servability, settings)
    loss = log_losses(challenger, y, GATE_FLOOR)
    everything = np.arange(len(y))
    recent = _rows((parts or {}).get("recent"), everything)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    bounds = _Bounds(settings, w, seed)
    asked, floor_gain = _asked_for_floor(loss, y, recent, (parts or {}).get("floor"), prior, bounds)
    below = _below_floor(floor_gain if len(recent) else None, settings)
    numbers = GateNumbers(
        rows=len(y),
        confidence=settings.confidence,
        degraded=degraded,
        policy=settings.policy,
        servability=servability,
        floor_gain=floor_gain,
    )
    if incomparable:
        return _verdict([*reasons, message("gate.incomparable", why=incomparable), *below], numbers, settings)
    if champion is None or reasons or not len(recent):
        return _verdict(reasons + below, numbers, settings, first=champion is None)
    gain = log_losses(champion, y, GATE_FLOOR) - loss
    right = (challenger.argmax(axis=1) == y).astype(float) - (champion.argmax(axis=1) == y)
    better = bounds.of(gain, recent)
    accuracy = bounds.of(right, recent)
    theirs = _floor_gain(gain + loss, y, asked, prior, bounds)
    lost_by_both = degraded and better.lower > 0 and _below_floor(theirs, settings)
    floor_known = bool(below) and floor_known and floor_gain is not None and floor_gain.upper > settings.floor_gain
    if not (lost_by_both or floor_known):
        reasons += below
    reasons += _against_champion(better, accuracy, settings, degraded, challenger_beats_champion)
    remembered = _rows((parts or {}).get("regression"), everything[:0])
    regression_gain = bounds.of(gain, remembered) if len(remembered) else None
    if regression_gain is not None and not ((degraded or challenger_beats_champion) and better.lower > 0):
        reasons += _forgets(regression_gain, settings)
    checked, worse = _worse_slices(gain, slices or {}, bounds)
    reasons += _slices(worse)
    numbers = msgspec.structs.replace(
        numbers,
        floor_known=floor_known,
        log_loss=LogLosses(challenger=bounds.mean(loss, recent), champion=bounds.mean(gain + loss, recent)),
        gain=better,
        accuracy_gain=accuracy,
        regression_gain=regression_gain,
        slices_checked=checked,
        slices_worse={str(name): bound for name, bound in worse.items()},
    )
    return _verdict(reasons, numbers, settings, first=False)


def _rows(rows: Rows | None, otherwise: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if rows is None:
        return otherwise
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)


def _servability(found: Servability | None, settings: Gate) -> list[Message]:
    if found is None:
        return []
    out = [message("gate.not_servable", reason=found.problem)] if found.problem else []
    if found.latency_ms > settings.max_latency_ms:
        out.append(message("gate.too_slow", ms=found.latency_ms, allowed=settings.max_latency_ms))
    if found.bundle_mb > settings.max_bundle_mb:
        out.append(message("gate.too_large", mb=found.bundle_mb, allowed=settings.max_bundle_mb))
    return out


def _asked_for_floor(
    loss: npt.NDArray[np.float64],
    y: npt.NDArray[np.int64],
    recent: npt.NDArray[np.int64],
    more: Rows | None,
    prior: Floats | None,
    bounds: _Bounds,
) -> tuple[npt.NDArray[np.int64], Bound | None]:
    """The rows on which the floor is shown, and by how much; where on none of them, the larger part.

    A model of a changed world is right on the recent rows alone, one with few positives among them shows what it knows
    on more: either is enough, and the two looks are paid for.
    """
    if more is None:
        return recent, _floor_gain(loss, y, recent, prior, bounds)
    looks = [(rows, _floor_gain(loss, y, rows, prior, bounds, tests=2)) for rows in (recent, _rows(more, recent))]
    shown = [(rows, gain) for rows, gain in looks if gain is not None and gain.lower > bounds.settings.floor_gain]
    return shown[0] if shown else looks[-1]


def _floor_gain(
    loss: npt.NDArray[np.float64],
    y: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    prior: Floats | None,
    bounds: _Bounds,
    *,
    tests: int = 1,
) -> Bound | None:
    """How much better than answering the class shares on some rows; None without any."""
    if not len(rows):
        return None
    counts = np.bincount(y[rows], bounds.weight[rows], minlength=int(y.max()) + 1)
    shares = counts / counts.sum() if prior is None else np.asarray(prior)
    return bounds.of(log_losses_of_label(shares[y], GATE_FLOOR) - loss, rows, tests=tests)


def _below_floor(gain: Bound | None, settings: Gate) -> list[Message]:
    """Must beat answering the class shares, by `floor_gain`, with confidence."""
    if gain is None:
        return [message("gate.no_rows")]
    if gain.lower > settings.floor_gain:
        return []
    values = {"gain": gain.mean, "lower": gain.lower, "asked": settings.floor_gain}
    if gain.rows < settings.min_rows:
        return [message("gate.below_floor_few", n=gain.rows, **values)]
    return [message("gate.below_floor", **values)]


def _against_champion(
    better: Bound, accuracy: Bound, settings: Gate, degraded: bool, challenger_beats_champion: bool
) -> list[Message]:
    if better.rows < settings.min_rows:
        return [message("gate.too_few_rows", n=better.rows, needed=settings.min_rows)]
    out = []
    values = {"gain": better.mean, "lower": better.lower}
    if degraded or challenger_beats_champion:
        if better.lower <= -settings.margin:
            code = "gate.worse_than_degraded" if degraded else "gate.worse_than_outdone"
            code = code if better.upper < 0 else "gate.not_shown_as_good"
            out.append(message(code, asked=-settings.margin, **values))
    elif better.upper < 0:
        out.append(message("gate.worse", loss=-better.mean))
    elif better.lower <= 0:
        out.append(message("gate.indistinguishable", n=better.rows, upper=better.upper, **values))
    if accuracy.upper < -settings.accuracy_margin:
        out.append(message("gate.accuracy_lower", points=-100 * accuracy.mean))
    return out


def _forgets(gain: Bound, settings: Gate) -> list[Message]:
    """Worse on the regression rows by more than `golden_margin`."""
    if gain.upper >= -settings.golden_margin:
        return []
    values = {"loss": -gain.mean, "lower": -gain.upper, "allowed": settings.golden_margin}
    return [message("gate.forgets", n=gain.rows, **values)]


def _worse_slices(
    gain: npt.NDArray[np.float64], slices: Mapping[Text, Rows], bounds: _Bounds
) -> tuple[int, dict[Text, Bound]]:
    """How many slices have at least `slice_min_rows` rows and 5% of all, and which lose more than `slice_margin`."""
    n, settings = len(gain), bounds.settings
    everything = np.arange(n)
    large = {name: _rows(rows, everything) for name, rows in slices.items()}
    large = {name: rows for name, rows in large.items() if len(rows) >= max(settings.slice_min_rows, 0.05 * n)}
    found = {name: bounds.of(gain, rows, tests=len(large)) for name, rows in large.items()}
    return len(large), {name: one for name, one in found.items() if one.upper < -settings.slice_margin}


def _slices(worse: Mapping[Text, Bound]) -> list[Message]:
    # A bad challenger is bad everywhere: the sentence names the worst, the numbers hold all.
    ranked = sorted(worse.items(), key=lambda item: item[1].mean)
    out = [
        message("gate.worse_slice", where=name, n=found.rows, loss=-found.mean) for name, found in ranked[:NAMED_SLICES]
    ]
    more = len(ranked) - NAMED_SLICES
    return out + ([message("gate.more_worse_slices", n=more)] if more > 0 else [])


def _verdict(reasons: list[Message], numbers: GateNumbers, settings: Gate, *, first: bool = False) -> Verdict:
    blocked = any(reason.code in NOT_SERVABLE for reason in reasons)
    if settings.policy == "never":
        return _made(False, message("gate.never"), reasons, numbers)
    if settings.policy == "always" and not blocked:
        whole = message("gate.always_although", reasons=reasons) if reasons else message("gate.always")
        return _made(True, whole, reasons, numbers)
    if reasons:
        return _made(False, message("gate.refused", reasons=reasons), reasons, numbers)
    whole = _first(numbers, settings) if first else _better(numbers, settings)
    return _made(True, whole, [whole], numbers)


def _first(numbers: GateNumbers, settings: Gate) -> Message:
    floor = numbers.floor_gain
    assert floor is not None  # without rows there is a reason against it
    return message("gate.first", gain=floor.mean, lower=floor.lower, n=floor.rows, sure=settings.confidence)


def _better(numbers: GateNumbers, settings: Gate) -> Message:
    gain, loss = numbers.gain, numbers.log_loss
    assert gain is not None  # they were compared
    assert loss is not None
    values = {"n": gain.rows, "gain": gain.mean, "lower": gain.lower, "sure": settings.confidence}
    if gain.lower > 0:
        return message("gate.better", loss=loss.challenger, old=loss.champion, **values)
    code = "gate.not_worse_than_degraded" if numbers.degraded else "gate.not_worse_than_outdone"
    return message(code, margin=settings.margin, **values)


def _made(promote: bool, whole: Message, reasons: list[Message], numbers: GateNumbers) -> Verdict:
    return Verdict(promote=promote, message=whole, messages=reasons, numbers=numbers)
