"""What docker-compose.yaml runs inside its containers: `python -m ops.containers probe URL`, `… make-bucket NAME`,
`… first-run URL`."""

from __future__ import annotations

import json
import os
import sys
import time

from ml import http
from ops.airflow_api import AirflowApi, AirflowUnavailable

PROBE_TIMEOUT_S = 8.0  # below the 10 s of the compose file, so that it can say why
READ_WITHIN_S = 300.0  # until the DAG processor of a cold machine has read the DAGs; our choice


def probe(address: str) -> int:
    """The containers' health check: 0 when an address answers 200, else 1.

    With a fragment it is Airflow's health page, `…/monitor/health#triggerer`, and the part must be healthy there: for
    processes that have no port of their own. `airflow jobs check` would cost 3 CPU s a call.
    """
    address, _, part = address.partition("#")
    try:
        status, content = http.exchange("GET", address, timeout_s=PROBE_TIMEOUT_S)
        healthy = status == 200 and (not part or json.loads(content)[part]["status"] == "healthy")
    except (http.HttpError, ValueError, KeyError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if healthy else 1


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


COMMANDS = {"probe": probe, "make-bucket": make_bucket, "first-run": first_run}


def main(arguments: list[str]) -> int:
    """One command with its one argument."""
    if len(arguments) != 2 or arguments[0] not in COMMANDS:
        print(f"usage: python -m ops.containers {'|'.join(COMMANDS)} ARGUMENT", file=sys.stderr)
        return 2
    return COMMANDS[arguments[0]](arguments[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
