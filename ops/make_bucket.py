"""Make an S3 bucket where it is missing: `python -m ops.make_bucket NAME`, run once by docker-compose.yaml."""

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)


if __name__ == "__main__":
    main(sys.argv[1])
