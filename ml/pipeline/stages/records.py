"""What the stages hand each other: one frozen record a stage, kept as `var/runs/<run_key>/<stage>.json`.

Each record names its stage and its format; one of another stage or format is not read
(`ml.pipeline.workspace.Workspace.result`). Light on purpose: commands import it to print a result.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from ml.data.manifest import Labelled
from ml.messages import Message, Text
from ml.models.base import Params
from ml.origin import Origin
from ml.schema.findings import Finding
from ml.training.candidate import CandidateSpec
from ml.training.course_grid import GridPoint

MOST_FINDINGS = 50  # of a table, in its record; our choice
INCOMPARABLE = "gate.incomparable"  # of `ml.messages.gate`


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the pipeline's functions return."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, as `--json` prints it and an Airflow task returns it.

        >>> Move(what="promoted", version="2", from_version="1", why="", who="ann", message="").to_dict()["version"]
        '2'
        """
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))  # no tuples, no NaN
        return plain | {
            name: getattr(self, name)
            for name in ("sentence", "reasons", "policy_reason", "warnings")
            if hasattr(self, name)
        }


class _Told:
    """What records share that say in a message what came of it."""

    __slots__ = ()
    message: Text

    @property
    def sentence(self) -> str:
        """The message in English."""
        return str(self.message)


class StageRecord(Record, frozen=True, kw_only=True, tag_field="stage"):
    """Base of the stages' records. `seconds` is the wall time of the stage; the decorator fills both fields in.

    `made` are the files and folders that the stage makes for others, below the home: what machines without a shared
    disk hand on. A snapshot and the trials of a search are kept by their own.
    """

    made: ClassVar[tuple[str, ...]] = ()
    format: Literal[2] = 2
    run_key: str = ""
    seconds: float = 0.0

    @classmethod
    def stage_name(cls) -> str:
        """The stage's name, which is its command, its Airflow task and its file too.

        >>> TuningRecord.stage_name()
        'tune'
        """
        return str(cls.__struct_config__.tag)


class SnapshotRecord(StageRecord, frozen=True, kw_only=True, tag="generate"):
    """generate: the snapshot, what it holds, and what started the run.

    `contract_of` is the version whose columns and classes the table was held against, "" where they were found anew.
    `rows` counts all rows, `parts` those of each part; `labelled` tells of the production rows that were added;
    `policy` is which of them are trained on, and `policy_message` why; `found` tells a person of the table;
    `noticed` is what was found in it as sentences, and `report` as findings, the first `MOST_FINDINGS` of them.
    """

    made: ClassVar[tuple[str, ...]] = ("var/runs/{run}/settings.json",)

    snapshot: str
    rows: int
    parts: dict[str, int]
    contract_of: str = ""
    columns: int
    target: str
    classes: tuple[str, ...]
    labelled: Labelled
    policy: str
    policy_message: Message
    noticed: tuple[Text, ...]
    found: tuple[Message, ...] = ()
    report: tuple[Finding, ...] = ()
    origin: Origin
    run_id: str
    mlflow_url: str

    @property
    def policy_reason(self) -> str:
        """Why it is that policy, in English."""
        return self.policy_message.text

    @property
    def warnings(self) -> list[str]:
        """What was noticed of the table, in English."""
        return list(map(str, self.noticed))


class FittedCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate of `train`. `scores` are of the validation rows, empty where `error` says why it was not fitted.

    `kind` is "grid" or "baseline"; `seconds` is the wall time of its fit.
    """

    kind: str
    family: str
    params: Params
    scores: dict[str, float | None] = {}
    seconds: float = 0.0
    error: str = ""


class TrainingRecord(StageRecord, frozen=True, kw_only=True, tag="train"):
    """train: every candidate with its scores, and where the families' baselines were saved (`saved`).

    `left_out_regression` counts training rows that equal a regression row; with `beside_report` the grid is shown
    beside the course report's numbers.
    """

    made: ClassVar[tuple[str, ...]] = ("var/runs/{run}/figures", "models/{run}/baseline-*")

    candidates: tuple[FittedCandidate, ...]
    grid: tuple[GridPoint, ...]
    beside_report: bool
    validation_rows: int
    saved: dict[str, str]
    left_out_regression: int
    mlflow_url: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the winner: its family and its share of the blend, (0, 1]."""

    family: str
    weight: float


class TuningRecord(StageRecord, frozen=True, kw_only=True, tag="tune"):
    """tune: the winner, its held-out log-loss beside the best baseline's (nats), and counts of trials."""

    made: ClassVar[tuple[str, ...]] = ("var/runs/{run}/tune/held_out.npz", "var/runs/{run}/tune/trials.json")

    best: CandidateSpec
    best_loss: float
    baseline_loss: float | None
    members: tuple[Member, ...]
    fit_on_all: bool
    trials: int
    pruned: int
    failed: int
    mlflow_url: str


class EvaluationRecord(_Told, StageRecord, frozen=True, kw_only=True, tag="evaluate"):
    """evaluate: the bundle, its test metrics (None: undefined on these rows) and the gate's verdict.

    `no_skill` and `at_half` are those of metrics.json; `told` says how an answer is made, and its precision and recall
    in counts. `messages` are the gate's reasons; `champion` is the version it was judged against, "" for none,
    `champion_sha256` the hash of that one's bundle, `degraded` and `outdone` what the drift checks knew of it
    (`ml.retraining.standing`); `bundle` and `model` are relative to the home.
    """

    made: ClassVar[tuple[str, ...]] = (
        "var/runs/{run}/bundle",
        "var/runs/{run}/bundle.judged",
        "var/runs/{run}/fitted_rows",
        "models/{run}/chosen",
    )

    bundle: str
    sha256: str
    model: str
    family: str
    promote: bool
    message: Text
    messages: tuple[Message, ...]
    champion: str
    champion_sha256: str = ""
    degraded: bool = False
    outdone: bool = False
    metrics: dict[str, float | None]
    no_skill: dict[str, float] = {}
    at_half: dict[str, float] = {}
    told: tuple[Message, ...] = ()
    run_id: str
    mlflow_url: str

    @property
    def reasons(self) -> list[str]:
        """Every reason of the gate in English."""
        return [reason.text for reason in self.messages]

    @property
    def incomparable(self) -> bool:
        """There is a champion, and it cannot be compared, whatever the policy made of that: a person may decide."""
        return any(reason.code == INCOMPARABLE for reason in self.messages)


class RegistrationRecord(_Told, StageRecord, frozen=True, kw_only=True, tag="register"):
    """register: the version that the judged bundle became, and the verdict again, for a person who approves."""

    version: str
    model_uri: str
    sha256: str
    promote: bool
    message: Text
    version_url: str
    mlflow_url: str


class PromotionRecord(_Told, StageRecord, frozen=True, kw_only=True, tag="promote"):
    """promote: whether the version serves now (`promoted`), waits in shadow (`shadow`), or neither.

    `champion` is the version that serves in the end, "" for none; `replaced` the one that served before a promotion.
    """

    version: str
    promoted: bool
    champion: str
    message: Text
    shadow: bool = False
    replaced: str = ""
    version_url: str = ""
    mlflow_url: str = ""


class Move(_Told, Record, frozen=True, kw_only=True):
    """A move of the alias that a person asked for: `what` is the ledger's word, the versions are from and to."""

    what: str
    version: str
    from_version: str
    why: str
    who: str
    message: Text
    version_url: str = ""


# In the order of the pipeline.
RECORDS: tuple[type[StageRecord], ...] = (
    SnapshotRecord,
    TrainingRecord,
    TuningRecord,
    EvaluationRecord,
    RegistrationRecord,
    PromotionRecord,
)
