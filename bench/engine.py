"""The same search with local processes and on a Dask cluster of as many workers; or the same replay here and there.

    python -m bench.engine [--evals 30] [--rows 1000] [--workers 2] [--rounds 3] [--json]
    python -m bench.engine --replay [--windows 30] [--rows 20000] [--workers 2] [--rounds 3] [--json]

The cluster is a scheduler and workers of one process each on this machine, started once, as a cluster stands ready;
local workers are started by each search, as they are. Rounds are interleaved, medians are told, and every search must
find the same trials. Goal: at least .9 of the speed of local processes.

A replay is of a table of 20 numbers whose labels turn around in the middle; here it has one process. Both must come to
the same record.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import harness
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
START_S = 120.0  # for scheduler and workers, on a busy machine


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """The address of a scheduler on loopback that has so many workers."""
    from distributed import Client

    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask = str(Path(sys.executable).with_name("dask"))
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    commands = [[dask, "scheduler", "--port", str(port), *here]]
    commands += [[dask, "worker", address, "--nthreads", "1", "--no-nanny", *here]] * workers
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
    with (folder / "cluster.log").open("wb") as log:
        programs = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) for command in commands
        ]
        try:
            with Client(address, timeout=START_S, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=START_S)
            yield address
        finally:
            for program in reversed(programs):
                program.terminate()
                program.wait()


def compare(rows: int, evals: int, workers: int, rounds: int) -> dict[str, Any]:
    from ml import tuning
    from ml.data import generate
    from ml.settings import from_values

    with tempfile.TemporaryDirectory() as home, cluster(Path(home), workers) as address:

        def settings(**tune: Any) -> Any:
            values = {"home": home, "tune": tune, "train": {"device": "cpu"}, "synthetic": {"n_samples": rows}}
            return from_values(values)

        snapshot = generate(settings())
        engines = {
            "processes": settings(workers=workers),
            "dask": settings(engine="dask", engine_address=address),
        }
        found: dict[str, list[Any]] = {}
        searches = iter(range(rounds * len(engines)))

        def contender(name: str) -> harness.Figures:
            begun = time.perf_counter()
            workdir = Path(home, f"search{next(searches)}")
            result = tuning.search(snapshot, engines[name], workdir=workdir, max_evals=evals)
            seconds = time.perf_counter() - begun
            trials = [(trial.family, trial.params, trial.status, trial.loss) for trial in result.trials]
            if found.setdefault("trials", trials) != trials:
                raise SystemExit(f"{name} found other trials")
            print(f"{name}: {seconds:.1f} s", file=sys.stderr, flush=True)
            return {"s": seconds}

        medians = harness.in_turns({name: partial(contender, name) for name in engines}, rounds)
    return {
        "rows": rows, "trials": evals, "workers": workers, "rounds": rounds, "engines": medians,
        "speed_of_local": medians["processes"]["s"] / medians["dask"]["s"], "goal": ">= .9",
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def replays(rows: int, windows: int, workers: int, rounds: int) -> dict[str, Any]:
    """A replay by `logistic` and `hist_gradient_boosting` in this process, and on a cluster."""
    from ml.replay import comparison
    from ml.settings import from_values
    from ml.storage.files import to_json

    with tempfile.TemporaryDirectory() as home, cluster(Path(home), workers) as address:
        table = Path(home, "past.parquet")
        turning(rows).to_parquet(table)
        data = {"source": "file", "path": str(table), "target": "y", "time_column": "t", "split": "stratified"}
        train = {"families": ["logistic", "hist_gradient_boosting"]}
        engines: dict[str, dict[str, Any]] = {"here": {}, "dask": {"engine": "dask", "engine_address": address}}
        found: dict[str, bytes] = {}

        def contender(name: str) -> harness.Figures:
            settings = from_values({"home": home, "data": data, "train": train, "tune": engines[name]})
            begun = time.perf_counter()
            played = to_json(comparison.run(settings, label_delay="12h", n_windows=windows))
            seconds = time.perf_counter() - begun
            if found.setdefault("played", played) != played:
                raise SystemExit(f"{name} came to another record")
            print(f"{name}: {seconds:.1f} s", file=sys.stderr, flush=True)
            return {"s": seconds}

        medians = harness.in_turns({name: partial(contender, name) for name in engines}, rounds)
    return {
        "rows": rows, "windows": windows, "workers": workers, "rounds": rounds, "engines": medians,
        "speed_of_local": medians["here"]["s"] / medians["dask"]["s"], "load_average": os.getloadavg()[0],
    }  # fmt: skip


def turning(rows: int) -> Any:
    """A row an hour: 20 numbers, of which the first tells the label, and from the middle on its opposite."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).round(3)
    yes = (x[:, 0] > 0) ^ (np.arange(rows) >= rows // 2) ^ (rng.random(rows) < 0.05)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(20)])
    moments = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    return frame.assign(t=moments, y=np.where(yes, "yes", "no"))


def text(result: dict[str, Any]) -> str:
    """A table of the engines, and the ratio."""
    rows = [[name, f"{figures['s']:.1f}"] for name, figures in result["engines"].items()]
    what = f"{result['trials']} trials of" if "trials" in result else f"a replay in {result['windows']} windows of"
    local = "local processes" if "trials" in result else "one process"
    return (
        f"{what} {result['rows']:,} rows, {result['workers']} workers, medians of "
        f"{result['rounds']}\n{harness.table(['', 's'], rows)}\n"
        f"Dask has {result['speed_of_local']:.2f} of the speed of {local}."
    )


def main() -> None:
    parser = harness.options(__doc__, replay="a replay instead of a search")
    parser.add_argument("--evals", type=int, default=30, help="trials of each search (default: 30)")
    parser.add_argument("--windows", type=int, default=30, help="of the replay (default: 30)")
    parser.add_argument("--rows", type=int, help="of the table (default: 1000, of a replay 20000)")
    parser.add_argument("--workers", type=int, default=2, help="of both engines (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    options = parser.parse_args()
    if options.replay:
        logging.disable(logging.WARNING)  # alerts of the past
        result = replays(options.rows or 20_000, options.windows, options.workers, options.rounds)
    else:
        result = compare(options.rows or 1_000, options.evals, options.workers, options.rounds)
    harness.show(result, lambda: text(result), as_json=options.json)


if __name__ == "__main__":
    main()
