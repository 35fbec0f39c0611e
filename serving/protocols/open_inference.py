"""The Open Inference Protocol v2 over HTTP (KServe, Triton): one tensor a column in, labels and probabilities out.

Inputs are named as the columns, [n] or [n, 1]; NaN (or null in JSON) is a missing number and "" a missing category.
Outputs: `label` BYTES [n], `probability` FP64 [n] (of the label), `probabilities` FP64 [n, classes] in the order of
the metadata's `classes`, `prediction_id` BYTES [n]. Triton's binary tensor extension works both ways.
Errors have the protocol's shape, `{"error": …}`.
"""

from __future__ import annotations

import functools
import json
import logging
from collections import Counter
from typing import Any

import msgspec
import numpy as np
from flask import Blueprint, Response, request

from ml.errors import DataError
from ml.messages import Message, message
from ml.schema.rows import Rows
from ml.schema.validation_errors import ValidationError, shown
from serving import problems
from serving.api import guard, operations, schemas
from serving.api.operations import INFER_REQUEST, JSON, OBJECT, OIP_ERROR
from serving.auth import limits
from serving.model.store import Served
from serving.problems import Problem
from serving.protocols import lenient_rows, tensors
from serving.protocols.tensors import BYTES, DTYPES, TensorError
from serving.scoring import json_rows, responses, score
from serving.scoring.score import VERSION_HEADER, Scored
from serving.service import Service, current_service, read_body

HEADER_LENGTH = "Inference-Header-Content-Length"
OUTPUTS = {"label": BYTES, "probability": "FP64", "probabilities": "FP64", "prediction_id": BYTES}
ACTION = "action"  # what follows by the policy, where there is one

_logger = logging.getLogger("refit.serving")

bp = Blueprint("oip", __name__, url_prefix="/v2")
_describe = functools.partial(operations.describe, tag="open inference", error=OIP_ERROR)


@bp.get("", strict_slashes=False)
@guard.opens("predict")
@_describe("Server metadata.", {JSON: OBJECT})
def server() -> Response:
    """Server metadata."""
    return _json({"name": "refit", "version": "2", "extensions": ["binary_tensor_data"]})


@bp.get("/health/live")
@guard.opens(None)
@_describe("Is the process alive?", {JSON: OBJECT})
def live() -> Response:
    """The process runs."""
    return _json({"live": True})


@bp.get("/health/ready")
@guard.opens(None)
@_describe("Is a model loaded?", {JSON: OBJECT}, also={503: {JSON: OBJECT}})
def ready() -> Response:
    """A model is loaded, and the service in rotation: 200, else 503."""
    service = current_service()
    found = service.store.current() is not None and not service.out_of_rotation
    return _json({"ready": found}, 200 if found else 503)


@bp.get("/models")
@guard.opens("predict")
@_describe("Names of the models.", {JSON: OBJECT})
def models() -> Response:
    """The one model."""
    return _json({"models": [current_service().settings.registry.model_name]})


@bp.get("/models/<name>")
@bp.get("/models/<name>/versions/<version>")
@guard.opens("predict")
@_describe("Model metadata.", {JSON: OBJECT}, (404, 503))
def model(name: str, version: str = "") -> Response:
    """Model metadata: inputs, outputs, and the version in service."""
    served = _served(name, version)
    schema = served.bundle.schema
    inputs = [
        {"name": column.name, "datatype": "FP64" if column.kind == "number" else BYTES, "shape": [-1]}
        for column in schema.columns
    ]
    shapes = {"probabilities": [-1, len(schema.classes)]}
    outputs = [
        {"name": output, "datatype": kind, "shape": shapes.get(output, [-1])}
        for output, kind in _known_outputs(current_service()).items()
    ]
    content = {
        "name": name,
        "versions": [served.version],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"classes": list(schema.classes)},
    }
    return _json(content, headers={VERSION_HEADER: served.version})


@bp.get("/models/<name>/ready")
@bp.get("/models/<name>/versions/<version>/ready")
@guard.opens("predict")
@_describe("Does it answer?", {JSON: OBJECT}, (404, 503))
def model_ready(name: str, version: str = "") -> Response:
    """Whether this model, and this version of it, answers."""
    _served(name, version)
    return _json({"name": name, "ready": True})


@bp.post("/models/<name>/infer")
@bp.post("/models/<name>/versions/<version>/infer")
@guard.opens("predict")
@_describe(
    "Score rows, a tensor a column.", {JSON: schemas.Inference}, (400, 404, 413, 415, 503), {JSON: INFER_REQUEST}
)
def infer(name: str, version: str = "") -> Response:
    """Score the rows of named tensors."""
    service = current_service()
    served = _served(name, version)
    content, binary = _split(read_body())
    rows = _rows(served, content, binary)
    if len(rows) > score.CHUNK_ROWS:
        service.check_room_for_table()
    wanted = _wanted(content, _known_outputs(service))
    head: dict[str, Any] = {"model_name": name, "model_version": served.version}
    if "id" in content:
        head["id"] = _request_id(content["id"])
    parts = []
    for scored in score.chunks(served, rows):
        guard.stop_if_gone()
        parts.append(service.record(served, scored))
    unusual = Counter(kind for part in parts for kind in responses.kinds(part.rows))
    headers = {VERSION_HEADER: served.version, **responses.warnings_header(responses.counted(unusual))}
    return _answer(head, _outputs(parts, len(served.bundle.schema.classes)), wanted, headers)


@bp.errorhandler(Exception)
def failed(error: Exception) -> Response:
    """Every error in the protocol's shape."""
    problem = problems.of(error)
    if isinstance(error, TensorError | DataError):
        problem = Problem(400, error.explanation, code=error.code)
    if problem.status == 500:
        _logger.error("a request failed for an unforeseen reason", exc_info=error)
    return problems.response(problem, request.path)


def _served(name: str, version: str) -> Served:
    service = current_service()
    if name != service.settings.registry.model_name:
        raise Problem(404, message("requests.model", expected=service.settings.registry.model_name, got=shown(name)))
    served = service.served()
    if version not in ("", served.version):
        raise Problem(404, message("requests.version", got=shown(version), serves=served.version))
    return served


def _split(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON, and what comes after it."""
    length = request.headers.get(HEADER_LENGTH)
    if length is not None:
        # int() gives up on more than some thousand digits
        if not (length.isascii() and length.isdigit() and len(length) <= 15 and int(length) <= len(body)):
            known = {"header": HEADER_LENGTH, "size": len(body), "got": shown(length)}
            raise TensorError(message("protocols.header_length", **known))
        head, rest = body[: int(length)], body[int(length) :]
    else:
        head, rest = body, b""
    limits.check_values(head, current_service().settings.serving.max_json_values)
    try:
        # As Python's clients write it: NaN is a missing number.
        content = json.loads(head, object_pairs_hook=json_rows.once)
    except (ValueError, RecursionError) as error:
        raise TensorError(message("protocols.no_object", error=shown(error))) from error
    if not isinstance(content, dict):
        raise TensorError(message("protocols.other_json"))
    return content, rest


def _rows(served: Served, content: dict[str, Any], binary: bytes) -> Rows:
    reader = score.reader(served)
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, dict) for item in inputs):
        raise TensorError(message("protocols.inputs"))
    columns: dict[str, Any] = {}
    lengths: set[int] = set()
    place = 0
    for item in inputs:
        name, n, datatype, size = _described(item)
        if name in columns:
            raise TensorError(message("protocols.twice"), name)
        lengths.add(n)
        if size is None:
            columns[name] = tensors.from_json(name, datatype, n, item.get("data"))
        else:
            columns[name] = tensors.from_binary(name, datatype, n, binary[place : place + size])
            place += size
        _check_kind(served, name, datatype)
    if place != len(binary):
        raise TensorError(message("protocols.binary_size", size=place, got=len(binary)))
    if len(lengths) != 1:
        raise TensorError(message("protocols.one_length", lengths=sorted(lengths)))
    if errors := reader.name_errors(columns):
        raise TensorError(message("protocols.errors", errors=[_of_input(error) for error in errors[:5]]))
    n = lengths.pop()
    limits.check_tensors(current_service().settings, n, len(columns) + len(OUTPUTS) + len(served.bundle.schema.classes))
    return lenient_rows.rows(reader, columns, n)


def _of_input(error: ValidationError) -> Message:
    what = message("protocols.expected", expected=error.expected, got=error.got)
    return message("protocols.input", name=shown(error.column), what=what)


def _described(item: dict[str, Any]) -> tuple[str, int, str, int | None]:
    """Name, rows, datatype and, where its values are binary, their size."""
    name, datatype, parameters = item.get("name"), item.get("datatype"), item.get("parameters") or {}
    if not isinstance(name, str):
        raise TensorError(message("protocols.name", got=shown(name)))
    if not isinstance(datatype, str) or datatype not in (*DTYPES, BYTES):
        raise TensorError(message("protocols.datatype", kinds=(*DTYPES, BYTES), got=shown(datatype)), name)
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise TensorError(message("protocols.binary_data_size", got=shown(size)), name)
    return name, tensors.rows_of(name, item.get("shape")), datatype, size


def _check_kind(served: Served, name: str, datatype: str) -> None:
    if datatype == BYTES and name in served.bundle.schema.plain_numbers:
        raise TensorError(message("protocols.numeric"), name)


def _request_id(given: Any) -> str:
    """The request's id as it is answered. It is looked at before anything is logged."""
    try:
        text = str(given)
        text.encode()
    except ValueError as error:  # a lone surrogate, or a number of thousands of digits
        raise TensorError(message("protocols.id", got=shown(given))) from error
    return text


def _known_outputs(service: Service) -> dict[str, str]:
    """Name → datatype; what follows an answer is there where the settings have a policy."""
    return OUTPUTS if service.policy is None else {**OUTPUTS, ACTION: BYTES}


def _wanted(content: dict[str, Any], known: dict[str, str]) -> dict[str, bool]:
    """Names of the outputs to give, and whether each is to be binary."""
    parameters = content.get("parameters") or {}
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    outputs = content.get("outputs")
    if outputs is None:
        return dict.fromkeys(known, binary)
    if not isinstance(outputs, list) or not all(isinstance(item, dict) for item in outputs):
        raise TensorError(message("protocols.outputs"))
    wanted: dict[str, bool] = {}
    for item in outputs:
        name = item.get("name")
        if not isinstance(name, str) or name not in known:
            raise TensorError(message("protocols.output", kinds=list(known), got=shown(name)))
        own = item.get("parameters") or {}
        wanted[name] = own.get("binary_data", binary) is True if isinstance(own, dict) else binary
    return wanted or dict.fromkeys(known, binary)


def _outputs(parts: list[Scored], n_classes: int) -> dict[str, Any]:
    """Each output's values: an array, or a list of texts."""
    probabilities = [part.probabilities for part in parts] or [np.empty((0, n_classes), np.float32)]
    chosen = [part.chosen for part in parts] or [np.empty(0, np.float32)]
    return {
        "label": [label for part in parts for label in part.labels],
        "probability": np.concatenate(chosen).astype("<f8"),
        "probabilities": np.concatenate(probabilities).astype("<f8"),
        "prediction_id": [prediction_id for part in parts for prediction_id in part.ids],
        ACTION: [action.name if action else "" for part in parts for action in part.actions],
    }


def _answer(
    head: dict[str, Any], outputs: dict[str, Any], wanted: dict[str, bool], headers: dict[str, str]
) -> Response:
    described: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, as_binary in wanted.items():
        values = outputs[name]
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS.get(name, BYTES), "shape": shape}
        if as_binary:
            binary.append(tensors.to_binary(values))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = values.ravel().tolist() if isinstance(values, np.ndarray) else values
        described.append(output)
    encoded = msgspec.json.encode({**head, "outputs": described})
    if not binary:
        return Response(encoded, mimetype="application/json", headers=headers)
    headers = {**headers, HEADER_LENGTH: str(len(encoded))}
    return Response(encoded + b"".join(binary), mimetype="application/octet-stream", headers=headers)


def _json(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # json rather than msgspec: an error may quote a lone surrogate
    return Response(json.dumps(content), status, mimetype="application/json", headers=headers)
