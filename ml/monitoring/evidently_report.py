"""Evidently's report of one check: HTML that opens offline, and its numbers as JSON. The only importer of Evidently.

The JSON is a snapshot of Evidently's own, which its workspace takes (`Snapshot.load`, then `Workspace.add_run`); the
sentence, `metrics` and `tests` in short, and what was left out stand beside it.

The tests shown are the rule's own (`ml.drift.features`), handed to Evidently as its drift method: what the
report colours is what the verdict says. It is drawn from a seeded sample, so its cost is bounded.
"""

from __future__ import annotations

import html
import logging
import os
import warnings
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.drift.reference import Baseline
from ml.drift.verdict import Finding
from ml.storage import files

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# A value or a name longer than this is cut: one cell must not decide the size of the page.
MAX_TEXT = 80
# Evidently writes values and names into an inline script as they come: without these two letters there is
# nothing in them that a browser could take for a tag.
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "＆", "\u2028": " ", "\u2029": " "})


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the JSON: Evidently's own metrics and tests, and the columns that it could not draw."""

    sentence: str
    metrics: list[Any] = []
    tests: list[Any] = []
    left_out: list[str] = []
    snapshot: dict[str, Any] = {}  # written beside the others, at the top


def write(
    folder: Path,
    name: str,
    baseline: Baseline,
    frame: pd.DataFrame,
    current: pd.DataFrame,
    findings: list[Finding],
    *,
    sentence: str,
    rows: int,
    seed: int,
) -> dict[str, str]:
    """Write `<folder>/<name>.html` and `.json`.

    Parameters
    ----------
    frame: (n, columns) the window's inputs in canonical form.
    current: the same rows from the log, with `label`, `actual` and the score of each.
    rows: at most this many of each side are drawn.

    Returns
    -------
    "html" and "json" → file. A column that Evidently cannot draw is left out and named in the page; if it
    fails altogether, the page says so with the verdict: a report never fails a check.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        page, numbers = _draw(baseline, frame, current, findings, rows=rows, seed=seed, sentence=sentence)
    except Exception as error:  # a drawing library's own failure must not cost the verdict
        log.warning("Evidently could not draw the report: %s: %s", type(error).__name__, error)
        page, numbers = _plain(sentence, findings, f"{type(error).__name__}: {error}"), Numbers(sentence=sentence)
    files.write_bytes(folder / f"{name}.html", page.encode("utf-8"))
    content = msgspec.to_builtins(numbers)
    files.write_json(folder / f"{name}.json", content.pop("snapshot") | content)
    return {"html": str(folder / f"{name}.html"), "json": str(folder / f"{name}.json")}


def prune(folder: Path, keep: int) -> int:
    """Delete all but the newest `keep` reports; return how many were deleted."""
    pages = sorted(folder.glob("*.html"), key=lambda file: file.stat().st_mtime, reverse=True)
    old = [page for page in pages if page.with_suffix(".json").exists()][keep:]
    for page in old:
        page.unlink(missing_ok=True)
        page.with_suffix(".json").unlink(missing_ok=True)
    return len(old)


def _draw(
    baseline: Baseline,
    frame: pd.DataFrame,
    current: pd.DataFrame,
    findings: list[Finding],
    *,
    rows: int,
    seed: int,
    sentence: str,
) -> tuple[str, Numbers]:
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently phones home otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own use of pandas, and divisions by empty cells
        from evidently import Dataset, Report

        before, now, shown = _tables(baseline, frame, current, findings, rows, seed)
        left_out = [f.column for f in findings if all(f is not one for one in shown.values())]
        definition, presets = _definition(baseline, before, now, shown)
        run = Report(presets, include_tests=True).run(
            current_data=Dataset.from_pandas(now, data_definition=definition),
            reference_data=Dataset.from_pandas(before, data_definition=definition),
        )
        page = run.get_html_str(as_iframe=False)
    banner = _banner(sentence, left_out, len(before), len(now))
    drawn = _plain_json(run.dict())
    numbers = Numbers(
        sentence=sentence, metrics=drawn["metrics"], tests=drawn["tests"], left_out=left_out,
        snapshot=_plain_json(run.dump_dict()),
    )  # fmt: skip
    return page.replace("<body>", f"<body>{banner}", 1), numbers


def _tables(
    baseline: Baseline, frame: pd.DataFrame, current: pd.DataFrame, findings: list[Finding], rows: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Finding]]:
    """Both sides with harmless names and values; third: name in the tables → what was found of it."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    pick_before, pick_now = _sample(len(baseline.frame), rows, rng), _sample(len(frame), rows, rng)
    before: dict[str, NDArray[Any]] = {}
    now: dict[str, NDArray[Any]] = {}
    shown: dict[str, Finding] = {}
    for finding in findings:
        if finding.of_predictions:
            a, b = baseline.probabilities.max(axis=1), current["confidence"].to_numpy(dtype=np.float64)
        elif finding.column in frame and finding.column in baseline.frame:
            a, b = baseline.frame[finding.column].to_numpy(), frame[finding.column].to_numpy()
        else:
            continue
        a, b = a[pick_before], b[pick_now]
        number = finding.kind != "category"
        if any(_empty(values, number) for values in (a, b)):
            continue
        name = _unique(harmless(finding.column), before)
        before[name], now[name] = (_values(values, number) for values in (a, b))
        shown[name] = finding
    for side, actual, label, pick in (
        (before, baseline.actual, baseline.label, pick_before),
        (now, current["actual"].to_numpy(dtype=object), current["label"].to_numpy(dtype=object), pick_now),
    ):
        side["actual label"] = np.array([None if v is None else harmless(v) for v in actual[pick]], dtype=object)
        side["predicted label"] = np.array([harmless(v) for v in label[pick]], dtype=object)
    return pd.DataFrame(before), pd.DataFrame(now), shown


def _definition(
    baseline: Baseline, before: pd.DataFrame, now: pd.DataFrame, by_name: dict[str, Finding]
) -> tuple[Any, list[Any]]:
    from evidently import BinaryClassification, DataDefinition, MulticlassClassification
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType
    from evidently.presets import ClassificationQuality, DataDriftPreset

    numbers = [name for name, f in by_name.items() if f.kind != "category"]
    categories = [name for name, f in by_name.items() if f.kind == "category"]

    def rule(_reference: Any, current: Any, _kind: Any, _threshold: float) -> tuple[float, bool]:
        finding = by_name[str(current.name)]
        return finding.effect, finding.drifted

    method = StatTest("refit", "two-sample distance, Refit's rule", [ColumnType.Numerical, ColumnType.Categorical], 0.1)
    register_stattest(method, default_impl=rule)
    presets: list[Any] = [DataDriftPreset(columns=list(by_name), method=method)]
    labelled = now["actual label"].notna()
    both = [before["actual label"].dropna().nunique(), now.loc[labelled, "actual label"].nunique()]
    classification = []
    # Evidently needs every label there, and every class on both sides.
    if before["actual label"].notna().all() and labelled.all() and min(both) == len(baseline.schema.classes):
        names = {"target": "actual label", "prediction_labels": "predicted label"}
        positive = baseline.schema.positive_label
        classification = [
            BinaryClassification(**names, pos_label=harmless(positive))
            if positive in baseline.schema.classes
            else MulticlassClassification(**names)
        ]
        # Without its own tests (they pass a fall of accuracy by 20%): the verdict's are the ones that count.
        presets.append(ClassificationQuality(include_tests=False))
        categories += ["actual label", "predicted label"]
    else:
        for side in (before, now):
            side.drop(columns=["actual label", "predicted label"], inplace=True)
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=categories, classification=classification or None
    )
    return definition, presets


def harmless(value: Any) -> str:
    """Text without anything that a browser could take for markup, at most `MAX_TEXT` long."""
    text = str(value)
    return (text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…").translate(_HARMLESS)


def _sample(n: int, rows: int, rng: np.random.Generator) -> Any:
    return np.arange(n) if n <= rows else np.sort(rng.choice(n, rows, replace=False))


def _empty(values: Any, number: bool) -> bool:
    return not len(values) or bool(
        np.isnan(np.asarray(values, dtype=np.float64)).all() if number else (values == "").all()
    )


def _values(values: Any, number: bool) -> Any:
    if number:
        return np.asarray(values, dtype=np.float64)
    return np.array([harmless(v) or "(missing)" for v in values], dtype=object)


def _unique(name: str, taken: Container[str]) -> str:
    while name in taken or name in ("actual label", "predicted label"):
        name += "′"
    return name


def _banner(sentence: str, left_out: list[str], before: int, now: int) -> str:
    drawn = f"Drawn from {before} reference and {now} current rows."
    missing = f" Not drawn, nothing to draw: {', '.join(map(harmless, left_out))}." if left_out else ""
    return (
        '<div style="font:16px sans-serif;padding:12px 24px;background:#f4f4f6;color:#222">'
        f"<b>{html.escape(sentence)}</b><br>{html.escape(drawn + missing)}</div>"
    )


def _plain(sentence: str, findings: list[Finding], problem: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(f.column)}<td>{f.effect:.3f}<td>{'drifted' if f.drifted else ''}" for f in findings
    )
    return (
        '<!doctype html><meta charset="utf-8"><title>Drift report</title><body>'
        f"<h1>{html.escape(sentence)}</h1><p>The charts could not be drawn: {html.escape(problem)}</p>"
        f"<table><tr><th>Column<th>Distance<th>{rows}</table>"
    )


def _plain_json(numbers: Any) -> Any:
    """Evidently's numbers without NumPy scalars and NaN."""
    import json

    from evidently.legacy.utils import NumpyEncoder

    return json.loads(json.dumps(numbers, cls=NumpyEncoder), parse_constant=lambda _: None)
