"""What Airflow costs: the six stages through it, and the same calls in one process, default data.

Needs the running stack (`./run_pipeline.sh --start`). Each round runs the stages in a fresh process without Airflow
(imports not counted: Airflow's workers are warm too), then triggers `retrain`, and splits each task's time by
Airflow's own clock: queueing (the task before it ended → this one was handed to a process), start-up (→ the stage
began) and the rest; work is what the stage itself recorded.

    python bench/pipeline.py [--rounds 3] [--evals 50] [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import harness  # noqa: E402
from ml.pipeline.run_key import run_key  # noqa: E402
from ml.pipeline.stages.records import RECORDS  # noqa: E402
from ml.pipeline.workspace import STAGES, Workspace  # noqa: E402
from ml.settings import Settings, load  # noqa: E402
from ops import stack, supervision  # noqa: E402
from ops.airflow_api import AirflowApi  # noqa: E402
from ops.layout import Layout  # noqa: E402

# The stages in one process, warm; prints the wall seconds of each.
IN_PROCESS = """
import json, os, sys, time
sys.argv = ["airflow", "scheduler"]
os.register_at_fork = lambda **_: None
import airflow_local_settings
from ml import pipeline
from ml.settings import load
settings = load(overrides={"tune": {"max_evals": int(os.environ["BENCH_EVALS"])}, "registry": {"confirm": "auto"}})
seconds = {}
for name in pipeline.STAGES:
    started = time.perf_counter()
    getattr(pipeline, name)(settings, os.environ["BENCH_KEY"])
    seconds[name] = time.perf_counter() - started
print(json.dumps(seconds))
"""


def without_airflow(layout: Layout, evals: int, number: int) -> dict[str, float]:
    """Seconds of each stage, called one after the other in a fresh, warm process on the same store and service."""
    key = f"bench-{time.time_ns()}-{number}"
    environment = stack.environment(layout) | {"BENCH_EVALS": str(evals), "BENCH_KEY": key}
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS], env=environment, cwd=tempfile.gettempdir(), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def through_airflow(layout: Layout, evals: int) -> tuple[float, dict[str, dict[str, float]]]:
    """Seconds from the trigger to the end of the run, and of each task's parts."""
    api = AirflowApi.embedded(layout)
    api.unpause("retrain")
    triggered = time.time()
    run_id = api.trigger("retrain", {"max_evals": evals, "reason": "bench/pipeline.py"})
    while (run := api.run("retrain", run_id))["state"] not in ("success", "failed"):
        time.sleep(0.5)  # each look costs the core server some milliseconds
    if run["state"] == "failed":
        raise SystemExit(f"the run {run_id} failed")
    wall = _seconds(run["end_date"]) - triggered
    space = Workspace(layout.settings, run_key(run_id))
    tasks = {task["task_id"]: task for task in api.tasks("retrain", run_id)}
    parts, before = {}, triggered
    for record in RECORDS:
        name, work = record.stage_name(), space.needed(record).seconds
        task = tasks[name]
        started, ended = _seconds(task["start_date"]), _seconds(task["end_date"])
        parts[name] = {"queueing": started - before, "start-up and end": ended - started - work, "work": work}
        before = ended
    return wall, parts


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def measure(settings: Settings, rounds: int, evals: int) -> dict[str, Any]:
    """Medians over rounds, alternating, after one run that is not counted."""
    layout = Layout(settings)
    through_airflow(layout, 1)
    plain, walls, parts = [], [], []
    for number in range(rounds):
        plain.append(without_airflow(layout, evals, number))
        wall, split = through_airflow(layout, evals)
        walls.append(wall)
        parts.append(split)
    median = statistics.median
    split = {
        name: {part: median(one[name][part] for one in parts) for part in parts[0][name]}
        | {"one process": median(one[name] for one in plain)}
        for name in STAGES
    }
    alone, whole = median(sum(one.values()) for one in plain), median(walls)
    return {
        "evals": evals,
        "rounds": rounds,
        "one_process_s": alone,
        "airflow_s": whole,
        "ratio": whole / alone,
        "overhead_per_task_s": median(
            sum(p["queueing"] + p["start-up and end"] for p in one.values()) / len(STAGES) for one in parts
        ),
        "tasks": split,
    }


def main() -> None:
    parser = harness.options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--evals", type=int, default=50)
    arguments = parser.parse_args()
    settings = load()
    if not supervision.states(Layout(settings)):
        raise SystemExit("nothing runs: ./run_pipeline.sh --start")
    found = measure(settings, arguments.rounds, arguments.evals)
    harness.show(found, lambda: text(found), as_json=arguments.json, indent=2)


def text(found: dict[str, Any]) -> str:
    """A line a task, and what Airflow adds."""
    lines = [f"{'seconds':<10}{'queueing':>10}{'start-up':>10}{'work':>10}{'one process':>13}"]
    for name, parts in found["tasks"].items():
        lines.append(
            f"{name:<10}{parts['queueing']:>10.2f}{parts['start-up and end']:>10.2f}{parts['work']:>10.2f}"
            f"{parts['one process']:>13.2f}"
        )
    whole = f"\nAirflow {found['airflow_s']:.1f} s, one process {found['one_process_s']:.1f} s: "
    added = f"ratio {found['ratio']:.2f}; Airflow adds {found['overhead_per_task_s']:.2f} s a task"
    return "\n".join([*lines, whole + added])


if __name__ == "__main__":
    main()
