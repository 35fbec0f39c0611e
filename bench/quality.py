"""How good is what Refit ends with? Test log-loss beside peers, on the same rows, with the same time for each.

    python -m bench.quality                                     # scikit-learn's breast_cancer, wine, digits
    python -m bench.quality --data telco_churn.csv --splits 3 --seconds 120 --json
    python -m bench.quality --public --peers --results quality.jsonl     # all of bench.tables, all peers; goes on
    python -m bench.quality --results quality.jsonl --show      # what is there so far

A JSON of the same name beside each table says `target`, `positive_label`, `id_columns`, `time_column`.
Every method gets the same training and test rows: Refit's own split (training and validation together for the peers).
`--seconds` are CPU seconds of one process with one thread, for whatever searches or averages; a default fit takes what
it takes, and so does the first trial of a search. Test rows are scored once.

refit        the whole way: search over all families, blend, calibration
refit-mlp    the same with the MLP family alone
refit+…      the same with the optional families `lightgbm`, `catboost`, or both
and the peers of bench/peers/tabular.py. Those whose packages are not installed are left out and named;
`--peers` runs in an environment of their own that is made at the first call, and has them.

Told of each method and table: the mean of the test rows' log-losses with its standard error (rows that several splits
test count once, as a cluster); against Refit: the difference on the same rows with its standard error. Beyond two of
them it is a win or a loss.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before a library looks
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness, tables  # noqa: E402
from bench.peers import environment, tabular  # noqa: E402

BUNDLED = ("breast_cancer", "wine", "digits")
METRICS = ("log_loss", "accuracy", "auc", "macro_f1")
DEFAULT = ("logistic", "mlp", "hist_gradient_boosting")
OURS: dict[str, tuple[str, ...] | None] = {
    "refit": None,
    "refit-mlp": ("mlp",),
    "refit+lightgbm": (*DEFAULT, "lightgbm"),
    "refit+catboost": (*DEFAULT, "catboost"),
    "refit+both": (*DEFAULT, "lightgbm", "catboost"),
}
PEERS = (  # installed without their dependencies: torch, pandas and scikit-learn are ours
    "optuna==5.0.0", "colorlog", "catboost==1.2.10", "lightgbm==4.7.0", "pytabkit==1.7.3", "pytorch-lightning==2.6.6",
    "torchmetrics==1.9.0", "lightning-utilities==0.15.3", "probmetrics==1.3.0", "skorch==1.4.0", "dill", "xrfm==0.4.5",
    "xgboost==3.2.0", "msgpack", "autogluon.tabular==1.6.3", "autogluon.core==1.6.3", "autogluon.common==1.6.3",
    "autogluon.features==1.6.3", "networkx",
)  # fmt: skip
SURE = 2.0  # standard errors
FLOOR = 1e-15  # of a probability whose logarithm is taken: scikit-learn's


class OutOfTime(Exception):
    """Raised between two trials."""


def refit(snapshot: Any, clock: tabular.Clock, settings: Any, families: tuple[str, ...] | None = None) -> Any:
    """Test probabilities of the calibrated winner."""
    from ml import evaluation, tuning

    done = 0

    def progress(finished: int, _all: int, _trial: Any) -> None:
        nonlocal done
        done = finished
        if clock.out and finished >= len(families or settings.train.families):
            raise OutOfTime

    with tempfile.TemporaryDirectory() as folder:
        named = {"workdir": Path(folder), "families": families}
        try:
            found = tuning.search(snapshot, settings, max_evals=10_000, progress=progress, **named)
        except OutOfTime:  # what is finished is on disk
            found = tuning.search(snapshot, settings, max_evals=done, **named)
    decision = evaluation.decide(found.probabilities, found.y, weight=found.weight)
    model = tuning.refit(found.best, snapshot, settings, on_all=found.fit_on_all).candidate.model
    return decision.calibration.apply(model.predict_proba(snapshot.part("test").X))


def losses(p: Any, y: Any) -> Any:
    """(n,) log-losses."""
    p = np.clip(np.asarray(p, dtype=np.float64), FLOOR, 1)
    return -np.log(p[np.arange(len(y)), y] / p.sum(axis=1))


def score(p: Any, y: Any) -> dict[str, float]:
    """Log-loss, accuracy at the most probable class, ROC-AUC (one against rest, macro), macro F1."""
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    p = np.clip(p, FLOOR, 1)
    p = p / p.sum(axis=1, keepdims=True)
    answered = p.argmax(axis=1)
    return {
        "log_loss": float(losses(p, y).mean()),
        "accuracy": float(accuracy_score(y, answered)),
        "auc": float(roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y, p, multi_class="ovr")),
        "macro_f1": float(f1_score(y, answered, average="macro")),
    }


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
    if facts.get("missing_markers"):
        data["missing_markers"] = facts["missing_markers"]
    tune = {"seed": seed, "workers": 1}  # in this process: its CPU seconds are counted
    return from_values({"home": home, "data": data, "tune": tune, "train": {"device": "cpu"}})


def one_split(
    path: Path, seed: int, seconds: float, names: Sequence[str], done: Callable[[str], bool]
) -> Iterator[dict[str, Any]]:
    """Each method's scores on one split of one table.

    Parameters
    ----------
    path
        Of the table.
    seed
        Of the split and of the methods.
    seconds
        Of each method's clock.
    names
        Of the methods.
    done
        Whether a method was run here before.
    """
    import pandas as pd

    from ml.data import generate

    names = [name for name in names if not done(name)]
    if not names:
        return
    with tempfile.TemporaryDirectory() as home:
        settings = settings_of(path, home, seed)
        snapshot = generate(settings)
        test = snapshot.part("test")
        rows = pd.util.hash_pandas_object(test.X.assign(y=test.y), index=False).to_numpy() >> np.uint64(12)
        for name in names:
            clock = tabular.Clock(seconds)
            started = time.perf_counter()
            found: dict[str, Any] = {"table": path.stem, "split": seed, "method": name, "budget_s": seconds}
            try:
                if name in OURS:
                    p = refit(snapshot, clock, settings, OURS[name])
                else:
                    p = tabular.METHODS[name][0](tabular.Rows(snapshot), clock, seed)
                found |= score(p, test.y)
                found["losses"], found["rows"] = losses(p, test.y).round(5).tolist(), rows.tolist()
            except Exception as error:  # a peer's fault must not end the others
                found["error"] = f"{type(error).__name__}: {error}"[:300]
            yield {**found, "cpu_s": clock.used, "seconds": time.perf_counter() - started}


def mean_and_error(values: Any, rows: Any) -> tuple[float, float]:
    """Mean, and its standard error where values of one row are a cluster.

    Parameters
    ----------
    values
        (n,)
    rows
        (n,) which row each is of.
    """
    mean = float(np.mean(values))
    of_row = np.bincount(np.unique(rows, return_inverse=True)[1], weights=np.asarray(values) - mean)
    n = len(of_row)
    return mean, float(np.sqrt((of_row**2).sum() * n / max(n - 1, 1)) / len(values))


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Table → method → its figures over the splits, with the difference to Refit on the splits that both have."""
    out: dict[str, Any] = {}
    by_key = {(r["table"], r["method"], r["split"]): r for r in results}
    for table, name in dict.fromkeys((r["table"], r["method"]) for r in results):
        found = [r for r in results if (r["table"], r["method"]) == (table, name)]
        mean, error = mean_and_error(_joined(found, "losses"), _joined(found, "rows"))
        figures = {m: float(np.mean([r[m] for r in found])) for m in (*METRICS, "cpu_s", "seconds")}
        entry = {"splits": len(found), **figures, "log_loss": mean, "standard_error": error}
        pairs = [(r, by_key[table, "refit", r["split"]]) for r in found if (table, "refit", r["split"]) in by_key]
        if pairs and name != "refit":
            difference = np.concatenate([np.subtract(theirs["losses"], ours["losses"]) for theirs, ours in pairs])
            mean, error = mean_and_error(difference, _joined([theirs for theirs, _ in pairs], "rows"))
            verdict = "level" if abs(mean) <= SURE * error else "refit wins" if mean > 0 else "refit loses"
            entry["less_refit"] = {"difference": mean, "standard_error": error, "verdict": verdict}
        out.setdefault(table, {})[name] = entry
    return out


def _joined(results: Sequence[dict[str, Any]], key: str) -> Any:
    return np.concatenate([np.asarray(r[key]) for r in results])


def ranks(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean rank by metric, 1 is best, over the tables; each by the mean of the splits that every method was run on."""
    from scipy.stats import rankdata

    names = list(dict.fromkeys(r["method"] for r in results))
    by_split: dict[tuple[str, int], dict[str, Any]] = {}
    for r in results:
        by_split.setdefault((r["table"], r["split"]), {})[r["method"]] = r
    complete: dict[str, list[dict[str, Any]]] = {}
    for (table, _), found in by_split.items():
        if len(found) == len(names):
            complete.setdefault(table, []).append(found)
    out: dict[str, Any] = {"tables": len(complete), "splits": sum(map(len, complete.values()))}
    for metric in METRICS if complete else ():
        sign = 1 if metric == "log_loss" else -1
        every = [
            rankdata([sign * np.mean([split[name][metric] for split in found]) for name in names])
            for found in complete.values()
        ]
        out[metric] = dict(zip(names, np.mean(every, axis=0).round(2).tolist(), strict=True))
    return out


def verdicts(summary: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Method → on how many tables Refit wins, is level, and loses."""
    out: dict[str, dict[str, int]] = {}
    for by_method in summary.values():
        for name, found in by_method.items():
            if "less_refit" in found:
                counts = out.setdefault(name, {"refit wins": 0, "level": 0, "refit loses": 0})
                counts[found["less_refit"]["verdict"]] += 1
    return out


def text(told: dict[str, Any]) -> str:
    """All of it as tables for people."""
    lines = []
    for table, by_method in told["tables"].items():
        rows = []
        for name, found in by_method.items():
            less = found.get("less_refit")
            against = f"{less['difference']:+.4f} ± {less['standard_error']:.4f}" if less else ""
            shown = [f"{found['log_loss']:.4f} ± {found['standard_error']:.4f}", against]
            shown += [f"{found[metric]:.4f}" for metric in METRICS[1:]]
            rows.append([name, str(found["splits"]), *shown, f"{found['cpu_s']:.0f}"])
        lines += [f"\n{table} (test, ± standard error)\n"]
        lines += [harness.table(["method", "splits", "log-loss", "less Refit's", *METRICS[1:], "CPU s"], rows)]
    ranked = {metric: found for metric, found in told["mean_rank"].items() if metric in METRICS}
    names = list(next(iter(ranked.values()), {}))
    lines += [f"\nmean rank over {told['mean_rank']['tables']} tables (1 is best)\n"]
    rows = [[metric, *(f"{found[name]:.2f}" for name in names)] for metric, found in ranked.items()]
    lines += [harness.table(["metric", *names], rows), "\ntables on which, beyond two standard errors\n"]
    counted = [[name, *map(str, counts.values())] for name, counts in told["verdicts"].items()]
    lines += [harness.table(["against", "Refit wins", "level", "Refit loses"], counted)]
    lines += [f"\nleft out: {name}, {reason}" for name, reason in told["left_out"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = harness.options(
        __doc__,
        public="all tables of bench.tables",
        peers="in an environment that has all peers, made at the first call",
        show="run nothing: what --results has",
    )
    parser.add_argument("--data", type=Path, action="append", default=[], help="CSV or Parquet with its JSON beside it")
    parser.add_argument("--table", choices=list(tables.TABLES), action="append", default=[], help="of bench.tables")
    parser.add_argument("--splits", type=int, default=5, help="train/test splits of each table (default: 5)")
    parser.add_argument("--first", type=int, default=0, help="number (seed) of the first split (default: 0)")
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds of each method (default: 60)")
    parser.add_argument("--method", action="append", default=[], help="only these methods")
    parser.add_argument("--results", type=Path, help="JSON lines, one a result; what is there is not run again")
    options = parser.parse_args()
    if options.peers and environment.CACHE not in Path(sys.prefix).parents:
        python = environment.own("tabular", PEERS, "--no-deps")
        os.execv(python, [python, "-m", "bench.quality", *sys.argv[1:]])
    warnings.simplefilter("ignore")
    wanted = options.method or ["refit", *tabular.METHODS]
    if unknown := [name for name in wanted if name not in OURS and name not in tabular.METHODS]:
        parser.error(f"no such method: {unknown[0]}; there are {', '.join([*OURS, *tabular.METHODS])}")
    left_out = {
        name: f"not installed: {', '.join(absent)}"
        for name in wanted
        if name in tabular.METHODS and (absent := tabular.missing(name))
    }
    results = read(options.results)
    if not options.show:
        with tempfile.TemporaryDirectory() as folder:
            run(paths(options, Path(folder)), options, [name for name in wanted if name not in left_out], results)
    failed = {f"{r['method']} on {r['table']}": r["error"] for r in results if "error" in r}
    scored = [r for r in results if "error" not in r and (not options.method or r["method"] in options.method)]
    summary = summarise(scored)
    bare = [{key: value for key, value in r.items() if key not in ("losses", "rows")} for r in scored]
    told = {
        "tables": summary, "mean_rank": ranks(scored), "verdicts": verdicts(summary), "results": bare,
        "left_out": {**left_out, **failed},
    }  # fmt: skip
    harness.show(told, lambda: text(told), as_json=options.json)


def paths(options: Any, folder: Path) -> list[Path]:
    """The tables that were asked for, scikit-learn's where none were."""
    names = list(tables.TABLES) if options.public else options.table or (() if options.data else BUNDLED)
    if options.public or any(tables.TABLES[name][0] != "sklearn" for name in names):
        tables.read_out()
        folder = tables.folder()
    return [*options.data, *(tables.write(name, folder) for name in names)]


def run(paths: Sequence[Path], options: Any, names: Sequence[str], results: list[dict[str, Any]]) -> None:
    """Run what `results` lacks, the first split of every table before the second; each result is kept as it comes.

    Parameters
    ----------
    paths
        Of the tables.
    options
        `splits`, `first`, `seconds`, `results`.
    names
        Of the methods.
    results
        Those of before; new ones are added.
    """
    had = {(r["table"], r["split"], r["method"], r["budget_s"]) for r in results}
    for seed in range(options.first, options.first + options.splits):
        for path in paths:
            done = lambda name, key=(path.stem, seed): (*key, name, options.seconds) in had  # noqa: E731
            for result in one_split(path, seed, options.seconds, names, done):
                results.append(result)
                if options.results:
                    with options.results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(result) + "\n")
                told = result.get("error") or f"{result['log_loss']:.4f}, {result['cpu_s']:.0f} s"
                print(f"{path.stem} split {seed} {result['method']}: {told}", file=sys.stderr, flush=True)


def read(path: Path | None) -> list[dict[str, Any]]:
    """The results of before; a line that a kill cut short is no result."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


if __name__ == "__main__":
    main()
