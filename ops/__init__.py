"""Running Refit on one machine: the environment, the supervised stack, and the one command over both.

Uses `ml.settings` for where things are; imports neither Airflow nor MLflow.

| module | what it is |
|---|---|
| `__main__`, `command` | the one command: its arguments, and its actions |
| `environment` | makes `.venv`; standard library alone |
| `layout` | paths, ports, secrets |
| `airflow_config`, `airflow_api` | Airflow's configuration, and the client of its REST API |
| `stack` | looks before the start, starts, stops, waits |
| `supervision` | the programs, the supervisor's configuration, and what it says of them |
| `reaper` | supervisord's event listener |
| `terminal` | what a person sees: lines, a run that is followed, the summary |
| `backup`, `mlflow_ui`, `containers` | commands of their own |
| `probe` | the health check of the containers; standard library alone |
"""

from __future__ import annotations


class StackError(Exception):
    """Raised when the stack cannot be started, asked or stopped; the message says what to do."""


class NoChampion(StackError):
    """Raised when a run ended well and nothing serves: its challenger was refused, and there is no earlier champion."""


class Interrupted(Exception):
    """Raised on Ctrl-C where more can be said than that: what is stopped by now, and what goes on."""


class RunFailed(Exception):
    """Raised when a DAG run ended badly; the message is the failed task's own error."""
