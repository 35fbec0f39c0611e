"""How fast is our network fitted? Rows per second beside a bare PyTorch loop and other fits, and memory.

    python bench/training.py                                  # 1,000, 100,000 and 1,000,000 rows × 20
    python bench/training.py --sizes 1000,100000 --repeats 5 --json

All fit the same plain network (20 → 64 → 64 → 2, ReLU, Adam) with the same batch size for the same
number of epochs (four or more) on the same rows, one thread; nothing is held out. Figures are medians over
interleaved repeats of rows · epochs per CPU second, as a ratio to the bare loop, which indexes tensors
and knows of no metrics, classes or preprocessing. Memory is the peak of a process of its own above what it
had after its imports and before the table was made, in units of the float32 table.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness

COLUMNS, HIDDEN, RATE = 20, (64, 64), 1e-3
LEAST_EPOCHS = 4  # a fit chooses 16 and more; of one alone, reading and scaling the rows would be a third
Fit = Callable[[Any, Any, int, int], None]  # rows (n, 20), codes (n,), epochs, batch


def table(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Standard normal float32 and two classes that depend on it."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, COLUMNS), dtype=np.float32)
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)


def ours(X: Any, y: Any, epochs: int, batch: int) -> None:
    from ml.models.mlp.classifier import MLPClassifier

    MLPClassifier.plain(
        hidden=HIDDEN, epochs=epochs, batch_size=batch, learning_rate=RATE, early_stopping=False, device="cpu"
    ).fit(X, y)


def network() -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Linear(COLUMNS, HIDDEN[0]), nn.ReLU(), nn.Linear(HIDDEN[0], HIDDEN[1]), nn.ReLU(), nn.Linear(HIDDEN[1], 2)
    )


def bare(X: Any, y: Any, epochs: int, batch: int) -> None:
    import torch

    model, rows, labels = network(), torch.from_numpy(X), torch.from_numpy(y)
    optimiser, loss = torch.optim.Adam(model.parameters(), RATE), torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), batch):
            index = order[start : start + batch]
            optimiser.zero_grad()
            loss(model(rows[index]), labels[index]).backward()
            optimiser.step()


def data_loader(X: Any, y: Any, epochs: int, batch: int) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    model = network()
    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), batch_size=batch, shuffle=True)
    optimiser, loss = torch.optim.Adam(model.parameters(), RATE), torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows, labels in loader:
            optimiser.zero_grad()
            loss(model(rows), labels).backward()
            optimiser.step()


def sklearn(X: Any, y: Any, epochs: int, batch: int) -> None:
    from sklearn.neural_network import MLPClassifier

    MLPClassifier(HIDDEN, batch_size=min(batch, len(X)), max_iter=epochs, n_iter_no_change=epochs, tol=0.0).fit(X, y)


def skorch(X: Any, y: Any, epochs: int, batch: int) -> None:
    import torch
    from skorch import NeuralNetClassifier

    NeuralNetClassifier(
        network(),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        max_epochs=epochs,
        batch_size=batch,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    ).fit(X, y)


FITS: dict[str, Fit] = {
    "bare loop": bare,
    "ours": ours,
    "DataLoader": data_loader,
    "sklearn": sklearn,
    "skorch": skorch,
}


def available(names: list[str]) -> list[str]:
    """Without the peers that are not installed; says so."""
    from importlib.util import find_spec

    if "skorch" in names and find_spec("skorch") is None:
        print("skorch is not installed (pip install -r bench/requirements.txt): left out", file=sys.stderr)
        return [name for name in names if name != "skorch"]
    return names


def speeds(rows: int, names: list[str], repeats: int, seconds: float) -> dict[str, float]:
    """Median rows · epochs per CPU second of each; epochs so that the bare loop takes about `seconds`."""
    from ml.models.mlp.optimisation import choose_batch

    X, y = table(rows)
    batch = choose_batch(rows)
    for name in names:  # imports, allocations, thread pools
        FITS[name](X[: 4 * batch], y[: 4 * batch], 1, batch)
    started = time.process_time()
    bare(X, y, 1, batch)
    epochs = max(LEAST_EPOCHS, min(100, round(seconds / max(time.process_time() - started, 1e-3))))

    def fitted(name: str) -> harness.Figures:
        started = time.process_time()
        FITS[name](X, y, epochs, batch)
        return {"rows_per_cpu_s": rows * epochs / (time.process_time() - started)}

    found = harness.in_turns({name: partial(fitted, name) for name in names}, repeats)
    return {name: figures["rows_per_cpu_s"] for name, figures in found.items()}


MEMORY = """
import sys
def peak():  # in kB; ru_maxrss would begin with that of the process that started this one
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.path[:0] = [{root!r}, {here!r}]
import training
warm, codes = training.table(64)
training.FITS[{name!r}](warm, codes, 1, 32)
before = peak()
X, y = training.table({rows})
training.FITS[{name!r}](X, y, 1, 2048)
print((peak() - before) * 1024 / X.nbytes)
"""


def memory(name: str, rows: int) -> float:
    """Peak resident memory of one fit, the table included, over the float32 table."""
    here = Path(__file__).resolve().parent
    code = MEMORY.format(root=str(here.parent), here=str(here), name=name, rows=rows)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def one_thread() -> None:
    """The same single thread for everybody."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def main() -> None:
    """Measure fits."""
    parser = harness.options(__doc__, no_memory="leave the memory out")
    parser.add_argument("--sizes", default="1000,100000,1000000", help="rows of the tables: 1000,100000,1000000")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved rounds: 3")
    parser.add_argument("--seconds", type=float, default=1.0, help="about the time of one bare fit: 1")
    parser.add_argument("--only", default=",".join(FITS), help="which fits, with commas")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    one_thread()
    names = available(["bare loop", *[n for n in told.only.split(",") if n != "bare loop"]])
    found: dict[str, Any] = {}
    for rows in map(int, told.sizes.split(",")):
        measured = speeds(rows, names, told.repeats, told.seconds)
        found[str(rows)] = {
            name: {"rows_per_cpu_s": round(v), "ratio": v / measured["bare loop"]} for name, v in measured.items()
        }
        if not told.no_memory and rows >= 100_000:
            for name in ("ours", "bare loop"):
                found[str(rows)][name]["memory_over_table"] = memory(name, rows)
    harness.show(found, lambda: text(found, names), as_json=told.json, indent=2)


def text(found: dict[str, Any], names: list[str]) -> str:
    """A line a size."""
    rows = []
    for rows_text, row in found.items():
        cells = [f"{row[n]['ratio']:.2f} ({row[n]['rows_per_cpu_s']:,}/s)" for n in names]
        cells += [
            f"{row[n]['memory_over_table']:.1f}" if "memory_over_table" in row[n] else "" for n in ("ours", "bare loop")
        ]
        rows.append([f"{int(rows_text):,}", *cells])
    return harness.table(["rows", *names, "peak memory / table: ours", "bare loop"], rows)


if __name__ == "__main__":
    main()
