"""The Open Inference Protocol: Triton's own HTTP client, and the protocol's JSON by hand."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.serving.mixed import logged_ids, publish
from tests.serving.running import serving

MODEL = "/v2/models/One_Customer_Classifier"


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def inputs(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    plain = {
        "n0": tensor("n0", "FP64", [1.5, 0.0]),
        "n1": tensor("n1", "INT32", [[2], [-1]], [2, 1]),
        "c0": tensor("c0", "BYTES", ["red", "blue"]),
    }
    return list((plain | changed).values())


def test_an_inference_equals_the_prediction(client: FlaskClient, app: Flask, tmp_path: Path) -> None:
    """Same numbers as /predict, the request's id, and the logged ids."""
    answer = client.post(f"{MODEL}/infer", json={"id": "q1", "inputs": inputs()})
    assert answer.status_code == 200
    outputs = {output["name"]: output for output in answer.json["outputs"]}
    rows = [{"n0": 1.5, "n1": 2, "c0": "red"}, {"n0": 0.0, "n1": -1, "c0": "blue"}]
    expected = client.post("/predict", json={"rows": rows}).json["predictions"]
    assert outputs["label"]["data"] == [one["label"] for one in expected]
    assert outputs["probability"]["data"] == [one["probability"] for one in expected]
    assert outputs["probabilities"]["shape"] == [2, 2]
    assert outputs["probabilities"]["data"] == [p for one in expected for p in one["probabilities"].values()]
    assert (answer.json["id"], answer.json["model_name"], answer.json["model_version"]) == (
        "q1", "One_Customer_Classifier", "3",
    )  # fmt: skip
    app.extensions["refit"].close()
    assert logged_ids(tmp_path)[:2] == outputs["prediction_id"]["data"]


def test_metadata_describes_what_infer_takes(client: FlaskClient) -> None:
    content = client.get(MODEL).json
    assert [(one["name"], one["datatype"]) for one in content["inputs"]] == [
        ("n0", "FP64"), ("n1", "FP64"), ("c0", "BYTES"),
    ]  # fmt: skip
    assert content["versions"] == ["3"]
    assert content["parameters"]["classes"] == ["no", "yes"]
    assert client.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/models").json == {"models": ["One_Customer_Classifier"]}
    for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/3/ready"):
        assert client.get(path).status_code == 200


def test_only_the_version_in_service_is_there(client: FlaskClient) -> None:
    for path in (f"{MODEL}/versions/2", f"{MODEL}/versions/2/ready", "/v2/models/other"):
        answer = client.get(path)
        assert (answer.status_code, list(answer.json)) == (404, ["error"])
    assert client.post(f"{MODEL}/versions/3/infer", json={"inputs": inputs()}).status_code == 200


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT8", "UINT8", "INT64", "UINT64", "BOOL"])
def test_binary_tensors_of_every_number_type(client: FlaskClient, datatype: str) -> None:
    """By the binary extension, written by hand as its specification says."""
    from serving.protocols.tensors import DTYPES

    numbers = np.array([1, 0], np.dtype(DTYPES[datatype])).tobytes()
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"red", "né".encode()))
    head = {
        "inputs": [
            {"name": "n0", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(numbers)}},
            tensor("n1", "FP64", [1.0, 0.0]),
            {"name": "c0", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(texts)}},
        ],
        "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probability"}],
    }
    encoded = app_json(head)
    answer = client.post(
        f"{MODEL}/infer",
        data=encoded + numbers + texts,
        headers={"Inference-Header-Content-Length": str(len(encoded))},
    )
    assert answer.status_code == 200
    size = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.data[size:] == struct.pack("<I", 3) + b"yes" + struct.pack("<I", 3) + b"yes"
    import json

    described = json.loads(answer.data[:size])
    assert described["outputs"][0]["parameters"] == {"binary_data_size": 14}
    assert described["outputs"][1]["data"][0] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)


def app_json(content: Any) -> bytes:
    import json

    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "expected a JSON object"),
        (b"[]", "another JSON value"),
        (b"{}", 'expected "inputs"'),
        (app_json({"inputs": inputs(n0=tensor("n0", "FP64", [1.0]))}), "one length"),
        (app_json({"inputs": inputs(n0=tensor("n0", "FP64", [1.0, 2.0], [3]))}), "expected 3 values"),
        (app_json({"inputs": inputs(n0=tensor("n0", "FP64", [1.0, 2.0], [1, 2]))}), "expected the shape"),
        (app_json({"inputs": inputs(n0=tensor("n0", "FP64", ["x", "y"]))}), "expected FP64 values"),
        (app_json({"inputs": inputs(n0=tensor("n0", "BYTES", ["1", "2"]))}), "expected a numeric datatype"),
        (app_json({"inputs": inputs(n0=tensor("n0", "FP8", [1, 2]))}), "expected a datatype"),
        (app_json({"inputs": inputs(n0=tensor("n9", "FP64", [1.0, 2.0]))}), "input 'n0'"),
        (app_json({"inputs": [*inputs(), tensor("n0", "FP64", [1.0, 2.0])]}), "came twice"),
        (app_json({"inputs": [*inputs(), tensor("z", "FP64", [1.0, 2.0])]}), "unknown column"),
        (app_json({"inputs": inputs(), "outputs": [{"name": "z"}]}), "expected an output"),
        (app_json({"inputs": inputs(), "outputs": 7}), "list of objects"),
        (app_json({"inputs": inputs()}) + b"more", "expected a JSON object"),
    ],
    ids=["empty", "list", "no inputs", "lengths", "count", "shape", "words", "texts for numbers", "datatype", "absent",
         "twice", "unknown", "output", "outputs", "trailing"],
)  # fmt: skip
def test_errors_have_the_protocols_form(client: FlaskClient, body: bytes, said: str) -> None:
    answer = client.post(f"{MODEL}/infer", data=body)
    assert answer.status_code == 400
    assert said in answer.json["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1"])
def test_a_header_length_that_does_not_fit_is_refused(client: FlaskClient, length: str) -> None:
    answer = client.post(
        f"{MODEL}/infer", data=app_json({"inputs": inputs()}), headers={"Inference-Header-Content-Length": length}
    )
    assert answer.status_code == 400


def test_binary_data_must_be_as_long_as_it_says(client: FlaskClient) -> None:
    head = app_json({"inputs": inputs(n0={"name": "n0", "datatype": "FP64", "shape": [2],
                                          "parameters": {"binary_data_size": 16}})})  # fmt: skip
    for rest in (b"", b"1234567", b"\0" * 24):
        answer = client.post(
            f"{MODEL}/infer", data=head + rest, headers={"Inference-Header-Content-Length": str(len(head))}
        )
        assert answer.status_code == 400


def test_packed_requests_are_unpacked_up_to_the_limit(tmp_path: Path) -> None:
    """A small body that unpacks to more than the limit is refused before it is all unpacked."""
    from ml.settings import from_values, to_values
    from serving.app import create_app

    settings = publish(tmp_path)
    values = to_values(settings) | {"serving": {"max_body_bytes": 100_000}}
    app = create_app(from_values(values))
    client = app.test_client()
    packed = gzip.compress(app_json({"inputs": inputs()}))
    headers = {"Content-Encoding": "gzip"}
    assert client.post(f"{MODEL}/infer", data=packed, headers=headers).status_code == 200
    bomb = gzip.compress(b" " * 10_000_000)
    assert client.post(f"{MODEL}/infer", data=bomb, headers=headers).status_code == 413
    assert client.post(f"{MODEL}/infer", data=b"x", headers=headers).status_code == 400
    app.extensions["refit"].close()


def test_missing_values_come_as_nan_or_null(client: FlaskClient) -> None:
    body = app_json({"inputs": inputs(n0=tensor("n0", "FP64", [None, float("nan")]))})
    assert client.post(f"{MODEL}/infer", data=body).status_code == 200


@pytest.mark.stack
def test_tritons_own_client_works_unchanged(tmp_path: Path) -> None:
    """Binary and JSON tensors both ways, packed bodies, metadata, errors, against a running service."""
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    publish(tmp_path)
    with serving(tmp_path, SERVING__WORKERS="1") as server:
        client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        name = "One_Customer_Classifier"
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(name)
        assert client.get_server_metadata()["name"] == "refit"
        assert client.get_model_metadata(name, "3")["versions"] == ["3"]
        found = []
        for binary in (True, False):
            given = [
                ("n0", "FP64", np.array([1.5, 0.0])),
                ("n1", "FP32", np.array([2, -1], np.float32)),
                ("c0", "BYTES", np.array(["red", "né"], object)),
            ]
            tensors = []
            for column, datatype, values in given:
                tensors.append(triton.InferInput(column, [2], datatype))
                tensors[-1].set_data_from_numpy(values, binary_data=binary)
            wanted = [triton.InferRequestedOutput(n, binary_data=binary) for n in ("label", "probabilities")]
            answer = client.infer(name, tensors, outputs=wanted, request_id="q7", request_compression_algorithm="gzip")
            assert answer.get_response()["id"] == "q7"
            found.append(answer.as_numpy("probabilities"))
            assert [str(v, "utf-8") if isinstance(v, bytes) else v for v in answer.as_numpy("label")] == ["yes", "no"]
        np.testing.assert_array_equal(*found)
        with pytest.raises(InferenceServerException, match="input 'c0'"):
            client.infer(name, tensors[:2])
        with pytest.raises(InferenceServerException, match="not found"):  # a route that there is not
            client.get_inference_statistics(name)
        client.close()
