"""The bundle writer: the graph with its calibration, and all that travels with it. Read by `ml.bundle.reader`."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.bundle import reader
from ml.bundle.reader import Bundle
from ml.decision import Decision
from ml.explain.background import summarise_background
from ml.explain.explainer import BACKGROUND_SUMMARY
from ml.exploration.weights import resample
from ml.schema.cells import iso
from ml.schema.rows import Rows
from ml.schema.schema import Schema
from ml.storage.files import to_json, write_bytes

if TYPE_CHECKING:
    import pandas as pd

    from ml.training.candidate import Candidate

# Columns of reference.parquet beside the inputs; the prefix keeps them apart from a customer's own names.
ACTUAL = "__refit_actual"  # the true label, text
PREDICTED = "__refit_predicted"  # the label that the model answers, text
EXAMPLES = 12  # rows that every reader of the bundle runs again; our choice: a load pays for them
BACKGROUND_ROWS = 100  # what an explanation averages over: our choice, between its cost and its noise
REFERENCE_ROWS = 20_000  # above this a drift statistic gains nothing: its resolution is far below a material effect


def probability_column(label: str) -> str:
    """Name of a class's probability column in reference.parquet."""
    return f"__refit_probability_{label}"


def rows_of(X: pd.DataFrame, schema: Schema) -> Rows:
    """A canonical frame as the arrays that a bundle takes."""
    numbers = X[list(schema.numbers)].to_numpy(dtype=np.float32)
    return Rows(np.ascontiguousarray(numbers), X[list(schema.categories)].to_numpy(dtype=object))


def begin(folder: Path, candidate: Candidate, decision: Decision, X: pd.DataFrame, *, seed: int = 0) -> Bundle:
    """Write the model part of a bundle and open it.

    The examples' probabilities are the estimator's own, calibrated in float64, so `self_check` compares the
    graph with what was trained.

    Parameters
    ----------
    X
        Canonical rows to take examples and background from; never of the test part.
    """
    from ml.models.onnx.calibration import append_calibration

    schema = candidate.schema
    if folder.exists():
        shutil.rmtree(folder)  # what a kill left behind
    folder.mkdir(parents=True)
    for name, graph in (("model.onnx", candidate.model.to_onnx), (reader.MIXING, candidate.model.to_mixing_onnx)):
        calibrated = append_calibration(graph(schema), decision.calibration)
        write_bytes(folder / name, calibrated.SerializeToString())
    write_bytes(folder / "schema.json", schema.to_json())
    write_bytes(folder / "decision.json", decision.to_json())
    write_bytes(folder / "examples.json", to_json(_examples(candidate, decision, X, seed)))
    background = rows_of(X.iloc[_sample(len(X), BACKGROUND_ROWS, seed + 1)], schema)
    write_bytes(folder / "background.json", to_json(reader.encode_inputs(background)))
    reader.seal(folder)
    opened = Bundle.open(folder, verify=False)
    summary = summarise_background(opened, background)
    write_bytes(folder / BACKGROUND_SUMMARY, to_json(msgspec.to_builtins(summary)))
    reader.seal(folder)
    return Bundle.open(folder)


def finish(folder: Path, files: dict[str, Any], *, reference: pd.DataFrame | None = None) -> Bundle:
    """Add side files and seal: the bundle as it is registered.

    Parameters
    ----------
    files
        Name → JSON-able value, or bytes taken as they are, or a `Path` to copy.
    reference
        As `reference_frame` makes it.
    """
    for name, value in files.items():
        target = folder / name
        if isinstance(value, Path):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(value, target)
        else:
            write_bytes(target, value if isinstance(value, bytes) else to_json(value))
    if reference is not None:
        buffer = io.BytesIO()
        reference.to_parquet(buffer, index=False)
        write_bytes(folder / "reference.parquet", buffer.getvalue())
    reader.seal(folder)
    return Bundle.open(folder)


def reference_frame(
    X: pd.DataFrame, y: npt.NDArray[np.int64], probabilities: npt.NDArray[Any], opened: Bundle, *, seed: int = 0,
    weight: npt.NDArray[np.float64] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Held-out rows with their scores: what drift is measured against, as long as this version serves.

    Parameters
    ----------
    X, y
        (n, d) canonical rows that the model was not fitted on, and their class codes (n,).
    probabilities
        (n, n_classes) of the served model.
    opened
        The bundle, for its decision and the classes' names.
    seed
        Of which rows are taken where there are more than `REFERENCE_ROWS`, and of the draw by `weight`.
    weight
        (n,) inverse propensities, where the rows are no sample of the answered ones: as many as their effective sample
        size are drawn by them, so that answered rows are compared with what is like them. None: all rows alike.

    Returns
    -------
    The inputs, then `ACTUAL`, `PREDICTED` and one `probability_column` a class.
    """
    drawn = np.arange(len(X)) if weight is None else resample(weight, seed=seed)
    chosen = drawn[_sample(len(drawn), REFERENCE_ROWS, seed)]
    frame = X.iloc[chosen].reset_index(drop=True)
    frame[ACTUAL] = np.asarray(opened.classes, dtype=object)[y[chosen]]
    frame[PREDICTED] = opened.label(probabilities[chosen])
    for j, label in enumerate(opened.classes):
        frame[probability_column(label)] = probabilities[chosen, j].astype(np.float32)
    return frame


def _examples(candidate: Candidate, decision: Decision, X: pd.DataFrame, seed: int) -> reader.Examples:
    """Rows as they are, one with everything missing, and one with an unseen level in every category."""
    import pandas as pd

    schema = candidate.schema
    some = X.iloc[_sample(len(X), EXAMPLES - 2, seed)].reset_index(drop=True)
    odd = some.iloc[[0, 0]].reset_index(drop=True)
    for name in schema.numbers:
        odd.loc[0, name] = np.nan
    for name in schema.categories:
        odd[name] = ["", "a level that was not seen"]
    frame = pd.concat([some, odd], ignore_index=True)
    rows = rows_of(frame, schema)
    expected = decision.calibration.apply(candidate.model.predict_proba(frame))
    encoded = reader.encode_inputs(rows)
    return reader.Examples(
        encoded.numbers,
        encoded.categories,
        probabilities=np.asarray(expected).tolist(),
        records=[_record(frame.iloc[i], schema) for i in range(len(frame))],
    )


def _record(row: Any, schema: Schema) -> dict[str, float | str | None]:
    """A raw row as a client would send it: null where something is missing."""
    record: dict[str, float | str | None] = {}
    for column in schema.columns:
        value = row[column.name]
        if column.kind == "date":
            record[column.name] = None if value != value else iso(float(value))
        elif column.kind == "number":
            record[column.name] = None if value != value else float(value)
        else:
            record[column.name] = str(value) or None
    return record


def _sample(n: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
