"""What MLflow and the stores behind it raise, as what may pass and what stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from ml.errors import RegistryError, RegistryUnavailable
from ml.tracking import connection


def answered(status: int, code: str) -> ClientError:
    return ClientError({"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}, "PutObject")  # type: ignore[typeddict-item]


def upload_failed(cause: Exception) -> S3UploadFailedError:
    """It names what failed, and has the answer as its cause."""
    failed = S3UploadFailedError(f"Failed to upload: {cause}")
    failed.__cause__ = cause
    return failed


@pytest.mark.parametrize("error", [
    EndpointConnectionError(endpoint_url="http://s3:9000"), ConnectTimeoutError(endpoint_url="http://s3:9000"),
    ReadTimeoutError(endpoint_url="http://s3:9000"), answered(500, "InternalError"), answered(503, "SlowDown"),
    answered(429, "TooManyRequests"), upload_failed(answered(500, "InternalError")), ConnectionResetError("reset"),
], ids=["connect", "connect in time", "read", "500", "503", "429", "upload", "reset"])  # fmt: skip
def test_a_store_of_artifacts_that_is_away_may_pass(error: Exception) -> None:
    with pytest.raises(RegistryUnavailable, match="does not answer"), connection.errors("http://mlflow:5000"):
        raise error


@pytest.mark.parametrize(
    "answer", [answered(403, "AccessDenied"), answered(404, "NoSuchBucket")], ids=["keys", "bucket"]
)
@pytest.mark.parametrize("raised", [lambda answer: answer, upload_failed], ids=["download", "upload"])
def test_one_that_refuses_stays(answer: ClientError, raised: Callable[[Exception], Exception]) -> None:
    with pytest.raises(RegistryError, match=answer.response["Error"]["Code"]), connection.errors("http://mlflow:5000"):
        raise raised(answer)


def test_a_mistake_of_ours_is_neither() -> None:
    with pytest.raises(KeyError), connection.errors("http://mlflow:5000"):
        raise KeyError("x")
