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
from collections.abc import Callable, Container
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

    from ml.schema.schema import Schema

log = logging.getLogger(__name__)

Pair = tuple[int, int]  # of the reference and of the window

# A value or a name longer than this is cut: one cell must not decide the size of the page.
MAX_TEXT = 80
# Evidently's own part follows the reader's system by itself; a page that frames it may set the theme (`data-theme`).
_STYLE = (
    '<meta name="color-scheme" content="light dark"><style>'
    ".refit {font: 16px sans-serif; padding: 12px 24px; background: #f4f4f6; color: #222}"
    "@media (prefers-color-scheme: dark) {:root:not([data-theme=light]) .refit {background: #232a35; color: #e6e9ee}}"
    ":root[data-theme=dark] .refit {background: #232a35; color: #e6e9ee}</style>"
)
# Evidently writes values and names into an inline script as they come: without these two letters there is
# nothing in them that a browser could take for a tag.
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "＆", "\u2028": " ", "\u2029": " "})


class _NothingToDrawError(Exception):
    """Raised for a part of the page that has no data."""


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the JSON: Evidently's own metrics and tests, the columns without values (`left_out`), and the parts of
    the page that it could not draw, each with the reason."""

    sentence: str
    metrics: list[Any] = []
    tests: list[Any] = []
    left_out: list[str] = []
    not_drawn: list[str] = []
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
    "html" and "json" → file. A column or a part that Evidently cannot draw is left out and named in the page; if it
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
    """Preset by preset: one that fails leaves the others, and is named with the reason. Raises where none is drawn."""
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently phones home otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own use of pandas, and divisions by empty cells
        before, now, shown = _tables(baseline, frame, current, findings, rows, seed)
        labels = [_labels(*side, rows, seed) for side in _answers(baseline, current)]
        left_out = [f.column for f in findings if all(f is not one for one in shown.values())]
        runs: list[Any] = []
        not_drawn: list[str] = []
        parts: dict[str, Callable[[], Any]] = {
            "drift of the columns": lambda: _run_drift(before, now, shown),
            "quality of the answers": lambda: _run_quality(baseline.schema, *labels),
        }
        for name, run in parts.items():
            try:
                runs.append(run())
            except Exception as error:  # a drawing library's own failure must cost neither the verdict nor the others
                why = str(error) if isinstance(error, _NothingToDrawError) else f"{type(error).__name__}: {error}"
                log.info("not in the report: the %s: %s", name, why)
                not_drawn.append(f"the {name} ({harmless(why)})")
        if not runs:
            raise _NothingToDrawError("; ".join(not_drawn))
        whole = _together(runs)
        page = whole.get_html_str(as_iframe=False)
    banner = _banner(sentence, left_out, not_drawn, (len(before), len(now)), (len(labels[0]), len(labels[1])))
    drawn = _plain_json(whole.dict())
    numbers = Numbers(
        sentence=sentence, metrics=drawn["metrics"], tests=drawn["tests"], left_out=left_out, not_drawn=not_drawn,
        snapshot=_plain_json(whole.dump_dict()),
    )  # fmt: skip
    return page.replace("<head>", f"<head>{_STYLE}", 1).replace("<body>", f"<body>{banner}", 1), numbers


def _together(runs: list[Any]) -> Any:
    """One snapshot of Evidently's with what each of the runs has."""
    from evidently.core.report import Snapshot

    first, *others = [run.to_snapshot_model() for run in runs]
    for other in others:
        first.metric_results |= other.metric_results
        first.top_level_metrics += other.top_level_metrics
        first.widgets += other.widgets
        first.tests_widgets += other.tests_widgets
    return Snapshot.load_model(first)


def _run_drift(before: pd.DataFrame, now: pd.DataFrame, by_name: dict[str, Finding]) -> Any:
    """The columns, judged by the rule's own findings."""
    from evidently import DataDefinition
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType
    from evidently.presets import DataDriftPreset

    if not by_name:
        raise _NothingToDrawError("no column has values on both sides")

    def rule(_reference: Any, current: Any, _kind: Any, _threshold: float) -> tuple[float, bool]:
        finding = by_name[str(current.name)]
        return finding.effect, finding.drifted

    method = StatTest("refit", "two-sample distance, Refit's rule", [ColumnType.Numerical, ColumnType.Categorical], 0.1)
    register_stattest(method, default_impl=rule)
    definition = DataDefinition(
        numerical_columns=[name for name, f in by_name.items() if f.kind != "category"],
        categorical_columns=[name for name, f in by_name.items() if f.kind == "category"],
    )
    return _run(DataDriftPreset(columns=list(by_name), method=method), definition, before, now)


def _run_quality(schema: Schema, before: pd.DataFrame, now: pd.DataFrame) -> Any:
    """Accuracy and the like where labels have come. Evidently needs every class on both sides."""
    from evidently import BinaryClassification, DataDefinition, MulticlassClassification
    from evidently.presets import ClassificationQuality

    for name, side in (("reference", before), ("window", now)):
        known = side["actual label"].nunique()
        if known < len(schema.classes):
            labels = f"{len(side)} labelled rows of the {name} have {known} of {len(schema.classes)} classes"
            raise _NothingToDrawError(f"{labels}; every class is needed")
    names = {"target": "actual label", "prediction_labels": "predicted label"}
    positive = schema.positive_label
    kind = (
        BinaryClassification(**names, pos_label=harmless(positive))
        if positive in schema.classes
        else MulticlassClassification(**names)
    )
    definition = DataDefinition(categorical_columns=list(names.values()), classification=[kind])
    # Without its own tests (they pass a fall of accuracy by 20%): the verdict's are the ones that count.
    return _run(ClassificationQuality(include_tests=False), definition, before, now)


def _run(preset: Any, definition: Any, before: pd.DataFrame, now: pd.DataFrame) -> Any:
    from evidently import Dataset, Report

    current, reference = (Dataset.from_pandas(side, data_definition=definition) for side in (now, before))
    return Report([preset], include_tests=True).run(current_data=current, reference_data=reference)


def _answers(baseline: Baseline, current: pd.DataFrame) -> list[tuple[Any, Any]]:
    """True and answered label of each side's rows."""
    now = (current["actual"].to_numpy(dtype=object), current["label"].to_numpy(dtype=object))
    return [(baseline.actual, baseline.label), now]


def _labels(actual: Any, label: Any, rows: int, seed: int) -> pd.DataFrame:
    """The labelled rows alone, at most so many."""
    import pandas as pd

    known = np.flatnonzero(pd.notna(actual))
    pick = known[_sample(len(known), rows, np.random.default_rng(seed))]
    sides = {"actual label": actual, "predicted label": label}
    return pd.DataFrame({name: [harmless(v) for v in values[pick]] for name, values in sides.items()}, dtype=object)


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
    return pd.DataFrame(before), pd.DataFrame(now), shown


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
    while name in taken:
        name += "′"
    return name


def _banner(sentence: str, left_out: list[str], not_drawn: list[str], rows: Pair, labelled: Pair) -> str:
    drawn = f"Drawn from {rows[0]} reference and {rows[1]} current rows, {labelled[0]} and {labelled[1]} with a label."
    missing = f" Not drawn, nothing to draw: {', '.join(map(harmless, left_out))}." if left_out else ""
    failed = f" Not drawn: {'; '.join(not_drawn)}." if not_drawn else ""
    return f'<div class="refit"><b>{html.escape(sentence)}</b><br>{html.escape(drawn + missing + failed)}</div>'


def _plain(sentence: str, findings: list[Finding], problem: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(f.column)}<td>{f.effect:.3f}<td>{'drifted' if f.drifted else ''}" for f in findings
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift report</title>{_STYLE}</head><body>'
        f"<h1>{html.escape(sentence)}</h1><p>The charts could not be drawn: {html.escape(problem)}</p>"
        f"<table><tr><th>Column<th>Distance<th>{rows}</table>"
    )


def _plain_json(numbers: Any) -> Any:
    """Evidently's numbers without NumPy scalars and NaN."""
    import json

    from evidently.legacy.utils import NumpyEncoder

    return json.loads(json.dumps(numbers, cls=NumpyEncoder), parse_constant=lambda _: None)
