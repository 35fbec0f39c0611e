"""What is run once: by docker-compose.yaml `python -m ops.containers make-bucket NAME` and `… first-run URL`, by the
Dockerfile `… load serving`."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

from ops.airflow_api import AirflowApi, AirflowUnavailable

READ_WITHIN_S = 300.0  # until the DAG processor of a cold machine has read the DAGs; our choice

# What a service loads only when it needs it: for files that people send, the registry, S3, PostgreSQL, supervisord.
LATER = (
    "boto3", "croniter",
    "mlflow.artifacts", "mlflow.store.artifact.s3_artifact_repo", "mlflow.store.tracking.rest_store",
    "onnxruntime", "psycopg2", "pyarrow.csv", "pyarrow.dataset", "pyarrow.fs", "pyarrow.parquet", "python_calamine",
    "sqlalchemy.dialects.postgresql.psycopg2", "supervisor.supervisord", "xlsxwriter",
    "ml.bundle.reader", "ml.registry.cache",
)  # fmt: skip
# Programs of their own; and `python -m ml score`, which a table's own machine runs.
LEFT_OUT = ("__main__", "gunicorn.conf")


def first_run(address: str) -> int:
    """Start `retrain` where it has never run, so that a new cluster gets its first champion; run once.

    Parameters
    ----------
    address
        Of Airflow's API server; the admin's password is in `ADMIN_PASSWORD`.
    """
    api, until = AirflowApi(address, lambda: os.environ["ADMIN_PASSWORD"]), time.monotonic() + READ_WITHIN_S
    while not api.has_dag("retrain"):
        if time.monotonic() > until:
            raise AirflowUnavailable(f"the DAG processor has not read the DAG retrain after {READ_WITHIN_S:.0f} s")
        time.sleep(2)
    if not api.runs("retrain", limit=1):
        print(f"started {api.trigger('retrain', {})}")
    return 0


def make_bucket(name: str) -> int:
    """Make an S3 bucket where it is missing; run once."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)
    return 0


def load(folder: str) -> int:
    """Load everything that a service loads: of its own folder, and `LATER`.

    Its image is built with this: what was taken out of it by mistake stops the build, and what is loaded here is there
    in compiled form.
    """
    for path in sorted(Path(folder).rglob("*.py")):
        if path.stem not in LEFT_OUT and path.parts[1] != "batch":
            importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    for name in LATER:
        importlib.import_module(name)
    importlib.import_module("serving.app").create_app()
    # Its description of S3 is read when a client is made.
    importlib.import_module("boto3").client("s3", region_name="us-east-1")
    print("loaded")
    return 0


COMMANDS = {"make-bucket": make_bucket, "first-run": first_run, "load": load}


def main(arguments: list[str]) -> int:
    """One command with its one argument."""
    if len(arguments) != 2 or arguments[0] not in COMMANDS:
        print(f"usage: python -m ops.containers {'|'.join(COMMANDS)} ARGUMENT", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
