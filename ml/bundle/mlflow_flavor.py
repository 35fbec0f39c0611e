"""A bundle as an MLflow model: what goes into the model store, and how it gets there."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import tracking
from ml.bundle import signature
from ml.bundle.reader import Bundle
from ml.schema import cells
from ml.schema.schema import Column, Schema
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

CODE = Path(__file__).with_name("pyfunc.py")
CELLS = Path(cells.__file__)
REQUIREMENTS = ("mlflow", "onnxruntime", "pandas", "numpy")
NAME = "bundle"


def log_bundle(settings: Settings, folder: Path, run_id: str, *, beside: Path | None = None) -> str:
    """Sign a sealed bundle, and log it as a model of a run.

    The same bundle logged again for the same run is found, not doubled; one whose upload was cut short is
    left behind unfinished and never referred to.

    Parameters
    ----------
    settings
        Name the tracking server and the experiment.
    folder
        The sealed bundle.
    run_id
        MLflow's run that the model and its metrics (`model_…`) belong to.
    beside
        A folder that is kept among the model's artifacts beside the bundle, under its own name.

    Returns
    -------
    The model's `models:/…` URI.

    Raises
    ------
    BundleError
        The folder is no sound bundle.
    RegistryError
        The tracking server does not answer, or refuses.
    """
    client, where = tracking.client(settings), tracking.experiment(settings)
    bundle = Bundle.open(folder)
    with tracking.errors(tracking.uri(settings)):
        logged = client.search_logged_models([where], f"source_run_id = '{run_id}'")
        for earlier in logged:
            if earlier.status == "READY" and earlier.tags.get("refit.sha256") == bundle.sha256:
                return str(earlier.model_uri)
        with tempfile.TemporaryDirectory(prefix="refit-model-") as temporary:
            target = Path(temporary) / "model"
            model = client.create_logged_model(
                where, name=NAME, source_run_id=run_id, tags={"refit.sha256": bundle.sha256}, model_type="classifier"
            )
            save(bundle, target, run_id=run_id, model_id=str(model.model_id))
            signature.sign(settings, target / "artifacts" / NAME)
            if beside is not None:
                shutil.copytree(beside, target / "artifacts" / beside.name)
            client.log_model_artifacts(model.model_id, str(target))
            client.finalize_logged_model(model.model_id, "READY")
        values = {k: v["value"] for k, v in bundle.metrics.get("metrics", {}).items() if v}
        tracking.log(
            settings, run_id, metrics={f"model_{k}": v for k, v in values.items()}, model_id=str(model.model_id)
        )
        return str(model.model_uri)


def save(bundle: Bundle, target: Path, *, run_id: str | None = None, model_id: str | None = None) -> None:
    """Write the MLflow model folder: the pyfunc flavour from code, with the bundle as its artifact.

    `run_id` and `model_id` are MLflow's, of the run and the logged model that the folder is for.

    Parameters
    ----------
    target
        Folder to be made; it must not exist.
    run_id, model_id
        MLflow's, of the run and the logged model that the folder is for; None: of none.
    """
    rows = examples(bundle, 3)
    with _quiet(), _without_environment_check(), tempfile.TemporaryDirectory(prefix="refit-bundle-") as temporary:
        import mlflow.pyfunc
        from mlflow.models import Model, ModelSignature

        # MLflow keeps an artifact under its folder's own name; every bundle is found under the same one.
        named = Path(shutil.copytree(bundle.path, Path(temporary) / NAME))
        # As MLflow's own log_model names a model in its MLmodel file.
        described = Model(artifact_path=NAME if model_id else None, run_id=run_id, model_id=model_id)
        mlflow.pyfunc.save_model(
            path=str(target),
            mlflow_model=described,
            python_model=str(_code(Path(temporary))),
            artifacts={NAME: str(named)},
            signature=ModelSignature(inputs=_inputs(bundle.schema), outputs=_outputs(bundle.schema)),
            input_example=rows if len(rows) else None,
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
        flavor = described.flavors[mlflow.pyfunc.FLAVOR_NAME]
        flavor["model_code_path"] = CODE.name  # MLflow looks beside MLmodel, whatever folder is named
        del flavor["artifacts"][NAME]["uri"]  # where the bundle was on this machine
        described.save(str(target / "MLmodel"))


def _code(folder: Path) -> Path:
    """The model's code as one file: how cells are read, which Refit itself reads them by, and the model."""
    written = folder / CODE.name
    model = re.sub(
        r"^from (?:__future__|ml\.schema\.cells) import (?:\([^)]*\)|.*)\n",
        "",
        CODE.read_text("utf-8"),
        flags=re.MULTILINE,
    )
    written.write_text(f"{CELLS.read_text('utf-8')}\n\n{model}", "utf-8")
    return written


def examples(bundle: Bundle, n: int) -> pd.DataFrame:
    """Raw rows as a user would have them: the first `n` of the bundle's examples."""
    import pandas as pd

    records = bundle.examples.records[:n]
    frame = pd.DataFrame(records, columns=[c.name for c in bundle.schema.columns])
    for column in bundle.schema.columns:
        cells = frame[column.name]
        frame[column.name] = cells.astype("float64") if column.kind == "number" else cells.astype("object")
        if column.kind == "number" and (column.unit or not _is_plain(bundle.schema)):
            frame[column.name] = _written(frame[column.name], bundle.schema.decimal)
    return frame


def _inputs(schema: Schema) -> Any:
    from mlflow.types.schema import ColSpec
    from mlflow.types.schema import Schema as Signature

    return Signature([ColSpec(type=_type(c, schema), name=c.name, required=True) for c in schema.columns])


def _type(column: Column, schema: Schema) -> Any:
    """A type that MLflow's CSV reader, Spark and MLServer know.

    In frames MLflow takes neither whole numbers for `double` nor numbers for `string`: the model casts them before
    MLflow looks (`pyfunc.py`). Numbers that a file writes in a way of its own are text until the model has read them.
    """
    from mlflow.types.schema import DataType

    is_double = column.kind == "number" and _is_plain(schema) and not column.unit
    return DataType.double if is_double else DataType.string


def _is_plain(schema: Schema) -> bool:
    """Whether files write numbers as Python does."""
    return schema.decimal == "." and not schema.thousands


def _written(cells: pd.Series, decimal: str) -> pd.Series:
    """Numbers as the model's files write them, None for missing."""
    return cells.map(lambda value: None if value != value else repr(value).replace(".", decimal)).astype("object")


def _outputs(schema: Schema) -> Any:
    from mlflow.types.schema import ColSpec, DataType
    from mlflow.types.schema import Schema as Signature

    probabilities = [ColSpec(DataType.float, f"probability_{c}") for c in schema.classes]
    return Signature([ColSpec(DataType.string, "label"), ColSpec(DataType.float, "probability"), *probabilities])


@contextlib.contextmanager
def _without_environment_check() -> Iterator[None]:
    """MLflow reads every installed package's file list to warn of versions that differ from the requirements.

    Ours are read from the installed packages a moment before, and it took three CPU seconds.
    """
    from mlflow.utils import environment

    name = "warn_dependency_requirement_mismatches"
    original = getattr(environment, name, None)
    if original is None:  # a later MLflow without it: nothing to leave out
        yield
        return
    setattr(environment, name, lambda requirements: None)
    try:
        yield
    finally:
        setattr(environment, name, original)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hints on type annotations and integer columns are for people who write models by hand."""
    loud = [logging.getLogger(name) for name in ("mlflow.pyfunc", "mlflow.models.model", "mlflow.types.utils")]
    levels = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
