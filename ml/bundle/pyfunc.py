"""The registered model for any MLflow user: raw columns in, label and probabilities out.

This file is logged with the model ("models from code"), behind the text of `ml.schema.cells`, and runs without Refit:
it may import nothing but that, MLflow, ONNX Runtime, pandas and NumPy. Its numbers are those of the service.

`predict` returns one row a row of input, with the input's index, and the columns
`label` (the decided class, text), `probability` (of that class) and `probability_<class>` for every class.

The signature has the types that MLflow's CSV reader, Spark and MLServer know. Before `predict` MLflow holds a frame
to them, and refuses whole numbers for `double` and numbers or booleans for `string`, as pandas makes them of many a
table. So this model's own frames are cast first, by the model's rules (`_cast_before_check`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import onnxruntime as ort
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from ml.schema.cells import (
    FLOAT32_LIMIT,
    days,
    is_written_number,
    level,
    missing_numbers,
    number,
    spelled,
    without_unit,
)


class RefitModel(PythonModel):
    """Reads the bundle that was logged beside this file."""

    def load_context(self, context: Any) -> None:
        """Open the graph, the schema and the decision of the bundle."""
        folder = Path(context.artifacts["bundle"])
        self.schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        self.decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        rules = json.dumps([self.schema[name] for name in ("missing_markers", "decimal", "thousands", "max_bad_share")])
        _cast_before_check(tuple(self._types().items()), rules, self.refit_cast)

    def refit_cast(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns of the signature in types that MLflow takes: numbers floating, everything else as objects."""
        cast = frame.copy(deep=False)
        for name, kind in self._types().items():
            if list(frame.columns).count(name) == 1:  # what is absent or doubled is MLflow's to refuse
                cells = frame[name]
                if pd.api.types.is_datetime64_any_dtype(cells):
                    cells = cells.map(lambda moment: moment.isoformat(), na_action="ignore")
                cast[name] = self._number(cells) if kind == "double" else cells.astype(object)
        return cast

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Label and probabilities of raw rows: a frame with the columns of the signature, in any order."""
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        columns, markers = self.schema["columns"], self.schema["missing_markers"]
        if absent := [c["name"] for c in columns if c["name"] not in frame.columns]:
            raise ValueError(f"the table lacks {absent}; the model needs {[c['name'] for c in columns]}")
        numbers = [self._number(frame[c["name"]], c) for c in columns if c["kind"] != "category"]
        texts = [_texts(frame[c["name"]], markers, c["categories"]) for c in columns if c["kind"] == "category"]
        wanted = {i.name for i in self.session.get_inputs()}
        feeds: dict[str, np.ndarray] = {}
        if "numbers" in wanted:
            feeds["numbers"] = np.column_stack(numbers).astype(np.float32)
        if "categories" in wanted:
            feeds["categories"] = np.column_stack(texts).astype(object)
        classes = self.schema["classes"]
        if len(frame):
            probabilities = self.session.run(["probabilities"], feeds)[0]
        else:
            probabilities = np.empty((0, len(classes)), np.float32)
        codes = self._codes(probabilities)
        answer = {
            # Objects: MLServer does not know the type that pandas 3 makes of texts.
            "label": pd.Series(np.asarray(classes, dtype=object)[codes], index=frame.index, dtype=object),
            "probability": probabilities[np.arange(len(codes)), codes],
            **{f"probability_{c}": probabilities[:, j] for j, c in enumerate(classes)},
        }
        return pd.DataFrame(answer, index=frame.index)

    def _types(self) -> dict[str, str]:
        """The signature, as `ml.bundle.mlflow_flavor` makes it."""
        plain = self.schema["decimal"] == "." and not self.schema["thousands"]
        columns = self.schema["columns"]
        return {
            c["name"]: "double" if c["kind"] == "number" and plain and not c.get("unit") else "string" for c in columns
        }

    def _number(self, cells: pd.Series, column: dict[str, Any] = {}) -> np.ndarray:  # noqa: B006 (never changed)
        """(n,) float32 with NaN for missing, as `ml.schema.arrow_cells` reads a number or date column."""
        unit, is_date = column.get("unit", ""), column.get("kind") == "date"
        markers = frozenset(map(spelled, self.schema["missing_markers"])) | {""}
        if is_date:
            read = [days(cell, markers, column.get("date_order", "")) for cell in _cells(cells)]
            self._check_words(cells, read, "date")
            values = np.array([np.nan if value is None else value for value in read], np.float64)
        elif pd.api.types.is_numeric_dtype(cells):
            values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
            values = np.where(np.isin(values, list(missing_numbers(markers))), np.nan, values)
        else:
            bare = [without_unit(spelled(cell), unit) if isinstance(cell, str) else cell for cell in _cells(cells)]
            read = [number(cell, markers, self.schema["decimal"], self.schema["thousands"]) for cell in bare]
            self._check_words(cells, read)
            values = np.array([np.nan if value is None else value for value in read], np.float64)
        return np.clip(np.where(np.isinf(values), np.nan, values), -FLOAT32_LIMIT, FLOAT32_LIMIT).astype(np.float32)

    def _check_words(self, cells: pd.Series, read: list[float | None], kind: str = "number") -> None:
        """A few words are missing values, as in training; more are refused, and numbers with marks that cannot be."""
        words = [cell for cell, cell_value in zip(_cells(cells), read, strict=True) if cell_value is None]
        lost = [word for word in words if not isinstance(word, str) or is_written_number(word, kind)]
        present = sum(cell_value is None or cell_value == cell_value for cell_value in read)
        if lost or len(words) > self.schema["max_bad_share"] * present:
            raise ValueError(f"column '{cells.name}': expected a {kind}, got '{str((lost or words)[0])[:60]}'")

    def _codes(self, probabilities: np.ndarray) -> np.ndarray:
        """The decided class of each row, as `ml.decision.Decision.codes` decides it."""
        threshold, classes = self.decision.get("threshold"), self.schema["classes"]
        if threshold is not None and len(classes) == 2:
            positive = classes.index(self.schema["positive_label"]) if self.schema["positive_label"] in classes else 1
            reached = probabilities[:, positive] >= np.float32(threshold)
            return np.where(reached, positive, 1 - positive)
        if costs := self.decision.get("costs"):
            return np.asarray((probabilities @ np.asarray(costs)).argmin(axis=1))
        return np.asarray(probabilities.argmax(axis=1))


def _cast_before_check(signature: tuple[Any, ...], rules: str, cast: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Make MLflow cast frames before it holds them to this signature; where a later MLflow works otherwise, nothing is
    cast and it refuses as it would.

    `PyFuncModel.predict` knows the model, so each casts by its own rules. Spark's UDF checks without it, and knows the
    signature alone: there a cast is made where all loaded models of this signature have the same `rules`.
    """
    predict = mlflow.pyfunc.PyFuncModel.predict
    if not hasattr(predict, "refit"):

        @functools.wraps(predict)
        def cast_and_predict(self: Any, data: Any, params: Any = None) -> Any:
            own = getattr(getattr(self._model_impl, "python_model", None), "refit_cast", None)
            return predict(self, own(data) if own and isinstance(data, pd.DataFrame) else data, params)

        cast_and_predict.refit = True  # type: ignore[attr-defined]
        mlflow.pyfunc.PyFuncModel.predict = cast_and_predict
    check = getattr(mlflow.pyfunc, "_enforce_schema", None)
    if check is None:
        return
    if not hasattr(check, "refit_models"):
        mlflow.pyfunc._enforce_schema = _cast_and_check(check)  # type: ignore[attr-defined]
    mlflow.pyfunc._enforce_schema.refit_models.setdefault(signature, {})[rules] = cast


def _cast_and_check(check: Callable[..., Any]) -> Callable[..., Any]:
    models: dict[tuple[Any, ...], dict[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {}

    def cast_and_check(given: Any, schema: Any, *rest: Any, **named: Any) -> Any:
        found = list(models.get(tuple((one.name, repr(one.type)) for one in schema.inputs), {}).values())
        if len(found) == 1 and isinstance(given, pd.DataFrame):
            given = found[0](given)
        return check(given, schema, *rest, **named)

    cast_and_check.refit_models = models  # type: ignore[attr-defined]
    return cast_and_check


def _texts(cells: pd.Series, markers: list[str], known: list[str]) -> np.ndarray:
    """(n,) text, "" for missing, as `ml.schema.arrow_cells` reads a category column."""
    names = {level(name): name for name in known} | {level(marker): "" for marker in ("", *markers)}
    texts = [_text(cell) for cell in _cells(cells)]
    return np.asarray([names.get(text, text) for text in texts], dtype=object)


def _text(cell: Any) -> str:
    category = level(cell)
    return category if category is not None else level(str(cell)) or ""


def _cells(cells: pd.Series) -> list[Any]:
    """The cells, None where one is missing."""
    return [None if gone else cell for cell, gone in zip(np.asarray(cells), cells.isna(), strict=True)]


mlflow.models.set_model(RefitModel())
