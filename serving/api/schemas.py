"""The schemas of the service's JSON answers, as types: `/openapi.json` is made from them.

The routes build plain dictionaries, which is faster; a test decodes real answers strictly as these types,
so neither can change without the other.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1)]


class Answer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base: an answer has exactly the declared fields."""


class Warning(Answer):
    """A value that was scored although training never saw its like."""

    column: str
    code: Annotated[str, Meta(description="unseen_category, out_of_range or not_a_number")]
    message: str


class Prediction(Answer):
    """One row's answer. `warnings` is there only where a value was unusual."""

    prediction_id: str
    label: Annotated[str, Meta(description="the decided class, by the model's threshold where it has one")]
    probability: Annotated[Probability, Meta(description="of `label`")]
    probabilities: Annotated[dict[str, Probability], Meta(description="of every class")]
    positive_probability: Annotated[
        Probability | None, Meta(description="of the positive label, whatever was answered; only where there is one")
    ] = None
    warnings: list[Warning] = []
    action: Annotated[str | None, Meta(description="what follows by explore.policy; only where there is one")] = None
    propensity: Annotated[Probability | None, Meta(description="of `action` for this row")] = None


class Predictions(Answer):
    """The answer of POST /predict: one prediction a row, in the order of the rows, all by one version."""

    model_version: str
    predictions: list[Prediction]


class TableWarning(Answer):
    """What was noticed about a table, or how many of its rows had an unusual value in a column."""

    column: str
    code: Annotated[str, Meta(description="what was noticed, for machines; unseen_category, for one")]
    message: str


class FilePredictions(Answer):
    """The answer of POST /predict/file as JSON."""

    predictions: list[Prediction]
    model_version: str
    rows: int
    warnings: list[TableWarning]


class Attribution(Answer):
    """One column's share of a score, in log-odds, and of the probability, in [-1, 1]. The standard error is that of the
    log-odds, 0 where the method is exact."""

    column: str
    value: float | str | None
    attribution: float
    probability_share: float
    standard_error: Annotated[float, Meta(ge=0, description="how far it may be from the value against all these rows")]


class Change(Answer):
    """One column's nearest value that gives another label; `distance` is a share of the range seen in training."""

    column: str
    old: float | str | None
    new: float | str
    label: str
    probability: Annotated[Probability, Meta(description="of the new label")]
    distance: Annotated[float, Meta(ge=0)]


class Explanation(Answer):
    """score = baseline + sum of the attributions; log-odds of `explained_class`. The largest share comes first."""

    label: str
    probability: Probability
    explained_class: str
    score: float
    baseline: Annotated[float, Meta(description="mean score of the background rows")]
    method: Annotated[str, Meta(description="additive or exact (no error), or permutation (sampled)")]
    background_rows: Annotated[int, Meta(description="rows of the training data that the baseline is the mean of")]
    attributions: list[Attribution]
    changes: list[Change]
    warnings: list[Warning]


class Explanations(Answer):
    """The answer of POST /explain."""

    model_version: str
    explanations: list[Explanation]


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """What turned out to be true of one prediction."""

    prediction_id: Annotated[str, Meta(min_length=1, max_length=200)] | int
    label: str


class FollowingAction(msgspec.Struct, forbid_unknown_fields=True):
    """What followed one prediction."""

    prediction_id: Annotated[str, Meta(min_length=1, max_length=200)] | int
    action: Annotated[str, Meta(min_length=1, max_length=100)]
    propensity: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None, Meta(description="probability of this action for this row")
    ] = None


class Accepted(Answer):
    """The answer of POST /feedback and POST /actions: how many were taken, those that change nothing among them."""

    accepted: int


class Error(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One thing wrong with what came: `row` counts from 0 in a request, `line` from 1 in a file."""

    expected: str
    got: str
    expected_code: str = ""
    got_code: str = ""
    row: int | None = None
    column: str | None = None
    line: int | None = None


class Problem(Answer):
    """RFC 9457: what was expected, what came, and where. `type` is `urn:refit:` and the code of what is wrong."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    errors: list[Error] = []


class Model(Answer):
    """The version in service. `example` is a row that POST /predict takes as it is; `answers`, how they are made."""

    model_version: str
    sha256: str
    schema: dict[str, Any]
    decision: dict[str, Any]
    answers: list[str]
    metrics: dict[str, Any]
    gate: dict[str, Any] | None
    example: dict[str, float | str | None]


class MlflowPredictions(Answer):
    """MLflow's answer: label, probability and probability_<class> of each row; and what made them."""

    predictions: list[dict[str, float | str]]
    model_version: str
    prediction_ids: list[str]


class MlflowError(Answer):
    """MLflow's form of an error."""

    error_code: str
    message: str


class OipError(Answer):
    """The Open Inference Protocol's form of an error."""

    error: str


class Tensor(msgspec.Struct, omit_defaults=True):
    """A tensor of the Open Inference Protocol; `data` row-major, absent where it follows as binary."""

    name: str
    shape: list[Annotated[int, Meta(ge=-1)]]
    datatype: str
    # `items` is said although anything goes: generators of clients drop a route with an array that has none.
    data: Annotated[list[Any], Meta(extra_json_schema={"items": {}})] | None = None
    parameters: dict[str, Any] | None = None


class Inference(Answer):
    """The answer of POST /v2/models/{name}/infer."""

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str = ""
