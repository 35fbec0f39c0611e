"""What tuning costs and what it finds.

    python bench/tuning.py                       # all three parts
    python bench/tuning.py --part tracking --evals 20 --repeats 3 --json

tracking   the same trials with tracking to an SQLite MLflow store over without: wall time ratio (goal ≤ 1.05)
parallel   one process over two, the same trials: speed-up of wall time (goal ≥ 1.6 on two idle cores)
search     best held-out log-loss after N trials of Refit's search, of random search and of Optuna's TPE on
           the same space and folds, several seeds
Everything runs in a temporary folder. CPU seconds are printed too: on a busy machine they say more.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness


def made(home: Path, **tune: Any) -> tuple[Any, Any]:
    """Settings and the default snapshot in `home`."""
    from ml.data import generate
    from ml.settings import from_values

    settings = from_values({"home": str(home), "tune": tune, "train": {"device": "cpu"}})
    return settings, generate(settings)


def timed(call: Any) -> tuple[Any, float, float]:
    """Result, wall seconds, CPU seconds with children."""
    before, started = os.times(), time.perf_counter()
    result = call()
    after = os.times()
    return result, time.perf_counter() - started, sum(after[:4]) - sum(before[:4])


def tracking(evals: int, repeats: int) -> dict[str, Any]:
    from ml import tracking as mlflow_runs
    from ml import tuning
    from ml.tracking.trial_log import TrialLog

    walls, cpus, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        settings, snapshot = made(Path(folder), workers=0)
        mlflow_runs.run(settings, "bench")  # makes the store: once a home, not once a search

        def tracked(workdir: Path) -> Any:
            run_id = mlflow_runs.run(settings, workdir.name)  # trials that a run has already are not logged again
            with TrialLog(settings, run_id, "tune") as log:
                return tuning.search(snapshot, settings, workdir=workdir, max_evals=evals, tracker=log)

        def untracked(workdir: Path) -> Any:
            return tuning.search(snapshot, settings, workdir=workdir, max_evals=evals)

        for i in range(repeats):
            found = {}
            for call in (untracked, tracked)[:: -1 if i % 2 else 1]:  # which one is first changes
                found[call] = timed(lambda c=call, i=i: c(Path(folder, f"{c.__name__}{i}")))[1:]
            walls.append(found[tracked][0] / found[untracked][0])
            cpus.append(found[tracked][1] / found[untracked][1])
            seconds.append({"without": found[untracked], "with": found[tracked]})
            print(f"with tracking over without: wall {walls[-1]:.3f}, CPU {cpus[-1]:.3f}", file=sys.stderr, flush=True)
    return {
        "goal": "<= 1.05", "ratio": float(np.median(walls)), "cpu_ratio": float(np.median(cpus)),
        "ratios": walls, "cpu_ratios": cpus, "wall_and_cpu_seconds": seconds,
    }  # fmt: skip


def parallel(evals: int, repeats: int) -> dict[str, Any]:
    from ml import tuning

    speedups, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        one, snapshot = made(Path(folder), workers=1)
        two, _ = made(Path(folder), workers=2)
        for i in range(repeats):
            found = {}
            for name, settings in (("one", one), ("two", two)):
                workdir = Path(folder, f"{name}{i}")
                call = lambda s=settings, w=workdir: tuning.search(snapshot, s, workdir=w, max_evals=evals)  # noqa: E731
                found[name] = timed(call)
            same = [t.loss for t in found["one"][0].trials] == [t.loss for t in found["two"][0].trials]
            if not same:
                raise SystemExit("one and two processes found different trials")
            speedups.append(found["one"][1] / found["two"][1])
            seconds.append({name: {"wall": wall, "cpu": cpu} for name, (_, wall, cpu) in found.items()})
            print(f"one process over two: {speedups[-1]:.2f}", file=sys.stderr, flush=True)
    return {
        "goal": ">= 1.6", "speed_up": float(np.median(speedups)), "seconds": seconds,
        "cores": len(os.sched_getaffinity(0)), "load_average": os.getloadavg()[0],
    }  # fmt: skip


def search(evals: int, repeats: int) -> dict[str, Any]:
    """Losses over all folds, no pruning of trials for the others: they need none to compare."""
    from ml import tuning
    from ml.tuning import study
    from ml.tuning.space import Space
    from ml.tuning.trial import TrialRequest, TrialStore, run

    best: dict[str, list[float]] = {"refit": [], "random": [], "optuna": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(repeats):
            settings, snapshot = made(Path(folder, str(seed)), workers=1, seed=seed, blend=1)
            problem = study.make_problem(snapshot, settings)
            found = tuning.search(snapshot, settings, workdir=Path(folder, f"w{seed}"), max_evals=evals)
            best["refit"].append(found.best_loss)
            space: Space = study._space(settings.train.families, problem, seed)[0]
            store = TrialStore(Path(folder, f"o{seed}"))
            names = list(space.expressions)
            drawn_at_random = [
                TrialRequest(number=n, family=name, params=space.suggest(n, name, [], seed=seed).params, seed=seed)
                for n, name in enumerate(names[n % len(names)] for n in range(evals))
            ]
            losses = [run(request, problem, store).loss for request in drawn_at_random]
            best["random"].append(min(loss for loss in losses if loss is not None))
            best["optuna"].append(by_optuna(space, problem, store, evals, seed))
            said = ", ".join(f"{name} {values[-1]:.4f}" for name, values in best.items())
            print(f"seed {seed}, best of {evals}: {said}", file=sys.stderr, flush=True)
    mean = {name: float(np.mean(values)) for name, values in best.items()}
    return {"evals": evals, "best_log_loss": best, "mean": mean}


def by_optuna(space: Any, problem: Any, store: Any, evals: int, seed: int) -> float:
    """Optuna's TPE over the same parameters."""
    import optuna

    from ml.tuning.trial import TrialRequest, run

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        family = trial.suggest_categorical("family", list(space.expressions))
        params = drawn(space.expressions[family], trial)
        request = TrialRequest(number=trial.number, family=family, params=params, seed=seed)
        found = run(request, problem, store).loss
        return float("inf") if found is None else found

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=evals)
    return float(study.best_value)


def drawn(expression: Any, trial: Any) -> Any:
    """A point of a hyperopt space with every parameter asked of Optuna.

    Optuna has no normal distributions: those are uniform over two standard deviations to both sides.
    """
    from ml.tuning.space import _plain

    parts = expression.pos_args
    if expression.name == "switch":
        options = list(range(len(parts) - 1))
        return drawn(parts[1 + trial.suggest_categorical(_label(parts[0]), options)], trial)
    if expression.name == "dict":
        return {name: drawn(part, trial) for name, part in expression.named_args}
    if expression.name == "pos_args":
        return [drawn(part, trial) for part in parts]
    if expression.name == "literal":
        return _plain(expression.obj)
    kind = parts[0].pos_args[1]  # float(hyperopt_param(label, distribution))
    first, second, *step = (float(argument.obj) for argument in kind.pos_args)
    low, high = (first - 2 * second, first + 2 * second) if "normal" in kind.name else (first, second)
    log = "log" in kind.name
    value = trial.suggest_float(_label(parts[0]), *(np.exp([low, high]) if log else (low, high)), log=log)
    return round(value / step[0]) * step[0] if step else value


def _label(parameter: Any) -> str:
    label: str = parameter.pos_args[0].obj
    return label


def main() -> None:
    offered = {"tracking": tracking, "parallel": parallel, "search": search}
    parser = harness.options(__doc__)
    parser.add_argument("--part", choices=list(offered), action="append", default=[], help="only these parts")
    parser.add_argument("--evals", type=int, default=50, help="trials of each search (default: 50)")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions (seeds) of each part (default: 3)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {name: offered[name](options.evals, options.repeats) for name in options.part or offered}
    harness.show(found, lambda: text(found), as_json=options.json)


def text(found: dict[str, Any]) -> str:
    """A line a figure."""
    lines = []
    for name, result in found.items():
        shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}
        lines += [f"\n{name}", *(f"  {key:22} {value}" for key, value in shown.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
