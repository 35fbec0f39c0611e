"""A serving folder with everything the pages can show, made without training anything."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ml.bundle import reader
from ml.charts import Histogram
from ml.decision import Decision
from ml.drift import rule
from ml.drift.verdict import Estimate, Finding, Performance, Shadow
from ml.evaluation import curves
from ml.gate import rules
from ml.messages import Message, Text, message
from ml.messages.document import Block, Document, block
from ml.schema.schema import Column, Schema
from ml.settings import Drift, Gate
from ml.training.course_grid import REPORT, Grid, GridPoint
from serving.model.store import Pointer, write_pointer
from serving.status import reader as status_file
from serving.status.reader import Alert, CheckEntry, LedgerEntry, Status, VersionEntry, Window
from tests.ml.tiny import tiny_bundle

NOON = 1_790_000_000.0  # seconds since 1970; a fixed moment, so that the pages are the same every time
HOUR = 3_600.0
OLDER = "b" * 64  # the hash of version 2
GRID = tuple(
    GridPoint(C=c, solver=solver, accuracy=0.84 + i / 200, f1=0.84, log_loss=0.4 - i / 100)
    for i, (c, solver, _) in enumerate(REPORT)
)
HISTOGRAMS = (
    Histogram(
        column="n0",
        edges=tuple(i / 2 - 3 for i in range(13)),
        before=(1, 4, 10, 22, 40, 60, 62, 41, 20, 9, 4, 1),
        now=(0, 1, 2, 6, 15, 32, 60, 80, 72, 40, 20, 9),
        missing=(3, 40),
    ),
    Histogram(column="c0", levels=("red", "green", "blue"), others=4, before=(90, 60, 40, 10), now=(30, 120, 30, 20)),
    Histogram(column="prediction", of_predictions=True, edges=(0.5, 0.75, 1.0), before=(50, 150), now=(120, 80)),
)
VERDICTS = ("stable", "stable", "degraded", "drift", "insufficient data")


def model_card(verdict: Message, words: str) -> Document:
    """A short card, with a person's words at its end."""
    measured = message("card.measured", value=0.891, low=0.85, high=0.93)
    return [
        block("text", message("card.verdict", verdict=verdict)),
        block("heading", message("card.data")),
        block("item", message("card.snapshot", snapshot="0123456789abcdef", rows=1_000, columns=9)),
        block("heading", message("card.quality")),
        block("text", message("card.test_rows", n=200, confidence=0.95)),
        Block("table", [[message("card.metric"), message("card.value")], ["accuracy", measured]]),
        block("text", words),
    ]


def write(home: Path, *, hostile: str = "", id_columns: tuple[str, ...] = ()) -> None:
    """Bundle, pointer, status and a report under `home/var`. `hostile` is put wherever text of others is shown."""
    folder = home / "var" / "serving"
    _bundle(folder / "cache" / "a", folder, hostile, id_columns)
    _older(folder / "versions" / OLDER, folder / "cache" / "a", hostile)
    status_file.write(folder, _status(hostile))
    reports = home / "var" / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "check0.html").write_text("<h1>Drift report</h1><script>document.title = 'ran'</script>")


def write_wide(home: Path) -> None:
    """The largest that people bring: 100 columns with long names, 26 classes, 50 trials, 50 checks."""
    folder = home / "var" / "serving"
    names = [f"a_long_name_that_came_from_a_warehouse_table_column_{i:03d}" for i in range(100)]
    classes = tuple(f"class {i}" for i in range(26))
    path = folder / "cache" / "a"
    path.mkdir(parents=True)
    columns = tuple(Column(name=name, kind="number", minimum=-3, maximum=3, example=0.25) for name in names)
    schema = Schema(target="target", classes=classes, positive_label="", columns=columns)
    (path / "schema.json").write_bytes(schema.to_json())
    (path / "decision.json").write_bytes(Decision(threshold=None).to_json())
    (path / "model.onnx").write_bytes(graph := _softmax(len(names), len(classes)))
    rows = {"numbers": np.random.default_rng(1).normal(size=(8, len(names))).astype(np.float32).tolist()}
    rows |= {"categories": [[] for _ in rows["numbers"]]}
    (path / "background.json").write_bytes(msgspec.json.encode(rows))
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    answers = session.run(["probabilities"], {"numbers": np.asarray(rows["numbers"], dtype=np.float32)})[0]
    (path / "examples.json").write_bytes(msgspec.json.encode({**rows, "probabilities": answers.tolist()}))
    _curves(path, np.random.default_rng(0).dirichlet(np.ones(len(classes)), 2_000), classes)
    measured = msgspec.json.decode((path / "metrics.json").read_bytes())
    measured["importance"] = {name: (i * 37 % 100) / 100 for i, name in enumerate(names)}
    (path / "metrics.json").write_bytes(msgspec.json.encode(measured))
    trials = [
        {"family": "mlp", "loss": 0.3 + (7 * i % 11) / 50, "params": {f"p{j}": 10.0 ** -(i % 5) for j in range(8)}}
        for i in range(50)
    ]
    (path / "trials.json").write_bytes(msgspec.json.encode(trials))
    write_pointer(folder, Pointer("3", "cache/a", reader.seal(path)))
    moved = message("drift.distance", distance=0.31)
    reasons = tuple(message("drift.column", column=name, reason=moved) for name in names)
    checks = tuple(
        CheckEntry(id=f"check{i}", time=NOON - i * HOUR, verdict="drift", reasons=reasons,
                   columns=dict.fromkeys(names, 0.3), rows=1_000)
        for i in range(50)
    )  # fmt: skip
    status_file.write(folder, Status(time=NOON, checks=checks))


def _softmax(n_inputs: int, n_classes: int) -> bytes:
    weights = np.random.default_rng(0).normal(size=(n_inputs, n_classes)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["numbers", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["probabilities"])],
        "wide",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", n_inputs])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", n_classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def promoted() -> rules.Verdict:
    """What the gate says of a challenger that is better on 500 rows."""
    y = np.tile([0, 1], 250)
    right = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    return rules.judge(right, 0.5 * right + 0.25, y, settings=Gate())


def refused() -> rules.Verdict:
    """What the gate says of a challenger that knows nothing, and is worse in a slice."""
    y = np.tile([0, 1], 250)
    right = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    first, second = message("evaluation.range", low=1, high=2), message("evaluation.missing")
    slices = {
        message("gate.slice", column="n0", value=first): np.arange(len(y)) < 250,
        message("gate.slice", column="c0", value=second): np.arange(len(y)) >= 250,
    }
    return rules.judge(0.8 - 0.6 * right, right, y, settings=Gate(), slices=slices)


def _with(verdict: rules.Verdict, words: str) -> Message:
    """A verdict, and a person's words after it, as the ledger has both."""
    return message("release.because", parts=[part for part in (verdict.message, words) if part])


def drifted() -> tuple[list[Text], Message]:
    """Reasons of a check that found drift, and why it asks for no retraining."""
    finding = Finding(column="n0", kind="number", method="two-sample Kolmogorov-Smirnov", drifted=True)
    finding.reasons.append(message("drift.column", column="n0", reason=message("drift.distance", distance=0.31)))
    performance = Performance(labels=0)
    verdict, reasons, signals = rule.verdict([finding], performance, Estimate(), Drift())
    return reasons, rule.retrain(verdict, signals, performance, [], [], Drift())[1]


def _bundle(path: Path, folder: Path, hostile: str, id_columns: tuple[str, ...]) -> None:
    tiny_bundle(path, numbers=6, categories=3)
    schema = Schema.from_json((path / "schema.json").read_bytes())
    (path / "schema.json").write_bytes(msgspec.structs.replace(schema, id_columns=id_columns).to_json())
    losses = [0.6 * math.exp(-epoch / 10) + 0.2 for epoch in range(30)]
    verdict = promoted()
    contents = {
        "history.json": [
            {"epoch": i, "loss": x, "validation_loss": x + 0.04, "accuracy": 1 - x / 2, "f1": 0.98 - x / 2}
            for i, x in enumerate(losses)
        ],
        "trials.json": [
            {"family": "mlp", "loss": 0.3 + (7 * i % 11) / 50, "params": {"lr": 0.1 / (i + 1), "act": "relu"},
             "scores": {"accuracy": 0.8 + i / 200, "macro_f1": 0.8}, "status": "pruned" if i % 3 else "ok"}
            for i in range(20)
        ],
        "gate.json": msgspec.structs.replace(verdict, message=_with(verdict, hostile)).to_dict()
        | {"champion": "2", "rows": {"recent": 500, "regression": 0}},
        "grid.json": Grid(points=GRID, validation_rows=200, beside_report=True),
        "metrics.json": {
            "rows": 200,
            "rows_trained": 800,
            "snapshot": "0123456789abcdef0123",
            "family": "mlp",
            "params": {"lr": 0.01, "hidden": [64, 32], "act": "relu"},
            "metrics": {
                "accuracy": {"value": 0.891, "low": 0.85, "high": 0.93}, "precision": {"value": 0.3889},
                "recall": {"value": 0.7701},
            },
            "no_skill": {"accuracy": 0.757, "precision": 0.243},
            "at_half": {"accuracy": 0.902},
            "confusion": [[90, 10], [12, 88]],
            "per_class": {"no": {"precision": {"value": 0.88, "low": 0.81, "high": 0.93}}},
            "importance": {hostile or "n0": 0.7, "c1": 0.2},
        },
        "structure.json": {"family": "mlp", "layers": [{"width": 64}, {"width": 32}], "parameters": 1234},
    }  # fmt: skip
    for name, content in contents.items():
        (path / name).write_bytes(msgspec.json.encode(content))
    p = np.random.default_rng(0).beta(0.5, 0.5, 300)
    _curves(path, np.stack([1 - p, p], axis=1), ("no", hostile or "yes"))
    (path / "model_card.json").write_bytes(msgspec.json.encode(model_card(verdict.message, hostile)))
    write_pointer(folder, Pointer("3", "cache/a", reader.seal(path)))


def _older(path: Path, served: Path, hostile: str) -> None:
    """The kept files of version 2, which was refused: with a column less, and another parameter."""
    path.mkdir(parents=True)
    schema = Schema.from_json((served / "schema.json").read_bytes())
    (path / "schema.json").write_bytes(msgspec.structs.replace(schema, columns=schema.columns[1:]).to_json())
    metrics = msgspec.json.decode((served / "metrics.json").read_bytes())
    metrics["metrics"]["accuracy"] = {"value": 0.871, "low": 0.83, "high": 0.91}
    metrics["metrics"]["log_loss"] = {"value": 0.31}
    metrics["params"] = {"lr": 0.1, "hidden": [64, 32], hostile or "dropout": hostile or 0.5}
    (path / "metrics.json").write_bytes(msgspec.json.encode(metrics | {"snapshot": "fedcba9876543210fedc"}))
    (path / "gate.json").write_bytes(msgspec.json.encode(refused().to_dict() | {"champion": "1"}))
    for name in ("decision.json", "curves.json", "trials.json", "history.json", "model_card.json"):
        shutil.copyfile(served / name, path / name)


def _curves(path: Path, p: np.ndarray, classes: tuple[str, ...]) -> None:
    y = (p.cumsum(axis=1) > np.random.default_rng(1).random((len(p), 1))).argmax(axis=1)
    schema = Schema(target="t", classes=classes, positive_label=classes[-1], columns=(Column(name="x", kind="number"),))
    codes = Decision(threshold=None).codes(p, schema)
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (y, codes), 1)
    (path / "curves.json").write_bytes(msgspec.json.encode(curves(p, y, schema)))
    if not (path / "metrics.json").exists() or len(classes) > 2:
        (path / "metrics.json").write_bytes(msgspec.json.encode({"rows": len(y), "confusion": table.tolist()}))


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
    reasons, decision = drifted()
    checks = tuple(
        CheckEntry(
            id=f"check{i}",
            time=NOON - i * HOUR,
            verdict=verdict,
            decision=decision,
            reasons=(*reasons, hostile) if hostile else tuple(reasons),
            columns={"n0": 0.3, hostile or "c0": 0.05},
            rows=1_000,
            report="check0.html" if i == 0 else "",
            histograms=HISTOGRAMS if i == 0 else (),
        )
        for i, verdict in enumerate(VERDICTS)
    )
    better, worse = promoted().message, refused().message
    ledger = (
        LedgerEntry(
            time=NOON - 4 * HOUR,
            what="promoted",
            from_version="2",
            to_version="3",
            who="admin",
            why=_with(promoted(), hostile),
        ),
        LedgerEntry(time=NOON - 3 * HOUR, what="in shadow", from_version="3", to_version="4", who="admin", why=better),
        LedgerEntry(time=NOON - 9 * HOUR, what="refused", from_version="2", to_version="1", who="scheduled", why=worse),
    )
    versions = tuple(
        VersionEntry(version=v, time=NOON, family="mlp", sentence=text, metrics={"accuracy": (0.89, 0.87, 0.91)},
                     sha256=sha256, verdict=verdict)
        for v, text, sha256, verdict in (
            ("4", better, "", "promote"),
            ("3", _with(promoted(), hostile), "", "promote"),
            ("2", worse, OLDER, "refused"),
        )
    )  # fmt: skip
    waits = Shadow(version="4", champion="3", rows=120, needed=500, accuracy=0.91, champion_accuracy=0.892)
    alerts = (
        Alert(
            time=NOON - HOUR,
            kind="task failed",
            sentences=(
                message(
                    "training.task_failed",
                    task="retrain.tune",
                    error=hostile or "no memory",
                    run="http://127.0.0.1:8080/x",
                ),
            ),
            address="http://127.0.0.1:8080/x",
        ),
        Alert(time=NOON - 30 * HOUR, kind="degraded", sentences=(*reasons, *([hostile] if hostile else []))),
    )
    return Status(
        time=NOON, shadow=waits.message, ledger=ledger, versions=versions, checks=checks, windows=windows,
        alerts=alerts, next_check=NOON + HOUR / 4,
    )  # fmt: skip
