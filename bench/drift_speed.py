"""Time and memory of one drift check over many rows, beside Evidently's stock preset and a bare NumPy pass.

Reference and current window have `--rows` rows of `--columns` columns (three quarters numbers), a few of which
drifted. Compared are:

- verdict: the check's own work on the frames: canonical form, profiles, tests, verdict. It needs no Evidently;
- verdict and report: the same, and the Evidently report drawn from a sample of 5,000 rows;
- evidently: `DataDriftPreset` as it comes, on all rows, with its HTML;
- numpy: one `histogram` and one `unique` a column and side, the least that any comparison must do.

Each runs in a process of its own: CPU seconds, and the highest memory above that of the frames. What is imported
(for Evidently, several seconds on either side that uses it) is imported before, and its time told beside.

    python -m bench.drift_speed [--rows 1000000] [--columns 20] [--no-evidently] [--data FILE] [--json]

`--data FILE` (CSV) takes both sides from a table instead, with rows drawn again up to `--rows`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import harness

LEVELS = np.array(["a", "b", "c", "d", "e"], dtype=object)
DRIFTED = 3  # the first numbers move by half a standard deviation


def generate(rows: int, width: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reference and current window."""
    rng = np.random.default_rng(0)
    numbers = round(width * 0.75)
    sides = []
    for moved in (0.0, 0.5):
        frame = pd.DataFrame(rng.normal(size=(rows, numbers)), columns=[f"x{i}" for i in range(numbers)])
        frame.iloc[:, :DRIFTED] += moved
        for i in range(width - numbers):
            frame[f"c{i}"] = rng.choice(LEVELS, rows)
        sides.append(frame)
    return sides[0], sides[1]


def from_table(file: Path, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """First and second half of a table, rows drawn again."""
    table = pd.read_csv(file)
    rng = np.random.default_rng(0)
    half = len(table) // 2
    sides = [table.iloc[rng.integers(0, half, rows) + offset].reset_index(drop=True) for offset in (0, half)]
    return sides[0], sides[1]


def refit(reference: pd.DataFrame, current: pd.DataFrame, *, report_rows: int) -> dict[str, bool]:
    """The check without the reading of the log: verdict by column."""
    from ml.drift import features, performance, rule
    from ml.drift.reference import Baseline, canonical
    from ml.monitoring import evidently_report
    from ml.schema.schema import Column, Schema
    from ml.settings import Drift

    drift = Drift()
    numbers = [n for n in reference if pd.api.types.is_numeric_dtype(reference[n])]
    schema = Schema(
        target="y",
        classes=("0", "1"),
        positive_label="1",
        columns=tuple(Column(name=str(n), kind="number" if n in numbers else "category") for n in reference),
    )
    p = np.random.default_rng(1).random((len(reference), 1))
    p = np.hstack([1 - p, p])
    labels = np.where(p[:, 1] > 0.5, "1", "0").astype(object)
    baseline = Baseline("1", schema, reference, labels, labels, p)
    frame, problems = canonical(current, schema)
    findings = features.examine(baseline, frame, problems, drift, answers=(p, labels))
    nothing = performance.measure(baseline, labels[:0], labels[:0], p[:0], drift)
    rule.verdict(findings, nothing, performance.estimate(baseline, p, drift), drift)
    if report_rows:
        shown = pd.DataFrame({"label": labels, "actual": labels, "confidence": p.max(axis=1)})
        with tempfile.TemporaryDirectory() as folder:
            evidently_report.write(
                Path(folder), "r", baseline, frame, shown, findings, sentence="bench", rows=report_rows, seed=0
            )
    return {f.column: f.drifted for f in findings if f.column in reference}


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, bool]:
    """The stock preset on all rows."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [n for n in reference if pd.api.types.is_numeric_dtype(reference[n])]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[n for n in reference if n not in numbers]
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Report([DataDriftPreset()], include_tests=True).run(
            current_data=Dataset.from_pandas(current, data_definition=definition),
            reference_data=Dataset.from_pandas(reference, data_definition=definition),
        )
        run.save_html(f"{folder}/r.html")
        found = run.dict()
    tests = {t["metric_config"]["params"].get("column"): t["status"] == "FAIL" for t in found["tests"]}
    return {name: tests[name] for name in reference if name in tests}


def numpy_pass(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, bool]:
    """Histograms of both sides, and the larger population stability index than .1."""
    found = {}
    for name in reference:
        a, b = reference[name].to_numpy(), current[name].to_numpy()
        if a.dtype.kind in "fi":
            edges = np.quantile(a[:10_000], np.linspace(0, 1, 11))[1:-1]
            edges = np.concatenate([[-np.inf], np.unique(edges), [np.inf]])
            x, y = np.histogram(a, edges)[0] / len(a), np.histogram(b, edges)[0] / len(b)
        else:
            x, y = (pd.Series(v).value_counts(normalize=True).sort_index().to_numpy() for v in (a, b))
        found[str(name)] = (
            len(x) != len(y) or float(((x - y) * np.log(np.maximum(x, 1e-9) / np.maximum(y, 1e-9))).sum()) > 0.1
        )
    return found


METHODS = {
    "numpy": numpy_pass,
    "verdict": lambda a, b: refit(a, b, report_rows=0),
    "verdict and report": lambda a, b: refit(a, b, report_rows=5_000),
    "evidently": evidently,
}


OWN = ("ml.drift.features", "ml.drift.performance", "ml.monitoring.evidently_report", "ml.drift.rule")
EVIDENTLY = ("evidently", "evidently.presets", "evidently.legacy.calculations.stattests.registry")
IMPORTS: dict[str, tuple[str, ...]] = {
    "numpy": (),
    "verdict": OWN,
    "verdict and report": OWN + EVIDENTLY,
    "evidently": EVIDENTLY,
}


def measured(method: str, options: argparse.Namespace, send: Any) -> None:
    """In a process of its own: run and report."""
    os.environ["DO_NOT_TRACK"] = "1"
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    start = time.process_time()
    for module in IMPORTS[method]:
        importlib.import_module(module)
    imported = time.process_time() - start
    sides = from_table(options.data, options.rows) if options.data else generate(options.rows, options.columns)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    found = METHODS[method](*sides)
    send.send(
        {
            "method": method,
            "import_cpu_s": imported,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.perf_counter() - wall,
            "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
            "drifted": sorted(name for name, drifted in found.items() if drifted),
        }
    )


def main() -> None:
    parser = harness.options(__doc__, no_evidently="without the stock preset (minutes at 1M rows)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each side")
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--data", type=Path, help="take both sides from this CSV")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = []
    for method in METHODS:
        if method == "evidently" and options.no_evidently:
            continue
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=measured, args=(method, options, send))
        process.start()
        send.close()
        results.append(receive.recv())
        process.join()
        if not options.json:
            r = results[-1]
            print(
                f"{r['method']:<20}{r['cpu_s']:>8.2f} CPU s{r['wall_s']:>8.2f} s{r['memory_mb']:>8.0f} MB"
                f"  (imports {r['import_cpu_s']:.1f} CPU s)"
                f"   drifted: {', '.join(r['drifted'])}",
                flush=True,
            )
    ratios = harness.ratios({r["method"]: r for r in results}, "cpu_s", "verdict")
    told = {"rows": options.rows, "columns": options.columns, "results": results, "of_verdict": ratios}
    last = "CPU time as a multiple of the verdict's: " + ", ".join(f"{k} {v:.2f}" for k, v in ratios.items())
    harness.show(told, lambda: last, as_json=options.json)


if __name__ == "__main__":
    main()
