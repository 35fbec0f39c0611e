"""Batch scoring beside MLflow's own model: rows a second a core, and memory.

    python -m bench.score [--rows 1000000] [--family logistic] [--rounds 3] [--json]

A table of 20 number columns as Parquet is scored by `python -m ml score` with one process, and with one a core, and
by `mlflow.pyfunc.load_model(…).predict` over the same batches of the same file, which writes a file too. Each is a
process of its own, its start included; rounds are interleaved, medians are told. A core's rows are by CPU time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import harness

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 20
PEER = """
import sys, mlflow, pyarrow as pa, pyarrow.parquet as pq
model, table, out = sys.argv[1:]
model = mlflow.pyfunc.load_model(model)
writer = None
for batch in pq.ParquetFile(table).iter_batches(65536):
    answers = pa.Table.from_pandas(model.predict(batch.to_pandas()))
    writer = writer or pq.ParquetWriter(out, answers.schema)
    writer.write_table(answers)
writer.close()
"""


def run(command: list[str], environment: dict[str, str]) -> harness.Figures:
    """Wall and CPU seconds of a program with its children, and the largest of them in MB."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1:4]} ended with {process.returncode}")
    cpu = used.ru_utime + used.ru_stime
    return {"wall_s": time.monotonic() - begun, "cpu_s": cpu, "largest_process_mb": used.ru_maxrss / 1024}


def compare(rows: int, family: str, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "REFIT_HOME": home, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        python = sys.executable
        run([python, "-m", "ml", "pipeline", "--families", family, "--max-evals", "1"], environment)
        model = next(Path(home).rglob("MLmodel")).parent
        table, out = Path(home) / "table.parquet", Path(home) / "out"
        rng = np.random.default_rng(0)
        columns = {f"f{i}": rng.normal(size=rows) for i in range(COLUMNS)}
        pq.write_table(pa.table(columns), table, row_group_size=100_000)
        cores = os.cpu_count() or 1
        score = [python, "-m", "ml", "score", str(table), "--output", str(out), "--workers"]
        ways = {
            "refit, one process": [*score, "1"],
            f"refit, {cores} processes": [*score, str(cores)],
            "mlflow pyfunc": [python, "-c", PEER, str(model), str(table), str(Path(home) / "peer.parquet")],
        }

        def contender(command: list[str]) -> harness.Figures:
            shutil.rmtree(out, ignore_errors=True)
            figures = run(command, environment)
            return figures | {"rows_a_second_a_core": rows / figures["cpu_s"]}

        found = harness.in_turns({name: partial(contender, command) for name, command in ways.items()}, rounds)
    ratio = harness.ratios(found, "cpu_s", "refit, one process")["mlflow pyfunc"]
    return {"rows": rows, "family": family, "ways": found, "ratio_to_mlflow": ratio}


def text(result: dict[str, Any]) -> str:
    head = ["", "s", "CPU s", "rows/s a core", "largest process, MB"]
    rows = [
        [
            name, f"{way['wall_s']:.1f}", f"{way['cpu_s']:.1f}", f"{way['rows_a_second_a_core']:,.0f}",
            f"{way['largest_process_mb']:.0f}",
        ]
        for name, way in result["ways"].items()
    ]  # fmt: skip
    return (
        f"{result['rows']:,} rows of {COLUMNS} columns, {result['family']}\n{harness.table(head, rows)}\n"
        f"MLflow takes {result['ratio_to_mlflow']:.2f} × the CPU."
    )


def main() -> None:
    parser = harness.options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--family", default="logistic")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = compare(options.rows, options.family, options.rounds)
    harness.show(result, lambda: text(result), as_json=options.json)


if __name__ == "__main__":
    main()
