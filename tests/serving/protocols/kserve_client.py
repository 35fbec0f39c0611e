"""What `test_kserve.py` runs in KServe's own environment: its REST client, used as its users do.

Arguments: base URL, model name, column tensors as JSON. Prints what came as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


def tensors(given: list[dict[str, Any]], binary: bool) -> list[InferInput]:
    """The columns as KServe's tensors, in JSON or in the binary extension."""
    made = []
    for one in given:
        tensor = InferInput(one["name"], [len(one["data"])], one["datatype"])
        kind = {"BYTES": object, "FP64": np.float64, "FP32": np.float32}[one["datatype"]]
        tensor.set_data_from_numpy(np.array(one["data"], kind), binary_data=binary)
        made.append(tensor)
    return made


async def main(url: str, model: str, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Health, readiness, two predictions, one error."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    told: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
        "answers": [],
    }
    for binary in (False, True):
        request = InferRequest(model, tensors(given, binary), request_id="q7")
        answer = await client.infer(url, request, model_name=model)
        outputs = {output.name: output.as_numpy().tolist() for output in answer.outputs}
        told["answers"].append({"id": answer.id, "model": answer.model_name, "outputs": outputs})
    try:
        await client.infer(url, InferRequest(model, tensors(given[:-1], False)), model_name=model)
    except Exception as error:
        told["error"] = str(error)
    await client.close()
    return told


if __name__ == "__main__":
    found = asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
    print(json.dumps(found, default=bytes.decode))
