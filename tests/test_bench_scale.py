"""What bench/scale.py measures and how it is told."""

import contextlib
import doctest
import os
import sqlite3
import sys
from pathlib import Path

import pyarrow.parquet as pq

from bench import scale


def test_its_examples_are_true() -> None:
    assert doctest.testmod(scale).failed == 0


def test_a_command_is_measured_with_its_children(tmp_path: Path) -> None:
    eat = "held = bytearray(80_000_000); held[::4096] = b'x' * len(held[::4096]); import time; time.sleep(1.5)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {eat!r}])"
    found = scale.measured([sys.executable, "-c", start], dict(os.environ), tmp_path)
    assert found["peak_mb"] > 80
    assert found["seconds"] >= 1.5
    assert found["cpu_s"] > 0


def test_a_table_is_made_by_blocks_and_once(tmp_path: Path) -> None:
    made = scale.make(tmp_path, 1_000, "parquet")
    before = made.stat().st_mtime_ns
    assert pq.read_metadata(made).num_rows == 1_000
    assert scale.make(tmp_path, 1_000, "parquet").stat().st_mtime_ns == before


def test_a_database_has_the_rows_of_the_file(tmp_path: Path) -> None:
    made = scale.make(tmp_path, 300, "sqlite")
    with contextlib.closing(sqlite3.connect(made)) as database:
        rows = database.execute("SELECT * FROM t").fetchall()
    assert rows == [tuple(row.values()) for row in pq.read_table(scale.make(tmp_path, 300, "parquet")).to_pylist()]
    assert scale.source(made)["REFIT_DATA__SOURCE"] == "sql"


def test_the_table_of_results_has_a_column_a_size() -> None:
    figures = {"seconds": 1.0, "cpu_s": 2.0, "peak_mb": 3_000.0}
    sizes = {10: {"train": figures}, 100: {"train": {name: 10 * value for name, value in figures.items()}}}
    shown = scale.text({"here": {"sizes": sizes, "exponents": scale.exponents(sizes)}})
    assert "| train | 1.0, 2.0, 3,000 | 10.0, 20.0, 30,000 | 1.0 (1.0), 1.0 (1.0), 1.0 (1.0) |" in shown
