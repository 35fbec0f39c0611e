"""A serving folder with everything the pages can show, made without training anything."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from ml import bundle
from serving import status
from serving.model_store import Pointer, write_pointer
from serving.status import CheckEntry, LedgerEntry, Status, VersionEntry, Window
from tests.ml.tiny import tiny_bundle

NOON = 1_790_000_000.0  # seconds since 1970; a fixed moment, so that the pages are the same every time
HOUR = 3_600.0
VERDICTS = ("stable", "stable", "degraded", "drift", "insufficient data")


def write(home: Path, *, hostile: str = "") -> None:
    """Bundle, pointer, status and a report under `home/var`. `hostile` is put wherever text of others is shown."""
    folder = home / "var" / "serving"
    _bundle(folder / "cache" / "a", folder, hostile)
    status.write(folder, _status(hostile))
    reports = home / "var" / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "check0.html").write_text("<h1>Drift report</h1><script>document.title = 'ran'</script>")


def _bundle(path: Path, folder: Path, hostile: str) -> None:
    tiny_bundle(path, numbers=6, categories=3)
    losses = [0.6 * math.exp(-epoch / 10) + 0.2 for epoch in range(30)]
    contents = {
        "history.json": [{"epoch": i, "train_loss": x, "validation_loss": x + 0.04} for i, x in enumerate(losses)],
        "trials.json": [{"family": "mlp", "loss": 0.3 + (7 * i % 11) / 50} for i in range(20)],
        "gate.json": {"sentence": f"Promoted: better on 500 rows. {hostile}", "reasons": [f"It loads. {hostile}"]},
        "metrics.json": {"rows": 200, "metrics": {"accuracy": {"value": 0.891, "low": 0.85, "high": 0.93}}},
    }
    for name, content in contents.items():
        (path / name).write_bytes(msgspec.json.encode(content))
    (path / "model_card.md").write_text(f"# Model card\n{hostile}")
    write_pointer(folder, Pointer("3", "cache/a", bundle.seal(path)))


def _status(hostile: str) -> Status:
    windows = tuple(
        Window(
            start=NOON + (i - 12) * HOUR,
            end=NOON + (i - 11) * HOUR,
            version="3",
            predictions=500 + i,
            labelled=400,
            accuracy=0.9 - 0.02 * (i % 3),
            low=0.84,
            high=0.93,
        )
        for i in range(12)
    )
    checks = tuple(
        CheckEntry(
            id=f"check{i}",
            time=NOON - i * HOUR,
            verdict=verdict,
            reasons=(f"Accuracy fell from 0.90 to 0.71. {hostile}",),
            columns={"n0": 0.3, hostile or "c0": 0.05},
            rows=1_000,
            report="check0.html" if i == 0 else "",
        )
        for i, verdict in enumerate(VERDICTS)
    )
    entry = LedgerEntry(
        time=NOON - 4 * HOUR, what="promoted", from_version="2", to_version="3", who="admin", why=f"better {hostile}"
    )
    versions = tuple(
        VersionEntry(version=v, time=NOON, family="mlp", sentence=hostile, metrics={"accuracy": (0.89, 0.87, 0.91)})
        for v in ("3", "2")
    )
    return Status(time=NOON, ledger=(entry,), versions=versions, checks=checks, windows=windows)
