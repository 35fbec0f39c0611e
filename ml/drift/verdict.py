"""What a check finds, as data: light to import, for everything that reads verdicts."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ml.charts.histograms import Histogram
from ml.exploration.label_coverage import Coverage
from ml.messages import Message, Text, code_of, english, message

Verdict = Literal["insufficient data", "stable", "drift", "degraded", "broken data"]

PREDICTION = "prediction"  # name and kind of the finding about the model's own scores: a column may have the name too


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the tests said about one column. Shares, effects and p-values in [0, 1]."""

    column: str
    kind: str
    method: str
    effect: float = 0.0
    p: float = 1.0
    missing_reference: float = 0.0
    missing_current: float = 0.0
    new_share: float = 0.0
    drifted: bool = False
    broken: bool = False
    reasons: list[Text] = []

    @property
    def of_predictions(self) -> bool:
        """Whether it is about the model's own scores, and no column of the table."""
        return self.kind == PREDICTION


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Measured on labelled rows of the champion. Accuracies in [0, 1], log-loss in nats, delays in seconds."""

    labels: int
    effective_labels: float | None = None  # what the labels are worth, weighed by inverse propensity; None: not weighed
    coverage: float | None = None
    delay_s: float | None = None
    unknown_labels: int = 0
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    reference_accuracy: float | None = None
    log_loss: float | None = None
    reference_log_loss: float | None = None
    accuracy_drop_at_least: float | None = None
    log_loss_rise_at_least: float | None = None
    judged: bool = False  # enough labels that no earlier check has judged
    labels_until: float = 0.0  # the newest of the labels that were judged came at this moment
    degraded: bool = False
    large: bool = False
    reasons: list[Text] = []


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """One metric guessed from the scores alone, and how far such a guess was off where labels have come since.

    `value` is of the window's rows, `reference` was measured at the promotion; `guessed` and `measured` are of the same
    labelled rows of the champion, None without any. `cost` is the mean of a row.
    """

    value: float
    reference: float
    guessed: float | None = None
    measured: float | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Performance guessed from the scores alone: an estimate, blind to a changed relation of inputs and label.

    `metrics` has every headline metric, and `cost` where there are costs; `labels` is how many labelled rows say how
    far the guesses are off.
    """

    accuracy: float | None = None
    metrics: dict[str, Estimated] = {}
    labels: int = 0
    drop_at_least: float | None = None
    dropped: bool = False
    reasons: list[Text] = []


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What quick models of one window and family, fitted anew at each check, did since the promotion. Sums in nats."""

    rows: int = 0  # labelled rows that it answered
    gain: float = 0.0  # sum of the champion's loss minus its own
    log_wealth: float = 0.0  # of the bet on it, from whichever check on (`ml.retraining.e_process`)
    over_all: float = 0.0  # sum of the loss of the same family on all rows minus its own, where both answered …
    over_all_squares: float = 0.0  # … and of its squares
    over_all_rows: int = 0


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What quick models of one window did beside those of all rows, over the checks of all champions; old ones fade."""

    rows: float = 0.0  # labelled rows that both answered
    over_all: float = 0.0  # sum of the loss on all rows minus its own, nats, of each check's best family


class FreshModelProbe(msgspec.Struct, frozen=True, kw_only=True):
    """What quick models of older rows would have made of the labels since the champion's promotion. Nats.

    `rows`, `gains` and `gain` are of the labels of this check alone, `record` is of all champions, the others of all
    labels since the promotion.
    """

    rows: int = 0  # judged on; 0: not asked
    gains: dict[str, tuple[float, float]] = {}  # model → mean gain over the champion, and its standard error
    model: str = ""  # the best, over all labels since the promotion: `window (family)`
    windows: int = 0  # checks of this champion that were taken together
    labels: int = 0  # labelled rows that were taken together, each once
    labels_until: float = 0.0  # the newest of them came at this moment, seconds
    gain: float | None = None  # of `model`
    evidence: float = (
        0.0  # nats, that newer models know more; e^-4.6 = 1% is the chance to see 4.6 in a world unchanged
    )
    rehearsals: dict[str, Rehearsal] = {}  # model → its sums
    record: dict[str, WindowRecord] = {}  # window → how it did beside all rows
    challenger_beats_champion: bool = False
    problem: Text = ""  # why champion and newer rows could not be compared, which is not the same as no newer rows
    reasons: list[Text] = []


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What one window says, kept with its check: later checks count these."""

    degraded: bool = False
    challenger_beats_champion: bool = False  # models of newer rows do better, by the evidence since the promotion
    drifted: bool = False  # enough drift to stand in for missing labels
    judged: bool = False  # enough new labels came to judge performance


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger in shadow, as a check found it. Accuracies and agreement in [0, 1], None without labelled rows.

    `rows` of the `needed` labelled live rows have come; it is refused after `until` (seconds).
    """

    version: str
    champion: str
    state: Literal["waits", "promoted", "refused"] = "waits"
    rows: int = 0
    needed: int = 0
    accuracy: float | None = None  # of the challenger
    champion_accuracy: float | None = None  # on the same rows
    agreement: float | None = None  # share of rows on which both decide alike
    since: float = 0.0
    until: float = 0.0

    @property
    def message(self) -> Message:
        """How it stands, for people."""
        codes = {"waits": "release.waits", "promoted": "release.left_shadow", "refused": "release.refused_in_shadow"}
        came: dict[str, Any] = {"n": self.rows, "needed": self.needed}
        if self.accuracy is None or self.champion_accuracy is None:
            progress = message("release.labels_came", **came)
        else:
            right = {"accuracy": self.accuracy, "old": self.champion, "before": self.champion_accuracy}
            progress = message("release.labels_came_right_on", **came, **right)
        return message(codes[self.state], version=self.version, progress=progress)

    @property
    def sentence(self) -> str:
        """The message in English."""
        return self.message.text


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions that were looked at: `start` <= time <= `end`, seconds; None without rows."""

    start: float | None = None
    end: float | None = None
    rows: int = 0


class DriftVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    `time` in seconds; `retrain` says whether a retraining should start and `decision` why or why not, once `decided`
    (`ml.monitoring.retraining_decision`); `coverage` has the labels by score, and `notes` say what the labelled rows
    are a sample of; `numbers` are the figures that go to MLflow; `report` maps "html" and "json" to files (empty
    without one).
    """

    id: str
    time: float
    verdict: Verdict
    retrain: bool
    reasons: list[Text]
    model_version: str
    model_sha256: str = ""  # of its bundle: another registry has the number too
    decision: Text = ""
    decided: bool = True
    window: Window = Window()
    signals: Signals = Signals()
    findings: list[Finding] = []
    histograms: tuple[Histogram, ...] = ()
    performance: Performance = msgspec.field(default_factory=lambda: Performance(labels=0))
    estimate: Estimate = msgspec.field(default_factory=Estimate)
    fresh_model_probe: FreshModelProbe = msgspec.field(default_factory=FreshModelProbe)
    shadow: Shadow | None = None
    coverage: Coverage = Coverage()
    notes: list[Text] = []
    numbers: dict[str, float] = {}
    report: dict[str, str] = {}
    alerts: list[Text] = []

    @property
    def effects(self) -> dict[str, float]:
        """Effect by column, and under `prediction` that of the model's scores: a column so called gets a "_"."""
        found: dict[str, float] = {}
        for finding in sorted(self.findings, key=lambda f: not f.of_predictions):
            name = finding.column
            while name in found:
                name += "_"
            found[name] = finding.effect
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able and small, whatever the number of columns: of the findings, the 20 that tell most.

        Reasons are told in English; `codes` has those of the reasons and of the decision.
        """
        telling = sorted(self.findings, key=lambda f: (not f.broken, not f.drifted, -f.effect))[:20]
        short = msgspec.structs.replace(self, findings=telling, reasons=self.reasons[:20], histograms=())
        record: dict[str, Any] = english(msgspec.to_builtins(short))
        codes = {"reasons": [code_of(reason) for reason in short.reasons], "decision": code_of(self.decision)}
        return record | {"codes": codes, "sentence": self.sentence}

    @property
    def summary(self) -> str:
        """What was found, in one line for people."""
        noted = f" ({'; '.join(map(str, self.notes))})" if self.notes else ""
        return f"{self.verdict}: {'; '.join(map(str, self.reasons[:3]))}{noted}."

    @property
    def sentence(self) -> str:
        """What was found and what follows from it, in one line for people."""
        if not self.decided:
            return self.summary
        return f"{self.summary} Retrain: {'yes' if self.retrain else 'no'}, {self.decision}"
