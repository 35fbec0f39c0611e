"""What each part of the MLP is worth: from the plain network to the defaults, one change a row.

    python bench/ablation.py                                   # scikit-learn's bundled tables
    python bench/ablation.py --data telco_churn.csv --data islp_oj.csv --splits 3 --json

Beside each table lies a JSON that says `target` (and `positive_label`, `id_columns`, `missing_markers`).
Every variant is fitted untuned on 80% of the rows and scored on the other 20%, the same rows for all; the
table shows the mean test log-loss over splits, and the CPU seconds of a fit. `--tuned` adds LightGBM
tuned by Optuna (cross-validated log-loss) as the yardstick.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness
from ml.evaluation.metrics import log_losses

# Each row takes these parameters from the defaults, on top of the rows above it; the last has all that matter.
STEPS = (
    ("+ robust scaling, smooth clipping", ("scaling", "clip")),
    ("+ AdamW, decaying rate", ("optimiser", "learning_rate", "weight_decay", "second_momentum", "schedule")),
    ("+ dropout", ("dropout",)),
    ("+ piecewise-linear encoding", ("embedding", "embedding_width", "bins")),
    ("+ members, cross-fitted: the default", ("members",)),
)


def variants() -> list[tuple[str, dict[str, Any]]]:
    """(name, parameters) pairs: the steps, and the defaults with one thing changed."""
    from ml.models.mlp.classifier import PLAIN, MLPClassifier

    defaults, params = MLPClassifier().get_params(), dict(PLAIN)
    rows = [("plain", dict(PLAIN))]
    for name, taken in STEPS:
        params = {**params, **{key: defaults[key] for key in taken}}
        rows.append((name, params))
    return [
        *rows,
        ("default, mapped piecewise code", {"embedding_width": 4}),
        ("default, no embedding", {"embedding": "none"}),
    ]


def tables(paths: Sequence[Path]) -> Iterator[tuple[str, Any, Any]]:
    """(name, canonical frame, codes) of each table."""
    from sklearn import datasets

    for path in paths:
        yield path.stem, *read(path)
    if not paths:
        for name in ("breast_cancer", "wine", "digits"):
            X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
            yield name, X.astype(np.float32), np.asarray(y, dtype=np.int64)
        X, y = datasets.make_classification(1_000, 20, random_state=42)
        from ml.models.preprocessing.preprocessor import as_frame

        yield "make_classification", as_frame(X), y


def read(path: Path) -> tuple[Any, Any]:
    """A table as training would see it."""
    from ml.data.inference.infer import infer
    from ml.data.inference.labels import codes
    from ml.data.sources.files import read as read_file
    from ml.schema.findings import Report
    from ml.schema.frame_coerce import canonical
    from ml.settings import from_values

    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    named = {key: facts[key] for key in ("target", "positive_label", "id_columns", "missing_markers") if facts.get(key)}
    settings = from_values({"data": {"source": "file", "path": str(path), **named}})
    raw = read_file(settings)
    schema, _ = infer(raw, settings.data)
    y = codes(raw, schema, Report(), tolerate=None)
    return canonical(raw, schema)[0][y >= 0].reset_index(drop=True), y[y >= 0]


def split(y: Any, seed: int) -> tuple[Any, Any]:
    from sklearn.model_selection import train_test_split

    return tuple(train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed))


def fit(params: dict[str, Any], X: Any, y: Any, train: Any, test: Any, seed: int) -> tuple[float, float]:
    """Test log-loss and CPU seconds."""
    from ml.models.mlp.classifier import MLPClassifier

    started = time.process_time()
    model = MLPClassifier(**params, random_state=seed, device="cpu").fit(X.iloc[train], y[train])
    return float(log_losses(model.predict_proba(X.iloc[test]), y[test]).mean()), time.process_time() - started


def lightgbm(X: Any, y: Any, train: Any, test: Any, seed: int, evals: int = 30) -> tuple[float, float]:
    """LightGBM, tuned by Optuna's TPE on five folds of the training rows."""
    import optuna
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    frame = X.copy()
    for name in frame.columns[[not np.issubdtype(d, np.number) for d in map(_numpy_kind, frame.dtypes)]]:
        frame[name] = frame[name].astype("category")

    def model(t: Any) -> Any:
        return LGBMClassifier(
            n_estimators=t.suggest_int("n_estimators", 30, 400, log=True),
            learning_rate=t.suggest_float("learning_rate", 0.01, 0.3, log=True),
            num_leaves=t.suggest_int("num_leaves", 3, 64, log=True),
            min_child_samples=t.suggest_int("min_child_samples", 2, 100, log=True),
            reg_lambda=t.suggest_float("reg_lambda", 1e-3, 30.0, log=True),
            colsample_bytree=t.suggest_float("colsample_bytree", 0.3, 1.0),
            random_state=seed,
            n_jobs=1,
            verbose=-1,
        )

    started = time.process_time()
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    rows, labels = frame.iloc[train], y[train]
    study.optimize(
        lambda t: cross_val_score(model(t), rows, labels, cv=folds, scoring="neg_log_loss").mean(), n_trials=evals
    )
    best = model(optuna.trial.FixedTrial(study.best_params)).fit(rows, labels)
    return float(log_losses(best.predict_proba(frame.iloc[test]), y[test]).mean()), time.process_time() - started


def _numpy_kind(dtype: Any) -> Any:
    return dtype if isinstance(dtype, np.dtype) else np.dtype(object)


def main() -> None:
    parser = harness.options(__doc__, tuned="add LightGBM tuned by Optuna")
    parser.add_argument("--data", type=Path, action="append", default=[], help="a CSV or Parquet with its JSON")
    parser.add_argument("--splits", type=int, default=3, help="random splits, each of 80%% and 20%% (default: 3)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for table, X, y in tables(options.data):
        jobs = [(name, lambda *a, p=params: fit(p, *a)) for name, params in variants()]
        for name, job in jobs + ([("LightGBM, tuned", lightgbm)] if options.tuned else []):
            results = [job(X, y, *split(y, seed), seed) for seed in range(options.splits)]
            losses, seconds = np.array(results).T
            found.setdefault(name, {})[table] = {
                "log_loss": float(losses.mean()),
                "spread": float(losses.std()),
                "cpu_s": float(np.median(seconds)),
            }
            print(f"{table:22} {name:36} {losses.mean():.4f} {np.median(seconds):.2f} s", file=sys.stderr, flush=True)
    harness.show(found, lambda: text(found), as_json=options.json, indent=2)


def text(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row a variant, a column a table."""
    names = list(next(iter(found.values())))
    rows = [
        [name, *(f"{row[t]['log_loss']:.4f} ({row[t]['cpu_s']:.1f} s)" for t in names)] for name, row in found.items()
    ]
    return harness.table(["test log-loss", *names], rows)


if __name__ == "__main__":
    main()
