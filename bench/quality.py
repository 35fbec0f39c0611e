"""How good is what Refit ends with? Test metrics beside peers, on several tables and splits.

    python bench/quality.py                                   # scikit-learn's breast_cancer, wine, digits
    python bench/quality.py --data telco_churn.csv --data islp_oj.csv --splits 5 --evals 50 --json
    python bench/quality.py --table wine --first 3 --splits 2 --json > wine.3.json    # splits 3 and 4 of one table
    python bench/quality.py --merge wine.0.json --merge wine.3.json                   # one table of what was run

A JSON of the same name beside each table says `target`, `positive_label`, `id_columns`, `time_column`.
Every method gets the same training and test rows: Refit's own split (training and validation together
for the peers, which use no validation part, or cross-validate on them). Test rows are scored once.

refit        the whole way: search over all families, blend, calibration
refit-mlp    the same with the MLP family alone
mlp          scikit-learn's MLPClassifier, defaults with early stopping, on scaled, one-hot columns
hgb          scikit-learn's HistGradientBoostingClassifier, defaults
lightgbm     defaults
lightgbm*    tuned by Optuna's TPE with `--evals` trials, 5-fold cross-validated log-loss
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness

BUNDLED = ("breast_cancer", "wine", "digits")
METRICS = ("log_loss", "accuracy", "auc", "macro_f1")
Probabilities = Callable[[Any, int, int], Any]


def refit(snapshot: Any, evals: int, settings: Any, families: tuple[str, ...] | None = None) -> Any:
    """Test probabilities of the calibrated winner."""
    from ml import evaluation, tuning

    with tempfile.TemporaryDirectory() as folder:
        found = tuning.search(snapshot, settings, workdir=Path(folder), families=families, max_evals=evals)
    decision = evaluation.decide(found.probabilities, found.y, weight=found.weight)
    model = tuning.refit(found.best, snapshot, settings, on_all=found.fit_on_all).candidate.model
    return decision.calibration.apply(model.predict_proba(snapshot.part("test").X))


def one_hot(snapshot: Any) -> Any:
    """The peers' own preprocessing: median and most frequent, scaled, one-hot."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list(snapshot.schema.numbers)),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(snapshot.schema.categories)),
    )


def rows(snapshot: Any) -> tuple[Any, Any, Any]:
    """Training and validation rows with categories as pandas categories; their codes; the test rows."""
    import pandas as pd

    train, valid, test = (snapshot.part(name) for name in ("train", "validation", "test"))
    X = pd.concat([train.X, valid.X], ignore_index=True)
    T = test.X.copy()
    for name in snapshot.schema.categories:
        kind = pd.CategoricalDtype(sorted(set(X[name])))
        X[name], T[name] = X[name].astype(kind), T[name].astype(kind)
    return X, np.concatenate([train.y, valid.y]), T


def sklearn_mlp(snapshot: Any, evals: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    X, y, test = rows(snapshot)
    model = make_pipeline(one_hot(snapshot), MLPClassifier(early_stopping=True, max_iter=500, random_state=seed))
    return model.fit(X, y).predict_proba(test)


def hgb(snapshot: Any, evals: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y, test = rows(snapshot)
    return (
        HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)
        .fit(X, y)
        .predict_proba(test)
    )


def lightgbm(snapshot: Any, evals: int, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    X, y, test = rows(snapshot)
    return LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1).fit(X, y).predict_proba(test)


def lightgbm_tuned(snapshot: Any, evals: int, seed: int) -> Any:
    import optuna
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    X, y, test = rows(snapshot)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def model(trial: Any) -> Any:
        return LGBMClassifier(
            n_estimators=trial.suggest_int("n_estimators", 30, 500, log=True),
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            num_leaves=trial.suggest_int("num_leaves", 3, 127, log=True),
            min_child_samples=trial.suggest_int("min_child_samples", 2, 100, log=True),
            reg_lambda=trial.suggest_float("reg_lambda", 1e-3, 30.0, log=True),
            colsample_bytree=trial.suggest_float("colsample_bytree", 0.3, 1.0),
            subsample=trial.suggest_float("subsample", 0.5, 1.0),
            subsample_freq=1, random_state=seed, n_jobs=1, verbose=-1,
        )  # fmt: skip

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda t: cross_val_score(model(t), X, y, cv=folds, scoring="neg_log_loss").mean(), n_trials=evals)
    return model(optuna.trial.FixedTrial(study.best_params)).fit(X, y).predict_proba(test)


def methods(settings: Any) -> dict[str, Probabilities]:
    return {
        "refit": lambda snapshot, evals, seed: refit(snapshot, evals, settings(seed)),
        "refit-mlp": lambda snapshot, evals, seed: refit(snapshot, evals, settings(seed), ("mlp",)),
        "mlp": sklearn_mlp,
        "hgb": hgb,
        "lightgbm": lightgbm,
        "lightgbm*": lightgbm_tuned,
    }


def score(p: Any, y: Any) -> dict[str, float]:
    """Log-loss, accuracy at the most probable class, ROC-AUC (one against rest, macro), macro F1."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

    p = np.clip(p, 1e-15, 1)
    p = p / p.sum(axis=1, keepdims=True)
    auc = roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y, p, multi_class="ovr")
    answered = p.argmax(axis=1)
    return {
        "log_loss": float(log_loss(y, p, labels=range(p.shape[1]))),
        "accuracy": float(accuracy_score(y, answered)),
        "auc": float(auc),
        "macro_f1": float(f1_score(y, answered, average="macro")),
    }


def bundled(folder: Path, names: Sequence[str]) -> list[Path]:
    """scikit-learn's own tables as CSV files with their JSON."""
    from sklearn import datasets

    made = []
    for name in names:
        table = getattr(datasets, f"load_{name}")(as_frame=True)
        path = folder / f"{name}.csv"
        table.frame.to_csv(path, index=False)
        path.with_suffix(".json").write_text(json.dumps({"target": "target"}))
        made.append(path)
    return made


def settings_of(path: Path, home: str, seed: int) -> Any:
    """Refit's settings for one table and one split."""
    from ml.settings import from_values

    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    data = {
        "source": "file", "path": str(path), "target": facts["target"], "seed": seed,
        "positive_label": facts.get("positive_label") or "", "id_columns": facts.get("id_columns") or [],
        "time_column": facts.get("time_column") or "",
        "split": "time" if facts.get("time_column") else "stratified",
    }  # fmt: skip
    return from_values({"home": home, "data": data, "tune": {"seed": seed}, "train": {"device": "cpu"}})


def main() -> None:
    parser = harness.options(__doc__, verbose="every result as it comes, to standard error")
    parser.add_argument("--data", type=Path, action="append", default=[], help="a CSV with its JSON beside it")
    parser.add_argument("--table", choices=BUNDLED, action="append", default=[], help="only these of scikit-learn's")
    parser.add_argument("--splits", type=int, default=5, help="train/test splits of each table (default: 5)")
    parser.add_argument("--first", type=int, default=0, help="number (seed) of the first split (default: 0)")
    parser.add_argument("--evals", type=int, default=50, help="trials of each tuned method (default: 50)")
    parser.add_argument("--method", action="append", default=[], help="only these methods")
    parser.add_argument("--merge", type=Path, action="append", default=[], help="run nothing; unite these outputs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.merge:
        results = [found for path in options.merge for found in json.loads(path.read_text(encoding="utf-8"))["results"]]
    else:
        with tempfile.TemporaryDirectory() as folder:
            paths = [*options.data, *bundled(Path(folder), options.table or (() if options.data else BUNDLED))]
            splits = [(path, options.first + number) for path in paths for number in range(options.splits)]
            results = [
                result
                for path, seed in splits
                for result in one_split(path, seed, options.evals, options.method, options.verbose)
            ]
    summary = {"tables": summarise(results), "mean_rank": ranks(results), "results": results}
    harness.show(summary, lambda: text(summary), as_json=options.json)


def one_split(path: Path, seed: int, evals: int, only: Sequence[str], verbose: bool) -> list[dict[str, Any]]:
    """Each method's scores on one split of one table."""
    from ml.data import generate

    results = []
    with tempfile.TemporaryDirectory() as home:
        snapshot = generate(settings_of(path, home, seed))
        offered = methods(lambda s: settings_of(path, home, s))
        for name in only or offered:
            started = time.perf_counter()
            found: dict[str, Any] = {"table": path.stem, "split": seed, "method": name, "evals": evals}
            found |= score(offered[name](snapshot, evals, seed), snapshot.part("test").y)
            results.append({**found, "seconds": time.perf_counter() - started})
            if verbose:
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    return results


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Table → method → number of splits, and mean and standard deviation over them of each metric."""
    out: dict[str, Any] = {}
    for table, name in dict.fromkeys((r["table"], r["method"]) for r in results):
        found = [r for r in results if (r["table"], r["method"]) == (table, name)]
        values = {m: [r[m] for r in found] for m in (*METRICS, "seconds")}
        spread = {m: [float(np.mean(v)), float(np.std(v))] for m, v in values.items()}
        out.setdefault(table, {})[name] = {"splits": len(found), **spread}
    return out


def ranks(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean rank by metric, 1 is best, over the splits of all tables that every method was run on."""
    from scipy.stats import rankdata

    names = list(dict.fromkeys(r["method"] for r in results))
    by_split: dict[tuple[str, int], dict[str, Any]] = {}
    for r in results:
        by_split.setdefault((r["table"], r["split"]), {})[r["method"]] = r
    complete = [found for found in by_split.values() if len(found) == len(names)]
    out: dict[str, Any] = {"splits": len(complete)}
    for metric in METRICS if complete else ():
        sign = 1 if metric == "log_loss" else -1
        every = [rankdata([sign * found[name][metric] for name in names]) for found in complete]
        out[metric] = dict(zip(names, np.mean(every, axis=0).round(2).tolist(), strict=True))
    return out


def text(summary: dict[str, Any]) -> str:
    """Both as tables for people."""
    lines = []
    for table, by_method in summary["tables"].items():
        rows = []
        for name, found in by_method.items():
            measured = [f"{found[m][0]:.4f} ± {found[m][1]:.3f}" for m in METRICS]
            rows.append([name, str(found["splits"]), *measured, f"{found['seconds'][0]:.1f}"])
        lines += [f"\n{table} (test, mean ± standard deviation of the splits)\n"]
        lines += [harness.table(["method", "splits", *METRICS, "seconds"], rows)]
    ranked = {metric: by_name for metric, by_name in summary["mean_rank"].items() if metric != "splits"}
    lines += [f"\nmean rank over {summary['mean_rank']['splits']} splits (1 is best)\n"]
    names = list(next(iter(ranked.values()), {}))
    rows = [[metric, *(f"{by_name[name]:.2f}" for name in names)] for metric, by_name in ranked.items()]
    return "\n".join([*lines, harness.table(["metric", *names], rows)])


if __name__ == "__main__":
    main()
