"""The registered model among MLflow's own tools: `mlflow models serve`, `mlflow.models.evaluate`, frames."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.bundle import mlflow_flavor
from ml.bundle.reader import Bundle
from ml.bundle.writer import rows_of
from ml.schema import frame_coerce
from tests.ml import churn, dated
from tests.ports import free_port
from tests.serving.running import ROOT, wait_for


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    """A model of the customers, and the folder that MLflow loads it from."""
    folder = tmp_path_factory.mktemp("churn")
    opened = churn.bundle(folder / "bundle")
    mlflow_flavor.save(opened, folder / "model")
    return opened, folder / "model"


@pytest.fixture(scope="module")
def model(saved: tuple[Bundle, Path]) -> Any:
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(saved[1]))


def expected(opened: Bundle, raw: pd.DataFrame) -> np.ndarray:
    """(n,) probability of "yes" by the library's own reading."""
    rows = rows_of(frame_coerce.canonical(raw, opened.schema)[0], opened.schema)
    return opened.run(rows.numbers, rows.categories)[:, opened.schema.classes.index("yes")]


FRAMES = {
    "as pandas has it": lambda raw: raw,
    "whole numbers floating": lambda raw: raw.astype({"products": "float64", "support_calls": "float64"}),
    "all as text": lambda raw: raw.astype(object).where(raw.notna(), None).map(lambda c: c if c is None else str(c)),
    "nullable types": lambda raw: raw.convert_dtypes(),
    "small types": lambda raw: raw.astype({"products": "int8", "monthly_charges": "float32"}),
    "one row": lambda raw: raw.head(1),
    "no rows": lambda raw: raw.head(0),
}


@pytest.mark.parametrize("form", FRAMES)
def test_every_frame_that_pandas_makes_of_the_table_is_taken(saved: Any, model: Any, form: str) -> None:
    """Also int64 for a `double` column and booleans for a `string` one, which MLflow by itself refuses."""
    raw = churn.table(40, seed=2)
    answer = model.predict(FRAMES[form](raw))
    np.testing.assert_array_equal(answer["probability_yes"], expected(saved[0], raw)[: len(answer)])
    assert answer["label"].dtype == object, "MLServer's codec knows no other type of texts"


def test_the_signature_has_types_that_every_tool_knows(model: Any) -> None:
    """`pandas_types` is what MLflow's CSV reader asks, `DataType` what Spark and MLServer translate."""
    from mlflow.types.schema import DataType

    schema = model.metadata.get_input_schema()
    assert len(schema.pandas_types()) == len(schema.inputs)
    assert {one.name: one.type for one in schema.inputs}["products"] == DataType.double
    assert {one.name: one.type for one in schema.inputs}["paperless"] == DataType.string


def test_what_is_no_number_or_absent_or_doubled_is_refused(model: Any) -> None:
    raw = churn.table(3)
    with pytest.raises(Exception, match="column 'age'"):
        model.predict(raw.astype({"age": object}).assign(age="old"))
    with pytest.raises(Exception, match=r"missing inputs \['age'\]"):
        model.predict(raw.drop(columns="age"))
    with pytest.raises(Exception, match="Failed to enforce schema"):
        model.predict(pd.concat([raw, raw[["age"]]], axis=1))


def test_another_model_of_the_same_columns_is_not_touched(model: Any) -> None:
    """MLflow goes on to hold it to its own types."""
    import mlflow.pyfunc
    from mlflow.types.schema import ColSpec, Schema

    names = model.metadata.get_input_schema().input_names()
    raw = churn.table(3)[names]
    theirs = Schema([ColSpec("long" if name == "products" else "double", name) for name in names])
    with pytest.raises(Exception, match="Incompatible input types"):
        mlflow.pyfunc._enforce_schema(raw, theirs)
    whole = Schema([ColSpec("long", "products")])
    assert mlflow.pyfunc._enforce_schema(raw[["products"]], whole)["products"].dtype == np.int64


def test_two_models_of_one_signature_read_by_their_own_markers(saved: Any, model: Any, tmp_path: Path) -> None:
    """The same columns, and other words for a missing cell: what is loaded last must not read for the first."""
    import mlflow.pyfunc

    other = tmp_path / "other"
    shutil.copytree(saved[1], other)
    [kept] = other.rglob("schema.json")
    schema = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps(schema | {"missing_markers": ["soon"]}), encoding="utf-8")
    later = mlflow.pyfunc.load_model(str(other))
    raw = churn.table(20, seed=5)
    said = raw.astype(object).assign(monthly_charges="soon")
    missing = later.predict(raw.assign(monthly_charges=np.nan))
    pd.testing.assert_frame_equal(later.predict(said), missing)
    with pytest.raises(Exception, match="expected a number, got 'soon'"):
        model.predict(said)


def test_mlmodel_names_no_place_of_the_machine_that_made_it(saved: Any) -> None:
    assert not {"/tmp", str(ROOT), str(saved[0].path), os.path.expanduser("~")} & {
        place for place in ("/tmp", str(ROOT), str(saved[0].path), os.path.expanduser("~"))
        if place in (saved[1] / "MLmodel").read_text()
    }  # fmt: skip


@pytest.mark.stack
def test_mlflows_evaluate_takes_the_model_by_the_documented_line(saved: Any, tmp_path: Path) -> None:
    """As docs/models.md has it; the label column is what a classifier is judged by."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        champion = mlflow.pyfunc.load_model(str(saved[1]))
        raw = churn.table(80, seed=3)
        found = mlflow.models.evaluate(
            model=lambda rows: champion.predict(rows)["label"].to_numpy(),
            data=raw,
            targets="churned",
            model_type="classifier",
            evaluator_config={"pos_label": "yes"},
        )
    finally:
        mlflow.set_tracking_uri(before)
    labels = np.where(expected(saved[0], raw) >= np.float32(0.5), "yes", "no")
    assert found.metrics["accuracy_score"] == pytest.approx((labels == raw["churned"]).mean())
    assert found.metrics["true_positives"] == ((labels == "yes") & (raw["churned"] == "yes")).sum()


def _ask(port: int, body: bytes, content_type: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": content_type}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["predictions"]


@pytest.mark.stack
def test_mlflows_own_server_takes_csv_json_and_parquet(saved: Any, tmp_path: Path) -> None:
    """`mlflow models serve` beside our reading: whole numbers, missing cells and booleans."""
    port, log = free_port(), tmp_path / "log"
    raw = churn.table(30, seed=4)
    names = [column.name for column in saved[0].schema.columns]
    parquet = io.BytesIO()
    raw.to_parquet(parquet, index=False)
    bodies = {
        "text/csv": raw[names].to_csv(index=False).encode(),
        "application/json": json.dumps({"dataframe_split": json.loads(raw.to_json(orient="split"))}).encode(),
        "application/vnd.apache.parquet": parquet.getvalue(),
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(saved[1]), "--env-manager", "local"]
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # MLflow starts uvicorn by its name
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "-p", str(port), "--workers", "1"],
            env=os.environ | path, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:

        def up() -> bool:
            assert server.poll() is None, log.read_text()[-2000:]
            try:
                return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).status == 200)
            except OSError:
                return False

        wait_for(up, seconds=90, what="mlflow models serve answers")
        for content_type, body in bodies.items():
            found = np.array([one["probability_yes"] for one in _ask(port, body, content_type)], np.float32)
            np.testing.assert_array_equal(found, expected(saved[0], raw), err_msg=content_type)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.mark.filterwarnings("ignore")
def test_dates_and_units_are_read_as_refit_reads_them(tmp_path: Path) -> None:
    """Raw text, timestamps, and dates as ISO 8601 has them: the same numbers."""
    import mlflow.pyfunc

    opened = dated.bundle(tmp_path / "bundle")
    mlflow_flavor.save(opened, tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    raw = dated.table(60, seed=3)
    wanted = dated.expected(opened, raw)
    stamps = raw.assign(
        signup=pd.to_datetime(raw["signup"], format="%d/%m/%Y", errors="coerce"),
        last_order=pd.to_datetime(raw["last_order"]),
        term=raw["term"].str.removesuffix(" months").astype(float),
    )
    for frame in (raw, stamps):
        found = model.predict(frame[dated.NAMES])
        np.testing.assert_allclose(found["probability_yes"], wanted, atol=1e-6)
    with pytest.raises(Exception, match="column 'signup': expected a date, got '31/02/2024'"):
        model.predict(raw[dated.NAMES].assign(signup="31/02/2024"))
