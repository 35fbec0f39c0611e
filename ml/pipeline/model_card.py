"""The model card: what the model is, what it was made from, how good it is and what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ml.data import summary
from ml.decision import Decision, of_metrics
from ml.evaluation.bootstrap import Interval
from ml.evaluation.report import Evaluation
from ml.gate.rules import Verdict
from ml.messages import Message, Text, message
from ml.messages.document import Block, Document, block, markdown
from ml.models.base import Params
from ml.schema.cells import iso, shortest
from ml.settings import Data

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot
    from ml.schema.schema import Column, Schema
    from ml.training.candidate import Candidate
    from ml.tuning import Trial

_SHOWN = 30  # columns of a table; the rest is in schema.json
MOST_NAMED = 10  # in a sentence


class ModelMetrics(Evaluation, frozen=True, kw_only=True):
    """Content of metrics.json: the evaluation on the test rows, and what was trained on what.

    `validation_log_loss` is the winner's over held-out rows (nats), `baseline_log_loss` the best untuned baseline's,
    None where none was complete; `importance` maps a column to its mean absolute Shapley value in log-odds, and is
    empty where it was not measured. `rows_trained` are those of the fit that is served, and `rows_judged_fit` those of
    the one that all figures are of; `fitted_rows` has the digests of the files of `ml.gate.fitted_rows`.
    """

    rows_trained: int
    rows_judged_fit: int
    snapshot: str
    run_key: str
    family: str
    params: Params
    seed: int
    validation_log_loss: float
    baseline_log_loss: float | None
    importance: dict[str, float]
    fitted_rows: dict[str, str] = msgspec.field(default_factory=dict)


def document(
    snapshot: Snapshot, candidate: Candidate, decision: Decision, metrics: ModelMetrics, verdict: Verdict,
    trials: Sequence[Trial], *, data: Data | None = None, most_rows: int = 0, policy: Message | None = None,
) -> Document:  # fmt: skip
    """The card by code, without its title: content of model_card.json.

    Parameters
    ----------
    data
        The settings that the table was read by: with them stand the commands that read it otherwise.
    most_rows
        Of the training and the validation part that learners read (`train.max_rows`); 0: all.
    policy
        Which labelled production rows were learned from, and why.
    """
    return [
        block("text", message("card.verdict", verdict=verdict.message)),
        *_section("card.model", _model(candidate, decision, metrics)),
        *_section("card.data", _data(snapshot, data or Data(), most_rows, policy)),
        *_section("card.quality", _scores(metrics, decision, snapshot.schema)),
        *_section("card.weakest", _slices(metrics)),
        *_section("card.importance", _importance(metrics.importance)),
        *_section("card.columns", _columns(snapshot.schema.columns)),
        *_section("card.search", [_search(metrics, trials)]),
        *_section("card.limits", [block("text", message("card.limits_text"))]),
    ]


def render(card: Document, snapshot: Snapshot, candidate: Candidate) -> str:
    """The card as Markdown (Mitchell et al. 2019, "Model Cards for Model Reporting")."""
    return f"# {snapshot.schema.target}: {candidate.spec.family}\n\n{markdown(card)}"


def _section(code: str, blocks: list[Block]) -> Document:
    return [block("heading", message(code)), *blocks]


def _model(candidate: Candidate, decision: Decision, metrics: ModelMetrics) -> list[Block]:
    rows = {"n": metrics.rows_trained, "judged": metrics.rows_judged_fit}
    lines = [
        message("card.family", family=candidate.spec.family, seed=candidate.spec.seed),
        message("card.parameters", n=candidate.model.describe().parameters),
        message("card.calibration", kind=decision.calibration.kind),
        *([message("card.final_fit", **rows)] if rows["n"] != rows["judged"] else []),
        message("card.settings", settings=json.dumps(candidate.spec.params, default=str)),
    ]
    return [block("item", line) for line in lines]


def _data(snapshot: Snapshot, data: Data, most_rows: int, policy: Message | None) -> list[Block]:
    manifest = snapshot.manifest
    columns = len(snapshot.schema.columns)
    lines = [
        message("card.snapshot", snapshot=snapshot.id, rows=manifest.rows, columns=columns),
        message("card.parts", parts=_counted(manifest.parts)),
        message("card.classes", classes=_counted(manifest.classes)),
    ]
    if sampled := summary.sampled(manifest, most_rows):
        lines.append(sampled)
    if manifest.time_range:
        lines.append(message("card.time", first=manifest.time_range[0], last=manifest.time_range[1]))
    if given := manifest.labelled.given:
        lines.append(message("card.labelled_in", n=manifest.labelled.added, given=given))
        lines += [policy] if policy and manifest.labelled.added else []
    lines += summary.noticed(manifest, data, escape=_plain)
    return [block("item", line) for line in lines]


def _counted(counts: dict[str, int]) -> list[Message]:
    """Of many the commonest: a sentence is no list of everything."""
    named = {name: count for name, count in counts.items() if count}
    if len(named) <= MOST_NAMED:
        return [message("card.counted", name=name, n=count) for name, count in named.items()]
    common = sorted(named.items(), key=lambda pair: -pair[1])[:MOST_NAMED]
    told = [message("card.counted", name=name, n=count) for name, count in common]
    return [*told, message("card.more", n=len(named) - len(common))]


def _scores(metrics: ModelMetrics, decision: Decision, schema: Schema) -> list[Block]:
    beside = {"card.no_skill": metrics.no_skill, "card.at_half": metrics.at_half}
    columns = {code: values for code, values in beside.items() if values}
    rows: list[list[Text]] = [[message("card.metric"), message("card.value"), *map(message, columns)]]
    rows += [
        [name, _interval(value), *(_figure(values.get(name)) for values in columns.values())]
        for name, value in metrics.metrics.items()
    ]
    told = of_metrics(decision, schema, msgspec.to_builtins(metrics))
    return [
        *(block("text", one) for one in told),
        block("text", message("card.test_rows", n=metrics.rows, confidence=metrics.confidence)),
        block("text", message("card.calibration_p", p=metrics.calibration_p_value)),
        Block("table", rows),
    ]


def _figure(value: float | None) -> Text:
    return "–" if value is None else message("card.figure", value=value)


def _interval(measured: Interval) -> Message:
    if measured.value is None:
        return message("card.undefined")
    if measured.low is None or measured.high is None:
        return message("card.figure", value=measured.value)
    return message("card.measured", value=measured.value, low=measured.low, high=measured.high)


def _slices(metrics: ModelMetrics) -> list[Block]:
    measured = [s for s in metrics.slices if s.metrics["log_loss"].value is not None]
    if not measured:
        return [block("text", message("card.no_slices"))]
    measured.sort(key=lambda s: -(s.metrics["log_loss"].value or 0.0))
    rows: list[list[Text]] = [
        [message("card.column"), message("card.rows_with"), message("card.rows"), "log-loss"],
    ]
    for metric in measured[:5]:
        count, loss = message("card.count", n=metric.rows), _interval(metric.metrics["log_loss"])
        rows.append([_escaped(metric.column), metric.shared or _escaped(metric.value), count, loss])
    return [Block("table", rows)]


def _importance(found: dict[str, float]) -> list[Block]:
    if not found:
        return [block("text", message("card.no_importance"))]
    rows: list[list[Text]] = [[message("card.column"), message("card.importance_of")]]
    rows += [[_escaped(name), message("card.moved", value=value)] for name, value in list(found.items())[:_SHOWN]]
    more = len(found) - _SHOWN
    return [
        block("text", message("card.importance_text")),
        Block("table", rows),
        *([block("text", message("card.more_importance", n=more))] if more > 0 else []),
    ]


def _columns(columns: Sequence[Column]) -> list[Block]:
    kinds = {"number": message("card.kind_number"), "category": message("card.kind_category")}
    kinds["date"] = message("card.kind_date")
    rows: list[list[Text]] = [
        [message("card.column"), message("card.kind"), message("card.seen"), message("card.missing")],
    ]
    rows += [
        [_escaped(c.name), kinds[c.kind], _range(c), message("card.share", share=c.missing_share)]
        for c in columns[:_SHOWN]
    ]
    more = len(columns) - _SHOWN
    return [Block("table", rows), *([block("text", message("card.more_columns", n=more))] if more > 0 else [])]


def _range(column: Column) -> Text:
    if column.kind == "date" and column.minimum is not None and column.maximum is not None:
        return message("evaluation.dates", low=iso(column.minimum), high=iso(column.maximum))
    if column.kind != "category":
        if column.minimum is None or column.maximum is None:
            return "–"
        return message("card.range", low=shortest(column.minimum), high=shortest(column.maximum))
    levels, more = [_escaped(level) for level in column.categories[:5]], len(column.categories) - 5
    return message("card.more_levels", levels=levels, n=more) if more > 0 else message("card.levels", levels=levels)


def _search(metrics: ModelMetrics, trials: Sequence[Trial]) -> Block:
    done = sum(trial.status == "ok" for trial in trials)
    known: dict[str, Any] = {"n": len(trials), "done": done, "best": metrics.validation_log_loss}
    baseline = metrics.baseline_log_loss  # None when no baseline was among the complete trials
    if baseline is None:
        return block("text", message("card.trials_alone", **known))
    return block("text", message("card.trials", baseline=baseline, **known))


def _escaped(text: str) -> str:
    """A customer's own text inside of a Markdown table."""
    return _plain(text)[:80]


def _plain(text: str) -> str:
    """A text without a meaning in Markdown, in one line."""
    return "".join("\\" + c if c in "\\|`*_<>[]#" else " " if c in "\r\n" else c for c in str(text))
