"""From rows to an answer: the one way that every protocol of the service scores.

`POST /predict` on the Flask route and on the fast path, `/predict/file`, MLflow's protocol and the Open
Inference Protocol all call `score`; they differ in how they read rows and how they write the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.bundle.reader import Bundle
from ml.exploration.policy import Action, Policy
from ml.messages import message
from ml.schema.rows import RowReader, Rows
from ml.schema.schema import Schema
from ml.settings.sections import Serving
from serving.ids import prediction_ids
from serving.problems import Problem
from serving.scoring.json_rows import Ids, PredictBody

VERSION_HEADER = "X-Model-Version"
CHUNK_ROWS = 2_048  # a large array is 2.4 times slower in one run than in chunks that fit the cache (measured)


class ServedModel(Protocol):
    """What scoring needs of the model store's `Served`."""

    @property
    def version(self) -> str: ...

    @property
    def bundle(self) -> Bundle: ...

    @property
    def derived(self) -> dict[str, Any]: ...


class Scored(msgspec.Struct, frozen=True, gc=False):
    """Scored rows, all by one version.

    `ids` has one prediction id a row; `labels` one class a row; `probabilities` is (n, C) float32 in the order
    of `schema.classes`; `chosen` is (n,) float32, the probability of the answered label. `actions` has what follows
    each, where the settings have a policy, and is empty where they have none.
    """

    version: str
    schema: Schema
    rows: Rows
    ids: list[str]
    labels: list[str]
    probabilities: npt.NDArray[np.float32]
    chosen: npt.NDArray[np.float32]
    actions: tuple[Action | None, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def positive(self) -> int | None:
        """The column of `probabilities` that is the positive label's; None where there is no such label."""
        classes, label = self.schema.classes, self.schema.positive_label
        return classes.index(label) if label in classes else None


def reader(served: ServedModel) -> RowReader:
    """The row reader of a served version, made once."""
    rows: RowReader | None = served.derived.get("rows")
    if rows is None:
        rows = served.derived.setdefault("rows", RowReader(served.bundle.schema))
    return rows


def predict_body(served: ServedModel, limits: Serving) -> PredictBody:
    """The reader of `/predict` bodies for a served version, made once."""
    body: PredictBody | None = served.derived.get("predict_body")
    if body is None:
        new = PredictBody(reader(served), max_rows=limits.max_rows, max_values=limits.max_json_values)
        body = served.derived.setdefault("predict_body", new)
    return body


def predict(served: ServedModel, body: bytes, limits: Serving) -> Scored:
    """Read and score a `POST /predict` body.

    Parameters
    ----------
    body
        JSON, unpacked.
    limits
        Of rows and values.

    Raises
    ------
    Problem, RowsError
        As `PredictBody.read` and `score`; nothing was scored then.
    """
    rows, ids = predict_body(served, limits).read(body)
    return score(served, rows, ids)


def score(served: ServedModel, rows: Rows, ids: Ids | None = None) -> Scored:
    """Score canonical rows; ids that the caller did not give are made.

    Raises
    ------
    Problem
        422 where the model gives no finite probability, which a gated model never did.
    """
    bundle = served.bundle
    n, schema = len(rows), bundle.schema
    probabilities = run(bundle, rows) if n > 1 else bundle.run(rows.numbers, rows.categories)
    if n == 1:  # the same without arrays, whose overhead is most of it for one row
        row = probabilities[0].tolist()
        _check_finite(sum(row), probabilities)
        code = bundle.decision.code(row, schema)
        labels, chosen = [schema.classes[code]], probabilities[0, code : code + 1]
    else:
        _check_finite(np.add.reduce(probabilities, axis=None), probabilities)
        codes = bundle.decision.codes(probabilities, schema)
        labels = list(map(schema.classes.__getitem__, codes.tolist()))
        chosen = probabilities[np.arange(n), codes]
    return Scored(served.version, schema, rows, _filled(ids, n), labels, probabilities, chosen)


def acted(scored: Scored, policy: Policy) -> Scored:
    """With what the policy lets follow each answer."""
    actions = tuple(map(policy.act, scored.labels, scored.ids))
    return Scored(
        scored.version, scored.schema, scored.rows, scored.ids, scored.labels, scored.probabilities, scored.chosen,
        actions,
    )  # fmt: skip


def _check_finite(total: float, probabilities: npt.NDArray[np.float32]) -> None:
    if not math.isfinite(total):
        bad = int(np.argmin(np.isfinite(probabilities).all(axis=1)))
        raise Problem(422, message("requests.no_finite_probability", row=bad))


def chunks(served: ServedModel, rows: Rows) -> Iterator[Scored]:
    """Score many rows in the parts that score fastest, each to be recorded by itself."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield score(served, rows.part(start, start + CHUNK_ROWS))


def run(bundle: Bundle, rows: Rows) -> npt.NDArray[np.float32]:
    """(n, C) float32 calibrated probabilities; the same bits for a row alone and among others."""
    n = len(rows)
    if not n:
        return np.empty((0, len(bundle.schema.classes)), np.float32)
    if n <= CHUNK_ROWS:
        return bundle.run(rows.numbers, rows.categories)
    parts = [rows.part(start, start + CHUNK_ROWS) for start in range(0, n, CHUNK_ROWS)]
    return np.concatenate([bundle.run(part.numbers, part.categories) for part in parts])


def _filled(ids: Ids | None, n: int) -> list[str]:
    if ids is None:
        return prediction_ids(n)
    return [given or made for given, made in zip(ids, prediction_ids(n), strict=True)]
