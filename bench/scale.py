"""What a table of n rows costs, by stage: seconds, CPU seconds, the peak memory of the process tree, and the exponent.

    python bench/scale.py                                       # 10k, 100k and 1M rows × 20, from Parquet
    python bench/scale.py --sizes 10k,100k,1M,10M --json
    python bench/scale.py --sizes 1M --format csv --stages generate
    python bench/scale.py --sizes 1M --stages generate --against ../other-checkout

Each stage is the command `python -m ml STAGE` in a process of its own, in a home of its own. CPU is that of the stage
and all its children; memory the highest sum of their proportional set sizes (a page that several share is counted
once), looked at four times a second. The exponent x of cost = a · rows^x is the slope in logarithms over all sizes; of
the two largest alone it is told beside it, as the start of the program hides it in the small ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import harness  # noqa: E402

STAGES = ("generate", "train", "tune", "evaluate", "register", "promote")
COLUMNS = 20
NAMES = [f"f{i}" for i in range(COLUMNS)]
SCHEMA = pa.schema([*((name, pa.float32()) for name in NAMES), ("target", pa.int64())])
BLOCK = 250_000  # rows made at once
LOOK_S = 0.25  # between two looks at the memory: each makes the kernel walk the pages
RUN = "scale"
EXPONENT_OF = ("seconds", "cpu_s", "peak_mb")


def main() -> None:
    parser = harness.options(__doc__, keep="leave the homes where they are")
    parser.add_argument("--sizes", default="10k,100k,1M", help="rows, with k or M")
    parser.add_argument("--stages", default=",".join(STAGES), help="in order; those before must be there")
    parser.add_argument("--format", choices=("parquet", "csv", "sqlite"), default="parquet")
    parser.add_argument("--evals", type=int, default=4, help="trials of the search")
    parser.add_argument("--rounds", type=int, default=1, help="medians over so many")
    parser.add_argument("--folder", type=Path, help="where tables and homes are made; default: a temporary one")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="refit-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[int, dict[str, harness.Figures]]] = {}
    try:
        for size in map(rows_of, arguments.sizes.split(",")):
            table = make(folder, size, arguments.format)
            trees = {"here": ROOT} | ({"there": arguments.against.resolve()} if arguments.against else {})
            for name, stages in _measured(trees, table, arguments, folder).items():
                found.setdefault(name, {})[size] = stages
                if not arguments.json:
                    print(_line(name, size, stages), flush=True)
    finally:
        if not arguments.keep and arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    result = {name: {"sizes": sizes, "exponents": exponents(sizes)} for name, sizes in found.items()}
    harness.show(result, lambda: text(result), as_json=arguments.json, indent=2)


def rows_of(text: str) -> int:
    """So many rows.

    >>> rows_of("10k"), rows_of("1M"), rows_of("500")
    (10000, 1000000, 500)
    """
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1], 1)
    return int(float(text[:-1] if factor > 1 else text) * factor)


def make(folder: Path, rows: int, kind: str) -> Path:
    """A table of float32 columns and two classes that depend on them, written block by block."""
    path = folder / f"table-{rows}.{kind}"
    if path.exists():
        return path
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(f"CREATE TABLE t ({', '.join(f'{name} REAL' for name in NAMES)}, target INTEGER)")
            for block in _blocks(rows):
                cells = zip(*(column.to_pylist() for column in block.columns), strict=True)
                database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * (COLUMNS + 1))})", cells)
        return path
    opened: Any = pq.ParquetWriter(path, SCHEMA) if kind == "parquet" else pacsv.CSVWriter(path, SCHEMA)
    with opened as writer:
        for block in _blocks(rows):
            writer.write_table(block)
    return path


def _blocks(rows: int) -> Iterator[pa.Table]:
    rng = np.random.default_rng(rows)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        x = rng.standard_normal((COLUMNS, n), dtype=np.float32)
        y = (x[0] + x[1] * x[2] + 0.5 * rng.standard_normal(n) > 0).astype(np.int64)
        yield pa.table([*x, y], schema=SCHEMA)


def source(table: Path) -> dict[str, str]:
    """The settings of a table that `make` made.

    >>> source(Path("table-1000.csv"))
    {'REFIT_DATA__SOURCE': 'file', 'REFIT_DATA__PATH': 'table-1000.csv', 'REFIT_DATA__TARGET': 'target'}
    """
    target = {"REFIT_DATA__TARGET": "target"}
    if table.suffix == ".sqlite":
        query = {"REFIT_DATA__URL": f"sqlite:///{table}", "REFIT_DATA__QUERY": "SELECT * FROM t"}
        return {"REFIT_DATA__SOURCE": "sql"} | query | target
    return {"REFIT_DATA__SOURCE": "file", "REFIT_DATA__PATH": str(table)} | target


def _measured(
    trees: dict[str, Path], table: Path, arguments: Any, folder: Path
) -> dict[str, dict[str, harness.Figures]]:
    """Tree → stage → figures; medians over the rounds, in each of which the trees take turns."""
    seen: dict[str, list[dict[str, harness.Figures]]] = {name: [] for name in trees}
    for number in range(arguments.rounds):
        names = list(trees)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            home = folder / f"home-{name}"
            shutil.rmtree(home, ignore_errors=True)
            seen[name].append(_stages(trees[name], home, table, arguments))
    return {
        name: {stage: harness.medians([one[stage] for one in rounds]) for stage in rounds[0]}
        for name, rounds in seen.items()
    }


def _stages(tree: Path, home: Path, table: Path, arguments: Any) -> dict[str, harness.Figures]:
    environment = os.environ | {
        "REFIT_HOME": str(home),
        "PYTHONPATH": str(tree),
        "REFIT_DATA__MAX_BYTES": str(10**12),
        "REFIT_TUNE__MAX_EVALS": str(arguments.evals),
        "REFIT_REGISTRY__CONFIRM": "never",
        **source(table),
    }
    home.mkdir(parents=True)
    found = {}
    for stage in arguments.stages.split(","):
        command = [sys.executable, "-m", "ml", stage, "--run", RUN, "--json"]
        found[stage] = measured(command, environment, tree)
    return found


def measured(command: list[str], environment: dict[str, str], cwd: Path) -> harness.Figures:
    """Seconds, CPU seconds and the peak memory in MB of a command and all that it starts."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=said, stderr=said)
        peak, ended = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()[-3000:].decode()}")
    return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": peak[0]}


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    import psutil

    while not ended.wait(LOOK_S):
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        peak[0] = max(peak[0], sum(map(_pss_mb, tree)))


def _pss_mb(process: Any) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_000


def exponents(sizes: dict[int, dict[str, harness.Figures]]) -> dict[str, dict[str, list[float]]]:
    """Stage → figure → the exponent over all sizes, and over the two largest; nothing for one size.

    >>> found = {10: {"train": {"cpu_s": 1.0}}, 100: {"train": {"cpu_s": 10.0}}, 1000: {"train": {"cpu_s": 1000.0}}}
    >>> exponents(found)
    {'train': {'cpu_s': [1.5, 2.0]}}
    """
    if len(sizes) < 2:
        return {}
    rows = sorted(sizes)
    made: dict[str, dict[str, list[float]]] = {}
    for stage in sizes[rows[0]]:
        for figure in sizes[rows[0]][stage]:
            costs = [max(sizes[n][stage][figure], 1e-9) for n in rows]
            slopes = [_slope(rows, costs), _slope(rows[-2:], costs[-2:])]
            made.setdefault(stage, {})[figure] = [round(slope, 2) for slope in slopes]
    return made


def _slope(rows: list[int], costs: list[float]) -> float:
    return float(np.polyfit(np.log(rows), np.log(costs), 1)[0])


def _line(name: str, size: int, stages: dict[str, harness.Figures]) -> str:
    told = [
        f"{stage} {f['seconds']:.1f} s, {f['cpu_s']:.1f} CPU s, {f['peak_mb']:,.0f} MB" for stage, f in stages.items()
    ]
    return f"{name} {size:,}: " + "; ".join(told)


def text(result: dict[str, Any]) -> str:
    """A table a checkout: stages by sizes, and the exponents."""
    parts = []
    for name, found in result.items():
        sizes = sorted(found["sizes"])
        head = ["stage", *(f"{n:,}: s, CPU s, MB" for n in sizes), "exponent of s, CPU s, MB (largest two)"]
        rows = []
        for stage in found["sizes"][sizes[0]]:
            each = [found["sizes"][n][stage] for n in sizes]
            cells = [f"{f['seconds']:.1f}, {f['cpu_s']:.1f}, {f['peak_mb']:,.0f}" for f in each]
            slopes = found["exponents"].get(stage, {})
            shown = [f"{slopes[figure][0]} ({slopes[figure][1]})" for figure in EXPONENT_OF if figure in slopes]
            rows.append([stage, *cells, ", ".join(shown)])
        parts.append(f"{name}\n{harness.table(head, rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
