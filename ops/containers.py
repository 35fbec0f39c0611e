"""What docker-compose.yaml runs inside its containers: `python -m ops.containers probe URL`, `… make-bucket NAME`."""

from __future__ import annotations

import os
import sys

from ml import http

PROBE_TIMEOUT_S = 8.0  # below the 10 s of the compose file, so that it can say why


def probe(address: str) -> int:
    """The containers' health check: 0 when an address answers 200, else 1."""
    try:
        status, _ = http.exchange("GET", address, timeout_s=PROBE_TIMEOUT_S)
    except http.HttpError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if status == 200 else 1


def make_bucket(name: str) -> int:
    """Make an S3 bucket where it is missing; run once."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)
    return 0


COMMANDS = {"probe": probe, "make-bucket": make_bucket}


def main(arguments: list[str]) -> int:
    """One command with its one argument."""
    if len(arguments) != 2 or arguments[0] not in COMMANDS:
        print(f"usage: python -m ops.containers {'|'.join(COMMANDS)} ARGUMENT", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
