"""From rows to an answer: the one way that every protocol of the service scores.

`POST /predict` on the Flask route and on the fast path, `/predict/file`, MLflow's protocol and the Open
Inference Protocol all call `score`; they differ in how they read rows and how they write the answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.bundle import Bundle
from ml.rows import RowReader, Rows
from ml.schema import Schema
from serving.body import Ids, PredictBody
from serving.problems import Problem

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
    of `schema.classes`; `chosen` is (n,) float32, the probability of the answered label.
    """

    version: str
    schema: Schema
    rows: Rows
    ids: list[str]
    labels: list[str]
    probabilities: npt.NDArray[np.float32]
    chosen: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def reader(served: ServedModel) -> RowReader:
    """The row reader of a served version, made once."""
    found: RowReader | None = served.derived.get("rows")
    if found is None:
        found = served.derived.setdefault("rows", RowReader(served.bundle.schema))
    return found


def predict_body(served: ServedModel, max_rows: int) -> PredictBody:
    """The reader of `/predict` bodies for a served version, made once."""
    found: PredictBody | None = served.derived.get("predict_body")
    if found is None:
        found = served.derived.setdefault("predict_body", PredictBody(reader(served), max_rows=max_rows))
    return found


def predict(served: ServedModel, body: bytes, *, max_rows: int) -> Scored:
    """Read and score a `POST /predict` body.

    Raises
    ------
    Problem, RowsError
        As `PredictBody.read` and `score`; nothing was scored then.
    """
    rows, ids = predict_body(served, max_rows).read(body)
    return score(served, rows, ids)


def score(served: ServedModel, rows: Rows, ids: Ids | None = None) -> Scored:
    """Score canonical rows; ids that the caller did not give are made.

    Raises
    ------
    Problem
        422 where the model gives no finite probability, which a gated model never did.
    """
    bundle = served.bundle
    probabilities = run(bundle, rows)
    if not np.isfinite(probabilities.sum()):
        bad = int(np.argmin(np.isfinite(probabilities).all(axis=1)))
        raise Problem(422, f"rows[{bad}]: the model gives no finite probability for it; nothing was answered")
    codes = bundle.decision.codes(probabilities, bundle.schema)
    classes = bundle.schema.classes
    labels = [classes[code] for code in codes.tolist()]
    chosen = probabilities[np.arange(len(rows)), codes]
    return Scored(served.version, bundle.schema, rows, _filled(ids, len(rows)), labels, probabilities, chosen)


def chunks(served: ServedModel, rows: Rows) -> Iterator[Scored]:
    """Score many rows in the parts that score fastest, each to be recorded by itself."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield score(served, rows.part(start, start + CHUNK_ROWS))


def run(bundle: Bundle, rows: Rows) -> npt.NDArray[np.float32]:
    """(n, C) float32 calibrated probabilities; the same bits for a row alone and among others."""
    n = len(rows)
    if n <= CHUNK_ROWS:
        return bundle.run(rows.numbers, rows.categories)
    parts = [rows.part(start, start + CHUNK_ROWS) for start in range(0, n, CHUNK_ROWS)]
    return np.concatenate([bundle.run(part.numbers, part.categories) for part in parts])


def predictions(scored: Scored) -> list[dict[str, Any]]:
    """The `predictions` list of an answer: one JSON object a row."""
    classes = scored.schema.classes
    answers: list[dict[str, Any]] = [
        {
            "prediction_id": prediction_id,
            "label": label,
            "probability": probability,
            "probabilities": dict(zip(classes, row, strict=True)),
        }
        for prediction_id, label, probability, row in zip(
            scored.ids, scored.labels, scored.chosen.tolist(), scored.probabilities.tolist(), strict=True
        )
    ]
    if scored.rows.flags:
        for answer, flags in zip(answers, scored.rows.flags, strict=True):
            if flags:
                answer["warnings"] = [flag._asdict() for flag in flags]
    return answers


def answer(scored: Scored) -> bytes:
    """The JSON body that `POST /predict` returns."""
    return msgspec.json.encode({"model_version": scored.version, "predictions": predictions(scored)})


def new_ids(n: int) -> list[str]:
    """`n` prediction ids of 32 hex digits: milliseconds, then randomness, so that they sort by time."""
    prefix = f"{time.time_ns() // 1_000_000:012x}"
    tail = os.urandom(10 * n).hex()
    return [prefix + tail[i : i + 20] for i in range(0, 20 * n, 20)]


def _filled(ids: Ids | None, n: int) -> list[str]:
    if ids is None:
        return new_ids(n)
    return [given or made for given, made in zip(ids, new_ids(n), strict=True)]
