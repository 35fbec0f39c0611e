"""MLflow's scoring protocol, as `mlflow models serve` of MLflow 3 speaks it: /invocations, /ping, /health, /version.

Every payload form of `mlflow.pyfunc.scoring_server` is taken and answered with the columns of the registered
model's own `predict`: label, probability, probability_<class>. Beyond MLflow, the answer names the model version
and the prediction ids, and positional rows (`inputs: [[…]]`) are taken in the order of the schema.
Errors have MLflow's shape, `{"error_code", "message"}`, and its status codes.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ml.errors import DataError, RefitError, SchemaError
from ml.messages import Message, message
from ml.schema.rows import Rows
from ml.schema.validation_errors import RowsError, shown
from serving import problems
from serving.api import files, guard, operations, schemas
from serving.api.operations import BINARY, CSV, JSON, MLFLOW_ERROR, MLFLOW_REQUEST, NO_JSON, PARQUET, TEXT
from serving.auth import limits
from serving.model.store import Served
from serving.problems import Problem
from serving.protocols import lenient_rows
from serving.scoring import json_rows, responses, score
from serving.scoring.score import VERSION_HEADER, Scored
from serving.service import Service, current_service, read_body

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
UPLOADS = {"text/csv": "input.csv", "application/vnd.apache.parquet": "input.parquet"}
KINDS = ["text/csv", "application/json", "application/vnd.apache.parquet"]
BAD_VALUE = "INVALID_PARAMETER_VALUE"

_logger = logging.getLogger("refit.serving")

bp = Blueprint("mlflow", __name__)


class InvalidInput(RefitError):
    """Raised when a payload cannot be scored: 400 with an MLflow error code."""

    def __init__(self, what: Message, error_code: str = "BAD_REQUEST"):
        super().__init__(message("protocols.invalid" if error_code == "BAD_REQUEST" else "protocols.schema", what=what))
        self.code = what.code
        self.error_code = error_code


@bp.get("/ping")
@bp.get("/health")
@guard.opens(None)
@operations.describe("Is a model loaded?", NO_JSON, error=MLFLOW_ERROR, also={404: NO_JSON}, tag="mlflow")
def ping() -> Response:
    """200 when a model is loaded and the service in rotation, else 404; MLflow's body is one line end."""
    service = current_service()
    found = service.store.current() is not None and not service.out_of_rotation
    return Response("\n", 200 if found else 404, mimetype="application/json")


@bp.get("/version")
@guard.opens(None)
@operations.describe("The version of MLflow.", NO_JSON, error=MLFLOW_ERROR, tag="mlflow")
def version() -> Response:
    """The version of MLflow whose protocol this is."""
    return Response(metadata.version("mlflow"), mimetype="application/json")


@bp.post("/invocations")
@guard.opens("predict")
@operations.describe(
    "MLflow's scoring protocol.",
    {JSON: schemas.MlflowPredictions},
    (400, 413, 503),
    {JSON: MLFLOW_REQUEST, CSV: TEXT, PARQUET: BINARY},
    error=MLFLOW_ERROR,
    also={415: {"text/plain": TEXT}},
    tag="mlflow",
)
def invocations() -> Response:
    """Score a payload of any form that MLflow's scoring server takes."""
    if (refused := _refused_content_type()) is not None:
        return refused
    service = current_service()
    served = service.served()
    body = read_body()
    if request.mimetype == "application/json":
        rows = _json_rows(service, served, body)
        return _answer(service, served, len(rows), iter([rows]))
    service.check_room_for_table()
    return _answer(service, served, *_table_rows(service, served, body))


def _answer(service: Service, served: Served, n: int, parts: Iterator[Rows]) -> Response:
    """The answer's JSON for `n` rows, written part by part to a file: as objects, a million rows take gigabytes."""
    out, ids = files.spool(), files.spool()
    unusual: Counter[tuple[str, str]] = Counter()
    room, room_of_ids = files.Room(n), files.Room(n)
    try:
        with room.told():
            out.write(b'{"predictions":[')
            for scored in (chunk for rows in parts for chunk in score.chunks(served, rows)):
                guard.stop_if_gone()
                scored = service.acted(scored)
                for written, values in ((out, _records(scored)), (ids, scored.ids)):
                    written.write((b"," if room.logged else b"") + msgspec.json.encode(values)[1:-1])
                if len(scored):
                    room_of_ids.take(ids, len(scored))
                    room.take(out, len(scored), more=ids.tell())
                service.record(served, scored)
                unusual.update(responses.kinds(scored.rows))
                room.logged += len(scored)
            out.write(b'],"model_version":%b,"prediction_ids":[' % msgspec.json.encode(served.version))
            ids.seek(0)
            shutil.copyfileobj(ids, out, 1 << 18)
            out.write(b"]}")
        response = files.sent(out, "application/json")
    except BaseException:
        out.close()
        raise
    finally:
        ids.close()
    response.headers.update(
        {
            VERSION_HEADER: served.version,
            **responses.warnings_header(responses.counted(unusual)),
        }
    )
    return response


@bp.errorhandler(Exception)
def failed(error: Exception) -> Response:
    """Every error in MLflow's shape."""
    problem = _problem(error)
    if problem.status == 500:
        _logger.error("a request failed for an unforeseen reason", exc_info=error)
    return problems.response(problem, request.path)


def _problem(error: Exception) -> Problem:
    match error:
        case InvalidInput():
            return Problem(400, error.explanation, code=error.code, error_code=error.error_code)
        case RowsError():
            what = message("protocols.signature", what=error.explanation)
            return Problem(400, message("protocols.invalid", what=what), code=error.code)
        case SchemaError():
            what = message("protocols.schema", what=error.explanation)
            return Problem(400, what, code=error.code, error_code=BAD_VALUE)
        case DataError():
            return Problem(400, message("protocols.no_table", what=error.explanation), code=error.code)
        case _:
            return problems.of(error)


def _refused_content_type() -> Response | None:
    """MLflow's answers to content types that it does not take: 415, plain text."""
    given = request.headers.get("Content-Type", "")
    parameters = {key.lower(): value for key, value in request.mimetype_params.items()}
    if parameters.get("charset", "utf-8").lower() != "utf-8":
        why = message("protocols.only_utf8")
    elif unexpected := set(parameters) - {"charset"}:
        why = message("protocols.content_type_parameters", names=sorted(map(shown, unexpected)))
    elif request.mimetype not in KINDS:
        why = message("protocols.content_type", kinds=str(KINDS), got=shown(given))
    else:
        return None
    return Response(why.text, 415, mimetype="text/plain")


def _records(scored: Scored) -> list[Any]:
    columns = {"label": scored.labels, "probability": scored.chosen.tolist()}
    columns |= dict(
        zip((f"probability_{name}" for name in scored.schema.classes), scored.probabilities.T.tolist(), strict=True)
    )
    if scored.actions:  # there are none without a policy
        columns["action"] = [action and action.name for action in scored.actions]
        columns["propensity"] = [action and action.propensity for action in scored.actions]
    return list(map(responses.maker(tuple(columns)), *columns.values()))


def _table_rows(one: Service, served: Served, body: bytes) -> tuple[int, Iterator[Rows]]:
    """How many rows a CSV or Parquet body has, and they, all of them checked before any is scored."""
    from serving.api import score_file  # Arrow: a worker that never sees a table does without

    # As the same model in MLflow reads it: by the model's own ways alone.
    upload = score_file.open_upload(
        one, served, io.BytesIO(body), UPLOADS[request.mimetype], by_evidence=False, echo=False
    )
    parts = upload.checked(score_file.KEEP_BYTES)
    return upload.rows, (part.rows for part in (parts if parts is not None else upload))


def _json_rows(one: Service, served: Served, body: bytes) -> Rows:
    limits.check_values(body, one.settings.serving.max_json_values)
    try:
        # Not the strict reader: MLflow's own client sends NaN for missing numbers.
        content = json.loads(body, object_pairs_hook=json_rows.once)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(message("protocols.no_json", error=shown(error))) from error
    if not isinstance(content, dict):
        raise _other_form(message("protocols.a_list" if isinstance(content, list) else "protocols.another_type"))
    formats = [name for name in FORMATS if name in content]
    if len(formats) != 1:
        raise _other_form(message("protocols.dictionary", fields=str([shown(key) for key in content])))
    reader = score.reader(served)
    if content[formats[0]] in ([], {"data": []}):
        return lenient_rows.rows(reader, {column.name: [] for column in reader.schema.columns}, 0)
    columns = _COLUMNS[formats[0]](content[formats[0]], [column.name for column in reader.schema.columns])
    absent = [column.name for column in reader.schema.columns if column.name not in columns]
    if absent:
        extra = [shown(name) for name in columns if name not in {column.name for column in reader.schema.columns}]
        why = message("protocols.missing_inputs", names=str(absent))
        if extra:
            why = message("protocols.missing_inputs_but", names=str(absent), extra=str(extra))
        raise InvalidInput(why, BAD_VALUE)
    n = len(columns[reader.schema.columns[0].name])
    if any(len(columns[column.name]) != n for column in reader.schema.columns):
        raise InvalidInput(message("protocols.lengths"))
    limits.check_tensors(one.settings, n, len(reader.schema.columns) + 4 + len(reader.schema.classes))
    return lenient_rows.rows(reader, columns, n)


def _other_form(got: Message) -> InvalidInput:
    return InvalidInput(message("protocols.one_field", fields=str(set(FORMATS)), got=got))


def _split(value: Any, names: list[str]) -> dict[str, list[Any]]:
    """`{"columns": […], "index": […], "data": [[…], …]}`."""
    if not isinstance(value, dict):
        raise InvalidInput(message("protocols.split_type", type=type(value).__name__))
    if "data" not in value or value.keys() - {"columns", "data", "index"}:
        raise InvalidInput(message("protocols.split_fields", got=str(sorted(map(shown, value)))))
    columns, data, index = value.get("columns"), value["data"], value.get("index")
    if columns is None:
        columns = list(range(len(data[0]))) if isinstance(data, list) and data and isinstance(data[0], list) else []
    if not isinstance(columns, list) or not _is_matrix(data, len(columns)):
        raise InvalidInput(message("protocols.split_rows", n=len(columns) if isinstance(columns, list) else "?"))
    names_came = Counter(map(str, columns))
    if twice := [shown(name) for name, times in names_came.items() if times > 1]:
        raise InvalidInput(message("protocols.split_doubles", columns=str(twice)))
    if index is not None and not (isinstance(index, list) and len(index) == len(data)):
        came = message("protocols.values", n=len(index)) if isinstance(index, list) else type(index).__name__
        raise InvalidInput(message("protocols.split_index", n=len(data), got=came))
    return {str(name): [row[j] for row in data] for j, name in enumerate(columns)}


def _records_form(value: Any, names: list[str]) -> dict[str, list[Any]]:
    """`[{column: value}, …]`; a key that only some records have is missing in the others."""
    if not isinstance(value, list):
        raise InvalidInput(message("protocols.records_type", type=type(value).__name__))
    if not all(isinstance(record, dict) for record in value):
        raise InvalidInput(message("protocols.records"))
    keys = dict.fromkeys(key for record in value for key in record)
    return {key: [record.get(key) for record in value] for key in keys}


def _tensors(value: Any, names: list[str]) -> dict[str, list[Any]]:
    """`instances` and `inputs`: records, columns, one value a column, or rows in the order of the schema."""
    if isinstance(value, dict):
        return {key: cells if isinstance(cells, list) else [cells] for key, cells in value.items()}
    if not isinstance(value, list):
        raise InvalidInput(message("protocols.tensors_type", type=type(value).__name__))
    if value and all(isinstance(item, dict) for item in value):
        return _records_form(value, names)
    if len(names) == 1 and not any(isinstance(item, list | dict) for item in value):
        return {names[0]: value}
    if not _is_matrix(value, len(names)):
        raise InvalidInput(message("protocols.rows_without_names", names=str(names), n=len(names)), BAD_VALUE)
    return {name: [row[j] for row in value] for j, name in enumerate(names)}


def _is_matrix(value: Any, width: int) -> bool:
    return isinstance(value, list) and all(isinstance(row, list) and len(row) == width for row in value)


_COLUMNS = {
    "dataframe_split": _split,
    "dataframe_records": _records_form,
    "instances": _tensors,
    "inputs": _tensors,
}
