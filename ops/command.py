"""The actions of the one command."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ml import settings as settings_module
from ml.errors import DataError, RefitError, SettingsError
from ml.settings import Settings, chosen_file
from ml.settings.options import CHOICE_OF_DATA, RUN_OPTIONS, RunOption
from ops import Interrupted, StackError, stack, supervision
from ops.airflow_api import AirflowApi
from ops.layout import Layout, write_private
from ops.terminal import Terminal, Watch, addresses, champion, summary

# Unpaused at every start: the loop is closed from the first run on.
DAGS = ("retrain", "drift_check", "rollback")


def perform(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    terminal = Terminal()
    layout = Layout(settings_module.load())
    if arguments.status:
        return status(layout, terminal)
    if arguments.demo_drift:
        demo_drift(layout)
    if arguments.cancel:
        return cancel(layout, terminal)
    with only_one(layout):
        if arguments.stop:
            terminal.line("Stopping …")
            terminal.line("Stopped." if stack.stop(layout) else "Nothing runs.")
            return 0
        before = _content(chosen_file(layout.settings.home))
        if arguments.data:
            layout = Layout(choose_data(layout.settings, arguments))
        started = ensure_running(layout, terminal)
    if arguments.start:
        close_loop(layout, terminal)
        addresses(layout, terminal)
        return 0
    if started:
        addresses(layout, terminal)  # to look at while it runs
    with fitting_choice(layout, terminal, before) if arguments.data else contextlib.nullcontext():
        run(layout, terminal, _conf(arguments))
    return 0


def status(layout: Layout, terminal: Terminal) -> int:
    """Say what runs; exit code 3 when nothing does, as for an init script."""
    states = supervision.states(layout)
    if not states:
        left = stack.left_listening(layout)
        if not left:
            terminal.line("Nothing runs. Start it with ./run_pipeline.sh")
            return 3
        for name, process in left.items():
            terminal.line(f"  {name:<22} answers on port {layout.ports[name]} (process {process.pid})")
        terminal.line("The supervisor is gone: nothing restarts these. ./run_pipeline.sh --stop ends them,")
        terminal.line("./run_pipeline.sh --start ends them and starts everything anew.")
        return 1
    for state in states:
        terminal.line(f"  {state.name:<22} {state.state:<9} {state.description}")
    terminal.line(f"  memory of all: {supervision.memory_mb(layout):,.0f} MB")
    addresses(layout, terminal)
    champion(layout, terminal)
    return 0 if all(state.running for state in states) else 1


def cancel(layout: Layout, terminal: Terminal) -> int:
    """End the runs of `retrain` that are active or queued, in Airflow; without a supervisor, as `status`."""
    if not supervision.states(layout):
        return status(layout, terminal)
    api = AirflowApi.embedded(layout)
    runs = api.active_runs("retrain")
    for run_id in runs:
        end_run(api, run_id)
        terminal.line(f"Cancelled: {api.page('retrain', run_id)}")
    terminal.line("What its task was doing ends within seconds." if runs else "No run is active.")
    champion(layout, terminal)
    return 0


def end_run(api: AirflowApi, run_id: str) -> None:
    """Cancel a run of `retrain`; again where a task of it began in the same moment, which Airflow lets run on."""
    api.cancel("retrain", run_id)
    quiet = 0
    for _ in stack.ticks(10):
        if any(task["state"] == "running" for task in api.tasks("retrain", run_id)):
            api.cancel("retrain", run_id)
            quiet = 0
        elif (quiet := quiet + 1) == 3:
            return


def ensure_running(layout: Layout, terminal: Terminal) -> bool:
    """Start the stack, or take the one that runs; starts it anew when code or settings have changed.

    Returns whether it was started.
    """
    running = bool(supervision.states(layout))
    if running and (parts := supervision.changed(layout)):
        why = f"{' and '.join(parts)} changed since the start" if parts != ["start"] else "the last start was cut short"
        terminal.line(f"Restarting: {why}.")
        stack.stop(layout)
        running = False
    if not running:
        stack.sweep(layout)
        if troubles := stack.troubles(layout):
            raise StackError("\n".join(troubles))
        for warning in stack.warnings(layout):
            terminal.line(warning)
        terminal.line("Starting Airflow, MLflow and the service …")
        try:
            with terminal.step("started", stack.START_STEPS, layout.settings.var / "start_seconds") as say:
                stack.start(layout, say)
        except BaseException as error:
            stack.stop(layout)  # half a stack serves nobody
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted("Interrupted: what had been started was stopped again.") from None
            raise
        return True
    stack.wait_until_ready(layout, lambda _: None)
    return False


def run(layout: Layout, terminal: Terminal, conf: dict[str, Any]) -> None:
    """Trigger `retrain`, show it, and end when the service answers with the champion.

    Parameters
    ----------
    conf
        Parameters of the DAG run.

    Raises
    ------
    RunFailed
        A task failed: with its own error.
    """
    api = close_loop(layout, terminal)
    earlier = api.active_runs("retrain")
    run_id = api.trigger("retrain", conf)
    if earlier:
        terminal.line(f"Another run is active and goes first: {', '.join(earlier)}")
    try:
        results = Watch(api, layout, terminal, "retrain", run_id).to_the_end()
    except KeyboardInterrupt:
        raise Interrupted(
            f"Left. The run goes on: {api.page('retrain', run_id)}\n"
            "./run_pipeline.sh --cancel ends it; ./run_pipeline.sh --stop stops everything."
        ) from None
    summary(layout, terminal, results)


def close_loop(layout: Layout, terminal: Terminal) -> AirflowApi:
    """Unpause every DAG, once Airflow has read them; returns the client that did."""
    api = AirflowApi.embedded(layout)
    with terminal.step("DAGs read") as say:
        _wait_for_dags(api, say)
    for dag_id in DAGS:
        api.unpause(dag_id)
    return api


def _wait_for_dags(api: AirflowApi, say: Any) -> None:
    for _ in stack.ticks(120):
        if errors := api.import_errors():
            raise StackError("A DAG file does not load:\n" + "\n".join(errors))
        if all(api.has_dag(dag_id) for dag_id in DAGS):
            return
        say("waiting for the DAG processor")
    raise StackError("the DAG processor has read no DAG after 120 s: see var/logs/airflow-dag-processor.log")


def demo_drift(layout: Layout) -> NoReturn:
    """Let the demonstration, a program that is built on this one, take this process's place."""
    environment = os.environ | {"PYTHONPATH": str(layout.checkout)}
    os.execve(sys.executable, [sys.executable, "-m", "demo", "--own-stack"], environment)


def choose_data(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """Keep what `--data` says in `var/settings.json`, for this and every later run; returns the settings with it.

    The table is read and checked first: what fails is not kept.

    Raises
    ------
    SettingsError
        A variable of the environment would win over the choice.
    DataError
        The table cannot be read, or does not fit the champion's columns and classes.
    """
    file = chosen_file(settings.home)
    if arguments.data == "default":
        file.unlink(missing_ok=True)
        return settings_module.load()
    data: dict[str, Any] = {"source": "file"}
    set_by = {"source": "--data"}
    for option in CHOICE_OF_DATA:
        name, given = option.settings[0].removeprefix("data."), _given(arguments, option)
        empty: Any = [] if option.kind == "texts" else ""
        if given:
            set_by[name] = option.stack
        if given or _variable(name) not in os.environ:
            data[name] = given or empty
    for name, stack_option in set_by.items():
        if _variable(name) in os.environ:
            raise SettingsError(
                f"{_variable(name)} is set in the environment and would win over {stack_option}: unset it"
            )
    once = {"schema": arguments.schema} if arguments.schema else {}
    _check(settings_module.load(overrides={"data": data | once}))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({"data": data}, indent=2) + "\n")
    return settings_module.load()


def _check(settings: Settings) -> None:
    """Read the table and hold it against the champion's contract, with this process's environment left as it is.

    MLflow's client puts switches of its own there; what runs is compared by it with what would be started.
    """
    from ml.pipeline.stages import generate  # pandas, for a choice of data alone

    before = dict(os.environ)
    try:
        generate.check(settings)
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def fitting_choice(layout: Layout, terminal: Terminal, before: bytes | None) -> Iterator[None]:
    """Put the earlier choice of data back after a run, if later ones would fail on the new one.

    A run that infers the columns anew may be refused: the champion then goes on predicting something else.

    Parameters
    ----------
    before
        What `var/settings.json` had before the choice; None: there was none.
    """
    file = chosen_file(layout.settings.home)
    chosen = _content(file)
    try:
        yield
    except Interrupted:  # the run goes on, and reads it
        raise
    except BaseException:
        _put_back_unfit(layout, terminal, before, chosen)
        raise
    _put_back_unfit(layout, terminal, before, chosen)


def _put_back_unfit(layout: Layout, terminal: Terminal, before: bytes | None, chosen: bytes | None) -> None:
    file = chosen_file(layout.settings.home)
    with only_one(layout):
        if _content(file) != chosen:  # somebody has chosen again meanwhile
            return
        try:
            if (fault := _unfit()) is None:
                return
            if before is None:
                file.unlink(missing_ok=True)
            else:
                write_private(file, before.decode("utf-8"))
        except (RefitError, OSError) as error:  # what the run itself came to is told, whatever this comes to
            terminal.line()
            terminal.line(f"Whether later runs can read the chosen table could not be seen, and it stays: {error}")
        else:
            terminal.line()
            terminal.line(f"The choice of data is what it was before, since every later run would fail: {fault}")
            terminal.line("With --policy always beside --data, a table of another kind takes the champion's place.")


def _unfit() -> DataError | None:
    """Why a run without options would fail on the table that is chosen now; None where it would not."""
    try:
        _check(settings_module.load())
    except DataError as error:
        return error
    return None


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _variable(name: str) -> str:
    return f"REFIT_DATA__{name.upper()}"


def _conf(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `retrain`'s form that are filled in for this run."""
    asked = [option for option in RUN_OPTIONS if (option.group != "Data" or option.once) and option.stack]
    given = {option.field: _given(arguments, option) for option in asked}
    return {name: value for name, value in given.items() if value is not None}


def _given(arguments: argparse.Namespace, option: RunOption) -> Any:
    return getattr(arguments, option.stack.removeprefix("--"))


@contextlib.contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """Two commands at once do not start two stacks; the second waits for the first's start or stop."""
    layout.settings.var.mkdir(parents=True, exist_ok=True)
    handle = os.open(layout.settings.var, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is starting or stopping the stack: waiting for it …", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
