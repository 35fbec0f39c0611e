"""What a person sees: a live last line on a terminal, a run followed task by task, and the summary at its end."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from ml import http
from ml.commands import spoken
from ml.pipeline import progress
from ml.pipeline.first_champion import without_champion
from ml.pipeline.run_key import run_key
from ml.settings.addresses import mlflow_page
from ops import NoChampion, RunFailed, StackError, stack
from ops.airflow_api import AirflowApi
from ops.layout import Layout

POLL_INTERVAL_S = 0.4  # between two looks at a run


class Terminal:
    """Writes to `out`; a live line is redrawn in place when that is a terminal, and left out otherwise."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._tty = self._out.isatty()
        self._live = ""

    def line(self, text: str = "") -> None:
        """One finished line."""
        self._clear()
        self._out.write(f"{spoken(text)}\n")
        self._out.flush()

    def live(self, text: str) -> None:
        """What is going on at the moment."""
        text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be drawn over
        if self._tty and text != self._live:
            self._clear()
            self._out.write(text)
            self._out.flush()
            self._live = text

    @contextmanager
    def step(self, done: str, steps: int = 0, kept: Path | None = None) -> Iterator[Callable[[str], None]]:
        """Time what takes a while: gives a function for its live line, and says `done (12 s)` at its end.

        Parameters
        ----------
        steps
            How many different texts will be said: `step 3 of 6`; 0 leaves that out.
        kept
            A file with the seconds that it took the last time, told as an estimate, and written where it succeeds.
        """
        started, said = time.monotonic(), [""]
        before = kept.read_text(encoding="ascii", errors="replace") if kept is not None and kept.exists() else ""
        usual = f" of about {before}" if before.isdigit() else ""

        def draw() -> None:
            if len(said) == 1:
                return  # nothing has been said yet
            place = f"step {len(said) - 1} of {steps}: " if steps else ""
            self.live(f"  {place}{said[-1]} ({time.monotonic() - started:.0f}{usual} s)")

        def say(text: str) -> None:
            if text != said[-1]:
                said.append(text)
            draw()

        with self._ticking(draw):
            yield say
        seconds = time.monotonic() - started
        if kept is not None:
            with contextlib.suppress(OSError):  # a full disk costs the estimate, not what was done
                kept.write_text(f"{seconds:.0f}", encoding="ascii")
        if seconds >= 1:
            self.line(f"  {done} ({seconds:.0f} s)")
        else:
            self._clear()

    @contextmanager
    def _ticking(self, draw: Callable[[], None]) -> Iterator[None]:
        """Draw the live line every second, whatever the caller waits for; on a terminal alone."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0):
                draw()

        clock = threading.Thread(target=tick, name="clock", daemon=True)
        if self._tty:
            clock.start()
        try:
            yield
        finally:
            ended.set()
            if self._tty:
                clock.join()

    def _clear(self) -> None:
        if self._live:
            self._out.write("\r\x1b[K")
            self._live = ""


class Watch:
    """One run, shown until it ends."""

    def __init__(self, api: AirflowApi, layout: Layout, terminal: Terminal, dag_id: str, run_id: str) -> None:
        self._api, self._layout, self._terminal = api, layout, terminal
        self._dag_id, self._run_id = dag_id, run_id
        self._shown: dict[str, str] = {}

    def to_the_end(self) -> dict[str, Any]:
        """Return what every task returned, by task id.

        Raises
        ------
        RunFailed
            The run failed: with the error of the task that failed first.
        """
        self._terminal.line(f"Running {self._dag_id}: {self._api.page(self._dag_id, self._run_id)}")
        started, before = time.monotonic(), self._before()
        while True:
            state = self._api.run(self._dag_id, self._run_id)["state"]
            tasks = self._in_order(self._api.tasks(self._dag_id, self._run_id))
            for task in tasks:
                self._show(task)
            if state in ("success", "failed"):
                break
            self._live(tasks, time.monotonic() - started, before)
            time.sleep(POLL_INTERVAL_S)
        if state == "failed":
            raise RunFailed(self._failure(tasks))
        return {task["task_id"]: self._result(task) for task in tasks if task["state"] == "success"}

    @staticmethod
    def _in_order(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As they started; those that have not, last."""
        return sorted(tasks, key=lambda task: task["start_date"] or "9")

    def _show(self, task: dict[str, Any]) -> None:
        name, state = task["task_id"], task["state"] or ""
        if self._shown.get(name) == state:
            return
        self._shown[name] = state
        if state in ("success", "failed", "skipped"):
            mark = {"success": "✓", "skipped": "–"}.get(state, "✗")
            tries = f", try {task['try_number']}" if task["try_number"] > 1 else ""
            self._terminal.line(f"  {mark} {name:<10} {task['duration'] or 0:5.1f} s{tries}")
            if (name, state) == ("generate", "success"):
                self._show_found(self._result(task))
        elif state == "up_for_retry":
            cause = self._cause(task) or "its process was killed"
            self._terminal.line(f"  … {name:<10} is tried again: {cause}")
        elif state == "awaiting_input":
            self._terminal.line(f"  … {name:<10} waits for a person: {self._layout.url('airflow')}/required_actions")

    def _show_found(self, result: Any) -> None:
        """What generate found in the table."""
        for line in result.get("found", []) if isinstance(result, dict) else []:
            self._terminal.line(f"      {line['text']}")

    def _before(self) -> str:
        """What the last run that succeeded took, told beside the clock; empty before the first."""
        for run in self._api.runs(self._dag_id):
            if run["state"] == "success" and run["start_date"] and run["end_date"]:
                took = datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])
                return f"; the last run took {took.total_seconds():.0f} s"
        return ""

    def _live(self, tasks: list[dict[str, Any]], elapsed: float, before: str) -> None:
        done = sum(task["state"] in ("success", "failed", "skipped") for task in tasks)
        now = next((task for task in tasks if task["state"] == "running"), None)
        progress_of = self._stage_progress(now["task_id"]) if now else ""
        doing = f"{now['task_id']} {progress_of}".strip() if now else "waiting for a task"
        self._terminal.live(f"    step {min(done + 1, len(tasks))} of {len(tasks)}: {doing} ({elapsed:.0f} s{before})")

    def _stage_progress(self, task_id: str) -> str:
        """What the stage itself last said, such as `12 of 50`; from its workspace."""
        report = progress.read(self._layout.settings, run_key(self._run_id))
        if report is None or report.stage != task_id or not report.total:
            return ""
        return f"{report.done} of {report.total}  {report.note}"

    def _result(self, task: dict[str, Any]) -> Any:
        return self._api.result(self._dag_id, self._run_id, task["task_id"])

    def _failure(self, tasks: list[dict[str, Any]]) -> str:
        failed = [task for task in tasks if task["state"] == "failed"]
        if not failed:
            return f"The run {self._run_id} failed without a failed task: see {self._layout.url('airflow')}"
        task = failed[0]
        cause = self._cause(task) or "its process ended without an error: cancelled, killed, or out of memory"
        page = f"{self._api.page(self._dag_id, self._run_id)}/tasks/{task['task_id']}"
        return f"The task {task['task_id']} failed: {cause}\nIts log: {page}{self._verdict(tasks)}"

    def _verdict(self, tasks: list[dict[str, Any]]) -> str:
        """What the gate had said before the run failed, as a line of its own; empty where it had not come to that."""
        judged = next((t for t in tasks if (t["task_id"], t["state"]) == ("evaluate", "success")), None)
        sentence = (self._result(judged) or {}).get("sentence", "") if judged else ""
        return f"\nThe gate's verdict before that: {sentence}" if sentence else ""

    def _cause(self, task: dict[str, Any]) -> str:
        """`Kind: message` of the exception that ended the last try; empty when there was none."""
        events = self._api.log(self._dag_id, self._run_id, task["task_id"], task["try_number"])
        for event in reversed(events):
            details = event.get("error_detail")
            if details:
                # The first entry is what was raised, the others are its causes.
                return f"{details[0]['exc_type']}: {details[0]['exc_value']}"
        return ""


def addresses(layout: Layout, terminal: Terminal) -> None:
    """URLs and where the password lies."""
    models = mlflow_page(layout.settings, f"models/{layout.settings.registry.model_name}")
    terminal.line(f"  Service   {layout.url('service')}/        pages, API: {layout.url('service')}/docs")
    terminal.line(f"  Airflow   {layout.url('airflow')}/        user admin, password in {layout.password_file}")
    terminal.line(f"  MLflow    {models}")
    terminal.line(f"            its client: export MLFLOW_TRACKING_URI={layout.url('mlflow')}")
    terminal.line(f"  Logs      {layout.logs}")


def summary(layout: Layout, terminal: Terminal, results: dict[str, Any]) -> None:
    """After a successful run: wait for the service to answer with the champion, and print the summary.

    Parameters
    ----------
    results
        Task → what it returned.

    Raises
    ------
    StackError
        The service does not answer with what the run promoted.
    NoChampion
        There is no champion at all: with what was decided, and what a first one would need.
    """
    promoted = results.get("promote") or {}
    if promoted and not promoted.get("champion"):
        raise NoChampion(without_champion(layout.settings, results.get("evaluate") or {}, promoted.get("version", "")))
    expected = str(promoted["version"]) if promoted.get("promoted") else None
    model, answer = _served(layout, expected)
    terminal.line()
    terminal.line(str((results.get("evaluate") or {}).get("sentence", "")))
    if expected is None:
        terminal.line(f"Version {model['model_version']} goes on serving.")
        if way := way_across(results):
            terminal.line(way)
    terminal.line(f"Champion: {layout.settings.registry.model_name} version {model['model_version']}")
    for metric, value in _headline(model["metrics"]).items():
        terminal.line(f"  {metric:<18} {value}")
    for sentence in model["answers"]:
        terminal.line(f"  {sentence}")
    first = answer["predictions"][0]
    terminal.line(f"A prediction of it: {first['label']} ({first['probability']:.3f})")
    terminal.line()
    addresses(layout, terminal)
    terminal.line()
    terminal.line("Try it:")
    terminal.line(curl(layout, model["example"]))


INCOMPARABLE = "gate.incomparable"  # of `ml.pipeline.stages.records`, which takes a second to load


def way_across(results: dict[str, Any]) -> str:
    """How a version of other columns or classes comes to serve all the same; "" where the run made none.

    Parameters
    ----------
    results
        Task → what it returned.
    """
    reasons = (results.get("evaluate") or {}).get("messages", [])
    version = (results.get("register") or {}).get("version")
    if not version or not any(reason.get("code") == INCOMPARABLE for reason in reasons):
        return ""
    return (
        f"Version {version} answers something else, which callers would feel. If that is meant: the run again with "
        f'--policy always (or this version alone: python -m ml promote --version {version} --reason "…" --force)'
    )


def champion(layout: Layout, terminal: Terminal) -> None:
    """One line on what is served now."""
    try:
        model = http.get(f"{layout.url('service')}/model")
    except http.HttpError:
        terminal.line("  Champion  none is served yet")
    else:
        terminal.line(f"  Champion  {layout.settings.registry.model_name} version {model['model_version']}")


def curl(layout: Layout, example: dict[str, Any]) -> str:
    """A line that works when pasted into a shell."""
    body = shlex.quote(json.dumps({"rows": [example]}, ensure_ascii=False))
    return f"curl -s {layout.url('service')}/predict -H 'Content-Type: application/json' -d {body}"


def _served(layout: Layout, expected: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """`GET /model` and a prediction of its example, both by the expected version."""
    base = layout.url("service")
    last = "it does not answer"
    for _ in stack.ticks(60):
        with contextlib.suppress(http.HttpError, KeyError):
            model = http.get(f"{base}/model")
            answer = http.post(f"{base}/predict", {"rows": [model["example"]]})
            versions = {model["model_version"], answer["model_version"]}
            if versions == {expected or model["model_version"]}:
                return model, answer
            last = f"it answers with version {model['model_version']}"
    if expected is None:
        raise StackError("no model is served: the gate refused the challenger, and there is no earlier champion")
    raise StackError(f"version {expected} was promoted and the service does not answer with it: {last}")


def _headline(metrics: dict[str, Any]) -> dict[str, str]:
    """The metrics of metrics.json a person asks for first, with their interval, and what they have without skill."""
    return {
        name: "   ".join([text, *(f"{head} {values[name]:.3f}" for head, values in beside if name in values)])
        for beside in [(("without skill", metrics.get("no_skill", {})), ("at ½", metrics.get("at_half", {})))]
        for name, text in _measured(metrics.get("metrics", {})).items()
    }


def _measured(metrics: dict[str, Any]) -> dict[str, str]:
    figures = {}
    for name in ("log_loss", "roc_auc", "accuracy", "f1", "macro_f1", "brier"):
        metric = metrics.get(name)
        if isinstance(metric, dict) and "value" in metric:
            interval = f"  [{metric['low']:.3f}, {metric['high']:.3f}]" if metric.get("low") is not None else ""
            known = metric["value"] is not None
            figures[name] = f"{metric['value']:.3f}{interval}" if known else "undefined on these test rows"
        elif isinstance(metric, int | float):
            figures[name] = f"{metric:.3f}"
    return figures
