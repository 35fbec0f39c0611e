"""The actions of the one command."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import Any

from ml import settings as settings_module
from ml.errors import SettingsError
from ml.settings import Settings, chosen_file
from ops import credentials, demo, fingerprint, preflight, stack, summary, supervision
from ops.airflow_api import AirflowApi
from ops.errors import StackError
from ops.layout import Layout
from ops.terminal import Terminal
from ops.watch import Watch

# Unpaused at every start: the loop is closed from the first run on.
DAGS = ("retrain", "drift_check", "rollback")


def perform(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    terminal = Terminal()
    layout = Layout(settings_module.load())
    if arguments.status:
        return status(layout, terminal)
    if arguments.demo_drift:
        return demo_drift(layout, terminal)
    with _only_one(layout):
        if arguments.stop:
            terminal.line("Stopping …" if supervision.supervisor(layout) else "Nothing runs.")
            terminal.line("Stopped." if stack.stop(layout) else "")
            return 0
        if arguments.data:
            layout = Layout(choose_data(layout.settings, arguments))
        ensure_running(layout, terminal)
    if arguments.start:
        summary.addresses(layout, terminal)
        return 0
    run(layout, terminal, _conf(arguments))
    return 0


def status(layout: Layout, terminal: Terminal) -> int:
    """Say what runs; exit code 3 when nothing does, as for an init script."""
    found = supervision.states(layout)
    if not found:
        terminal.line("Nothing runs. Start it with ./run_pipeline.sh")
        return 3
    for state in found:
        terminal.line(f"  {state.name:<22} {state.state:<9} {state.description}")
    terminal.line(f"  memory of all: {supervision.memory_mb(layout):,.0f} MB")
    summary.addresses(layout, terminal)
    summary.champion(layout, terminal)
    return 0 if all(state.running for state in found) else 1


def ensure_running(layout: Layout, terminal: Terminal) -> None:
    """Start the stack, or take the one that runs; starts it anew when code or settings have changed."""
    running = bool(supervision.states(layout))
    if running and (parts := fingerprint.changed(layout)):
        terminal.line(f"Restarting: {' and '.join(parts)} changed since the start.")
        stack.stop(layout)
        running = False
    if not running:
        stack.sweep(layout)
        if troubles := preflight.troubles(layout):
            raise StackError("\n".join(troubles))
        terminal.line("Starting Airflow, MLflow and the service …")
        try:
            with terminal.step("started") as say:
                stack.start(layout, say)
        except (StackError, KeyboardInterrupt):
            stack.stop(layout)  # half a stack serves nobody
            raise
        summary.addresses(layout, terminal)
    else:
        stack.wait_until_ready(layout, lambda _: None)


def run(layout: Layout, terminal: Terminal, conf: dict[str, Any]) -> None:
    """Trigger `retrain`, show it, and end when the service answers with the champion.

    Raises
    ------
    RunFailed
        A task failed: with its own error.
    """
    api = AirflowApi(layout)
    with terminal.step("DAGs read") as say:
        _wait_for_dags(api, say)
    for dag_id in DAGS:
        api.unpause(dag_id)
    earlier = api.active_runs("retrain")
    run_id = api.trigger("retrain", conf)
    if earlier:
        terminal.line(f"Another run is active and goes first: {', '.join(earlier)}")
    results = Watch(api, layout, terminal, "retrain", run_id).to_the_end()
    summary.run(layout, terminal, results)


def _wait_for_dags(api: AirflowApi, say: Any) -> None:
    for _ in stack.ticks(120):
        if errors := api.import_errors():
            raise StackError("A DAG file does not load:\n" + "\n".join(errors))
        if all(api.has_dag(dag_id) for dag_id in DAGS):
            return
        say("waiting for the DAG processor")
    raise StackError("the DAG processor has read no DAG after 120 s: see var/logs/airflow-dag-processor.log")


def demo_drift(layout: Layout, terminal: Terminal) -> int:
    """Start a stack of its own, with simulated customers, and show the closed loop on it."""
    demo.prepare(layout.settings)
    own = Layout(settings_module.load())
    with _only_one(own):
        ensure_running(own, terminal)
    api = AirflowApi(own)
    with terminal.step("DAGs read") as say:
        _wait_for_dags(api, say)
    for dag_id in DAGS:
        api.unpause(dag_id)
    return demo.play(own, keep_in=layout.settings.var / "reports")


def choose_data(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """Keep what `--data` says in `var/settings.json`, for this and every later run; returns the settings with it.

    Raises
    ------
    SettingsError
        A variable of the environment would win over the choice.
    """
    file = chosen_file(settings.home)
    if arguments.data == "default":
        file.unlink(missing_ok=True)
        return settings_module.load()
    if hidden := sorted(name for name in os.environ if name.startswith("REFIT_DATA__")):
        raise SettingsError(f"{hidden[0]} is set in the environment and would win over --data: unset it")
    data: dict[str, Any] = {
        "source": "file",
        "path": arguments.data,
        "target": arguments.target,
        "positive_label": arguments.positive or "",
        "id_columns": arguments.id or [],
        "time_column": arguments.time or "",
        "exclude": arguments.exclude or [],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    credentials.private(file, json.dumps({"data": data}, indent=2) + "\n")
    return settings_module.load()


def _conf(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {"max_evals": arguments.evals, "seed": arguments.seed, "reason": arguments.reason}
    return {name: value for name, value in given.items() if value is not None}


@contextlib.contextmanager
def _only_one(layout: Layout) -> Iterator[None]:
    """Two commands at once do not start two stacks; the second waits for the first's start or stop."""
    layout.settings.var.mkdir(parents=True, exist_ok=True)
    handle = os.open(layout.settings.var, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
