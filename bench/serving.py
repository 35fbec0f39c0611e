"""The same model behind several servers: throughput, CPU a request, latency, memory and start, as ratios.

Each server runs with 2 workers and keep-alive; ours as shipped, with every answer in its log. Runs are interleaved
(each round asks every server in turn), medians over rounds are shown. The load generator is one Python thread
whose own CPU is shown beside: where it nears 100 %, a server could have given more. Torch answers in the peers.

    python -m bench.serving [--quick] [--seconds 3] [--rounds 3] [--only NAME …] [--json]

BentoML and LitServe get environments of their own under ~/.cache/refit-bench, made at the first run.
"""

from __future__ import annotations

import csv
import http.client
import io
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench import harness, load
from bench.peers import model, servers
from bench.peers.servers import Peer
from serving.model.store import Pointer, write_pointer
from tests.ports import free_port

BASE = "mlflow models serve, columns"
TENSOR = "mlflow models serve, tensor"
OURS = "Refit"
AS_MLFLOW = "Refit, /invocations"  # answers what MLflow answers: no line of the file comes back
CONNECTIONS = (1, 8, 32)
ROWS = (1, 100)
FILE_ROWS = 100_000

Key = tuple[str, int, int]
Figures = dict[str, float]


def measure(peers: list[Peer], seconds: float, rounds: int) -> dict[Key, Figures]:
    """(server, rows, connections) → medians of `rate`, `cpu_ms`, `p50_ms`, `p99_ms`, `generator`, `failed`."""
    runs: dict[Key, list[Figures]] = defaultdict(list)
    for number in range(rounds):
        for n_rows in ROWS:
            sent = model.rows(n_rows)
            for connections in CONNECTIONS:
                for peer in peers:
                    request = peer.request(sent)
                    load.run(peer.port, request, connections=connections, seconds=min(0.3, seconds))  # warm
                    before = peer.cpu_s()
                    result = load.run(peer.port, request, connections=connections, seconds=seconds)
                    runs[peer.name, n_rows, connections].append(_figures(result, peer.cpu_s() - before))
                progress(f"round {number + 1}/{rounds}: {n_rows} rows, {connections} connections")
    return {key: harness.medians(found) for key, found in runs.items()}


def _figures(result: load.Result, cpu_s: float) -> Figures:
    answered = max(result.answered, 1)
    return {
        "rate": result.rate,
        "cpu_ms": 1000 * cpu_s / answered,
        "p50_ms": 1000 * result.percentile(0.5),
        "p99_ms": 1000 * result.percentile(0.99),
        "generator": result.cpu_s / result.seconds,
        "failed": float(sum(result.failures.values())),
    }


def file_scoring(peers: list[Peer], repeats: int) -> dict[str, float]:
    """Rows a second of a CSV with 100,000 rows: the median of `repeats`, in turns, after one that is not counted."""
    content, times = table(FILE_ROWS), defaultdict[str, list[float]](list)
    asked = [
        (name, peer.port, path)
        for peer in peers
        for of, name, path in (
            (OURS, OURS, "/predict/file"),
            (OURS, AS_MLFLOW, "/invocations"),
            (BASE, BASE, "/invocations"),
        )
        if peer.name == of
    ]
    for number in range(repeats + 1):
        for name, port, path in asked:
            took = _upload(port, path, content)
            times[name] += [took] if number else []
    progress(f"files of {FILE_ROWS} rows")
    return {name: FILE_ROWS / statistics.median(took) for name, took in times.items()}


def table(n: int) -> bytes:
    """A CSV of `n` rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(model.NAMES)
    writer.writerows([f"{v:.6g}" for v in row] for row in model.rows(n).tolist())
    return out.getvalue().encode()


def _upload(port: int, path: str, content: bytes) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, content, {"Content-Type": "text/csv"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
    connection.close()
    return time.perf_counter() - began


def beside_files(peer: Peer, seconds: float) -> Figures:
    """p99 of single rows at 8 connections, quiet and while one client uploads the file over and over."""
    request = peer.request(model.rows(1))
    quiet = load.run(peer.port, request, connections=8, seconds=seconds)
    script = (
        "import bench.serving as b\ncontent = b.table(b.FILE_ROWS)\nprint(flush=True)\n"
        f"while True: b._upload({peer.port}, '/predict/file', content)"
    )
    uploader = subprocess.Popen([sys.executable, "-c", script], cwd=servers.ROOT, stdout=subprocess.PIPE)
    try:
        assert uploader.stdout is not None
        uploader.stdout.readline()  # the table is made
        busy = load.run(peer.port, request, connections=8, seconds=seconds)
    finally:
        uploader.kill()
        uploader.wait()
    progress("single rows beside file uploads")
    return {"quiet_p99_ms": 1000 * quiet.percentile(0.99), "busy_p99_ms": 1000 * busy.percentile(0.99)}


def restarts(peer: Peer, folder: Path, repeats: int = 3) -> float:
    """Seconds from the start of the process to the first answer; the best of some, as other work only adds."""
    port, best = peer.port, peer.start_s
    for _ in range(repeats):
        peer.stop()
        peer.start(port, folder / "restart.log")
        best = min(best, peer.start_s)
    return best


def ratios(found: dict[Key, Figures], names: list[str]) -> list[list[str]]:
    """Rows of the table: throughput, CPU and p99 of each server, as multiples of MLflow's column mode."""
    rows = []
    for name in names:
        cells = [name]
        for n_rows in ROWS:
            for connections in CONNECTIONS:
                base, own = found[BASE, n_rows, connections], found[name, n_rows, connections]
                cells.append(f"{own['rate'] / base['rate']:.1f}")
        one = found[name, 1, 8]
        cells += [f"{one['cpu_ms']:.2f}", f"{one['p50_ms']:.1f} / {one['p99_ms']:.1f}"]
        rows.append(cells)
    return rows


def goals(found: dict[Key, Figures], files: dict[str, float], beside: Figures, rss: float, start: float) -> list[Any]:
    """(goal, wanted, got, met)."""

    def times(other: str, n_rows: int = 1, connections: int = 8) -> float:
        return found[OURS, n_rows, connections]["rate"] / found[other, n_rows, connections]["rate"]

    def p99(connections: int) -> float:
        return found[BASE, 1, connections]["p99_ms"] / found[OURS, 1, connections]["p99_ms"]

    table: list[tuple[str, float, float, bool]] = [
        ("1 row × 8: times mlflow columns", 30, times(BASE), times(BASE) >= 30),
        ("1 row × 8: times mlflow tensor", 6, times(TENSOR), times(TENSOR) >= 6),
        ("1 row × 8: times FastAPI", 3, times("FastAPI, pydantic, torch"), times("FastAPI, pydantic, torch") >= 3),
        ("1 row × 8: times no-op Flask", 2, times("no-op Flask, gthread"), times("no-op Flask, gthread") >= 2),
        ("100 rows × 8: times mlflow columns", 15, times(BASE, 100), times(BASE, 100) >= 15),
        ("p99 at 8: mlflow's divided by ours", 15, p99(8), p99(8) >= 15),
        ("p99 at 32: mlflow's divided by ours", 15, p99(32), p99(32) >= 15),
        *(
            (f"file: {name}, times mlflow", 4, files[name] / files[BASE], files[name] >= 4 * files[BASE])
            for name in (OURS, AS_MLFLOW)
        ),
        ("p99 beside uploads, times quiet (at most)", 3, beside["busy_p99_ms"] / beside["quiet_p99_ms"],
         beside["busy_p99_ms"] <= 3 * beside["quiet_p99_ms"]),
        ("a worker, MB (below)", 100, rss, rss < 100),
        ("ready after, s (at most)", 1, start, start <= 1),
    ]  # fmt: skip
    return table


def progress(text: str) -> None:
    """To standard error."""
    print(text, file=sys.stderr, flush=True)


def started(folder: Path, only: list[str]) -> list[Peer]:
    """The servers that are wanted and could be started."""
    model.write_mlflow(folder / "columns", folder / "tensor")
    for worker_class in ("fast", "gthread"):
        serving_folder = folder / f"home-{worker_class}" / "var" / "serving"
        sha256 = model.write_bundle(serving_folder / "cache" / "model")
        write_pointer(serving_folder, Pointer("1", "cache/model", sha256))
    wanted = [
        peer
        for peer in servers.all_peers(folder)
        if not only or peer.name in (OURS, BASE) or any(word.lower() in peer.name.lower() for word in only)
    ]
    launched, peers = [], []
    for number, peer in enumerate(wanted):  # at once, as some take a minute: their start is not what is compared
        try:
            peer.launch(free_port(), folder / f"{number}.log")
        except (OSError, subprocess.SubprocessError) as error:
            progress(f"left out: {peer.name}: {error}")
        else:
            launched.append(peer)
    for peer in launched:
        try:
            peer.wait()
        except RuntimeError as error:
            progress(f"left out: {error}")
            continue
        progress(f"{peer.name}: first answer after {peer.start_s:.1f} s, beside the others")
        peers.append(peer)
    return peers


def main() -> None:
    """The command line."""
    parser = harness.options(__doc__, quick="one round of 1.5 s")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the servers wanted")
    options = parser.parse_args()
    seconds, rounds = (1.5, 1) if options.quick else (options.seconds, options.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and the servers with it
    folder = Path(tempfile.mkdtemp(prefix="refit-bench-"))
    peers: list[Peer] = []
    try:
        peers = started(folder, options.only)
        ours = next(peer for peer in peers if peer.name == OURS)
        found = measure(peers, seconds, rounds)
        if not options.json:
            print_ratios(found, peers)
        files = file_scoring(peers, 3 if options.quick else 7)
        beside = beside_files(ours, 2 * seconds)
        memory = {peer.name: peer.rss_mb() for peer in peers}
        for peer in peers:
            if peer is not ours:
                peer.stop()
        start = restarts(ours, folder)
    finally:
        for peer in peers:
            peer.stop()
        shutil.rmtree(folder, ignore_errors=True)
    full = {TENSOR, "FastAPI, pydantic, torch", "no-op Flask, gthread"} <= {peer.name for peer in peers}
    reached = goals(found, files, beside, memory[OURS], start) if full else []
    if options.json:
        raw = {" | ".join(map(str, key)): value for key, value in found.items()}
        told = {"file_rows_per_s": files, "beside_files": beside, "worker_mb": memory, "start_s": start}
        harness.show({"measured": raw, **told, "goals": reached}, as_json=True)
        return
    print(f"\nfile of {FILE_ROWS} rows, rows/s: " + ", ".join(f"{k} {v:.0f}" for k, v in files.items()))
    print(f"p99 of one row, quiet and beside uploads: {beside['quiet_p99_ms']:.1f}, {beside['busy_p99_ms']:.1f} ms")
    print("largest process, MB: " + ", ".join(f"{k} {v:.0f}" for k, v in memory.items()))
    print(f"generator's CPU, busiest: {max(f['generator'] for f in found.values()):.0%}")
    print(f"failed requests: {sum(f['failed'] for f in found.values()):.0f}\n")
    for goal, wanted, got, met in reached:
        print(f"{'met    ' if met else 'NOT MET'} {goal}: {wanted:g} wanted, {got:.1f} measured")


def print_ratios(found: dict[Key, Figures], peers: list[Peer]) -> None:
    """The table in Markdown."""
    head = ["times mlflow columns", *(f"{n}r × {c}" for n in ROWS for c in CONNECTIONS), "CPU ms 1r×8", "p50 / p99 ms"]
    print(harness.table(head, ratios(found, [peer.name for peer in peers])), flush=True)


if __name__ == "__main__":
    main()
