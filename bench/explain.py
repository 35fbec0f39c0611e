"""What an explanation costs and how far it is from the exact one, for every family, beside the shap library.

    python -m bench.explain                          # all families; 20 numbers, and 12 with 8 categories
    python -m bench.explain --family mlp --rows 10 --json

The exact values are Shapley values against all background rows of the bundle, as near as `--walks` walks from each
background row bring them. Error is the root mean square difference from them over rows and columns, in log-odds;
`stated` is the root mean square of the standard errors in the answer. Each peer explains the same score by the same
graph, with several budgets (background rows × samples); shown is the cheapest that is at least as near as Refit, or,
where none is, the nearest. CPU milliseconds a row, one thread, medians of interleaved rounds. `service` is
`POST /explain` of one row through the application, without the network: attributions alone, and with the changes that
flip the label; `first` is the first request to a version.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness

BACKGROUNDS = (12, 25, 50, 100)
TRAINED_ON = 1_500
Explain = Callable[[Any], Any]  # one row as an array (1, K) → attributions (K,)


class Case(NamedTuple):
    """One model: its bundle, rows to explain, and the same rows and background as arrays with codes for levels."""

    name: str
    bundle: Any
    rows: Any
    table: Any
    background: Any
    score: Callable[[Any], Any]


def frame(categories: int) -> tuple[Any, Any]:
    """20 columns, `categories` of them cut into five levels, and two classes that depend on most of them."""
    import pandas as pd
    from sklearn.datasets import make_classification

    X, y = make_classification(2_000, 20, n_informative=8, n_redundant=4, flip_y=0.05, random_state=7)
    made = pd.DataFrame(X.astype(np.float32), columns=[f"x{i:02}" for i in range(20)])
    for i in range(20 - categories, 20):
        made[f"x{i:02}"] = pd.qcut(made[f"x{i:02}"], 5, labels=list("abcde")).astype(object)
    return made, y


def case(folder: Path, family: str, categories: int, rows: int) -> Case:
    """Fit the family's baseline and write its bundle."""
    from ml.bundle import writer
    from ml.decision import Decision
    from ml.explain.shapley import log_odds
    from ml.models import ALL_FAMILIES
    from ml.schema.schema import Column, Schema
    from ml.training.candidate import CandidateSpec, fit_candidate

    X, y = frame(categories)
    columns = tuple(
        Column(name=c, kind="category", categories=tuple("abcde"))
        if X[c].dtype == object
        else Column(name=c, kind="number", minimum=float(X[c].min()), maximum=float(X[c].max()))
        for c in X.columns
    )
    schema = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=columns)
    spec = CandidateSpec(family, ALL_FAMILIES[family].baseline(TRAINED_ON), 0)
    train = X.iloc[:TRAINED_ON]
    candidate = fit_candidate(spec, train, y[:TRAINED_ON], schema=schema, device="cpu")
    bundle = writer.begin(folder / f"{family}-{categories}", candidate, Decision(threshold=0.5), train)
    levels = np.array([*"abcde"], object)

    def coded(given: Any) -> Any:
        codes = np.searchsorted(levels.astype(str), given.categories.astype(str))
        return np.concatenate([given.numbers.astype(np.float64), codes], axis=1)

    def score(table: Any) -> Any:
        numbers = table[:, : 20 - categories].astype(np.float32)
        return log_odds(bundle.run(numbers, levels[table[:, 20 - categories :].astype(int)]), 1)

    some = writer.rows_of(X.iloc[TRAINED_ON : TRAINED_ON + rows], schema)
    return Case(f"{family}, {categories} categories", bundle, some, coded(some), coded(bundle.background), score)


def exact(found: Case, walks: int, seed: int = 99) -> Any:
    """(rows, K): the mean over all background rows, `walks` antithetic walks from each."""
    from ml.explain.shapley import Game, Walks, take
    from ml.schema.rows import Rows

    game, rng, values = Game(found.bundle), np.random.default_rng(seed), []
    background: Rows = take(found.bundle.background, np.repeat(np.arange(len(found.background)), walks))
    starts = game.scores(background, [1])
    for i in range(len(found.rows)):
        row, shares = found.rows.part(i, i + 1), []
        end = game.scores(row, [1])[:, 0]
        for start in range(0, len(background), 50):
            part = background.part(start, start + 50)
            walk = Walks(len(game.columns), len(part), rng)
            inner = game.of_walks(row, part, walk, [1])
            shares.append(walk.shares(starts[:, start : start + 50], inner, end)[0])
        values.append(np.concatenate(shares).mean(axis=0))
    return np.array(values)


def peers(found: Case) -> dict[str, dict[str, Explain]]:
    """The library's estimators by budget, cheapest first."""
    import shap

    k, kernel, permutation = found.background.shape[1], {}, {}
    for count in BACKGROUNDS:
        chosen = found.background[np.random.default_rng(0).permutation(len(found.background))[:count]]
        one = shap.KernelExplainer(found.score, chosen)
        for samples in (8 * k, 32 * k):
            kernel[f"{count} × {samples}"] = lambda row, one=one, n=samples: one.shap_values(
                row, nsamples=n, l1_reg=False, silent=True
            )[0]
        two = shap.PermutationExplainer(found.score, shap.maskers.Independent(chosen, max_samples=count), seed=0)
        for orders in (1, 4):
            permutation[f"{count} × {orders}"] = lambda row, two=two, n=orders: two(
                row, max_evals=n * (2 * k + 1), silent=True
            ).values[0]
    return {"shap kernel": kernel, "shap permutation": permutation}


def measured(explain: Explain, table: Any, truth: Any) -> tuple[float, float]:
    """Median CPU milliseconds a row, and the error."""
    times, values = [], []
    for row in table:
        started = time.thread_time()
        values.append(explain(row[None]))
        times.append((time.thread_time() - started) * 1e3)
    return float(np.median(times)), float(np.sqrt(((np.array(values) - truth) ** 2).mean()))


def chosen(by_budget: dict[str, Explain], found: Case, truth: Any, error: float) -> tuple[str, Explain, float]:
    """The cheapest budget that is as near as Refit; else the nearest."""
    tried = {name: measured(explain, found.table, truth) for name, explain in by_budget.items()}
    enough = [name for name, (_, its) in tried.items() if its <= error]
    best = min(enough, key=lambda n: tried[n][0]) if enough else min(tried, key=lambda n: tried[n][1])
    return best, by_budget[best], tried[best][1]


def compare(found: Case, truth: Any, rounds: int, with_peers: bool) -> dict[str, Any]:
    """Refit and its peers in turns."""
    from ml.explain.explainer import Explainer

    explainer = Explainer.of(found.bundle)
    place = {row.tobytes(): i for i, row in enumerate(found.table)}
    refit = lambda row: explainer.explain(found.rows.part(at := place[row[0].tobytes()], at + 1))[0].attributions  # noqa: E731
    refit(found.table[:1])
    _, error = measured(refit, found.table, truth)
    systems: dict[str, tuple[str, Explain, float]] = {"refit": (explainer.method, refit, error)}
    if with_peers:
        # A method without error is compared at an error that nobody would see.
        at_most = max(error, 0.01 * float(np.sqrt((truth**2).mean())))
        systems |= {name: chosen(by_budget, found, truth, at_most) for name, by_budget in peers(found).items()}

    def timed(explain: Explain) -> harness.Figures:
        return {"cpu_ms": measured(explain, found.table, truth)[0]}

    times = harness.in_turns({name: partial(timed, explain) for name, (_, explain, _) in systems.items()}, rounds)
    of_ours = harness.ratios(times, "cpu_ms", "refit")
    explained = explainer.explain(found.rows)
    sums = [one.baseline + one.attributions.sum() - one.score for one in explained]
    stated = np.array([one.standard_errors for one in explained])
    return {
        "size": float(np.sqrt((truth**2).mean())),
        "stated": float(np.sqrt((stated**2).mean())),
        "sum_off_by": float(np.abs(sums).max()),
        "systems": {
            name: {
                "budget": budget,
                "cpu_ms": times[name]["cpu_ms"],
                "ratio": of_ours[name],
                "error": its,
            }
            for name, (budget, _, its) in systems.items()
        },
    }


def service(found: Case, home: Path, repeats: int = 15) -> dict[str, float]:
    """Median CPU milliseconds of one row through the application."""
    import shutil

    from ml.settings import from_values
    from serving.app import create_app
    from serving.model.store import Pointer, write_pointer

    folder = home / "var" / "serving"
    shutil.copytree(found.bundle.path, folder / "cache" / "1")
    write_pointer(folder, Pointer("1", "cache/1", found.bundle.sha256))
    app = create_app(from_values({"home": str(home)}))
    row = [None if v != v else v for v in found.rows.numbers[0].tolist()] + found.rows.categories[0].tolist()
    body = {"rows": [dict(zip([c.name for c in found.bundle.schema.columns], row, strict=True))]}
    client, times = app.test_client(), {}
    try:
        for name, path in {"attributions": "/explain?changes=false", "with_changes": "/explain"}.items():
            seen = []
            for _ in range(repeats):
                started = time.thread_time()
                answer = client.post(path, json=body)
                seen.append((time.thread_time() - started) * 1e3)
                if answer.status_code != 200:
                    raise SystemExit(answer.data)
            times[name] = float(np.median(seen))
            times[f"{name}_first"] = seen[0]
    finally:
        app.extensions["refit"].close()
    return times


def text(results: dict[str, Any]) -> str:
    head = "   stated, size of an attribution, sums off by"
    lines = [f"{'':38}{'budget':>14}{'CPU ms a row':>14}{'ratio':>8}{'error':>9}{head}"]
    for name, found in results.items():
        for system, its in found["systems"].items():
            note = (
                f"   {found['stated']:.4f}, {found['size']:.3f}, {found['sum_off_by']:.0e}" if system == "refit" else ""
            )
            numbers = f"{its['cpu_ms']:>14.2f}{its['ratio']:>8.1f}{its['error']:>9.4f}"
            label = name if system == "refit" else f"  {system}"
            lines.append(f"{label:38}{its['budget']:>14}{numbers}{note}")
        if "service" in found:
            lines.append("  service, ms: " + ", ".join(f"{k} {v:.2f}" for k, v in found["service"].items()))
    return "\n".join(lines)


def main() -> None:
    """Measure explanations."""
    parser = harness.options(__doc__, no_peers="without shap, whose loops compile for a minute")
    parser.add_argument("--family", action="append", help="only these families")
    parser.add_argument("--categories", action="append", type=int, help="of the 20 columns so many: 0 and 8")
    parser.add_argument("--rows", type=int, default=6, help="rows to explain: 6")
    parser.add_argument("--walks", type=int, default=6, help="from each background row, for the exact values: 6")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved, of all systems: 7")
    told = parser.parse_args()
    from ml.models import ALL_FAMILIES

    warnings.simplefilter("ignore")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in told.categories or (0, 8):
            for family in told.family or ALL_FAMILIES:
                found = case(Path(folder), family, count, told.rows)
                results[found.name] = compare(found, exact(found, told.walks), told.rounds, not told.no_peers)
                results[found.name]["service"] = service(found, Path(folder, f"home-{family}-{count}"))
                if not told.json:
                    harness.show(results, partial(text, {found.name: results[found.name]}), as_json=False)
    harness.show(results, as_json=told.json)


if __name__ == "__main__":
    main()
