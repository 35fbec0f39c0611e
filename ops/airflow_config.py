"""Airflow's own configuration: of every deployment (`SHARED`, which docker-compose.yaml repeats and a test compares),
and for the embedded stack, written as `var/airflow/airflow.cfg`.

A file rather than environment variables: it holds secrets (mode 0600), the service and MLflow do not
get to see it, and `AIRFLOW_HOME=var/airflow .venv/bin/airflow …` works for a person in a shell.
"""

from __future__ import annotations

import io
from configparser import RawConfigParser

from ops.layout import ADMIN, HOST, Layout, ensure_secrets, write_private

# At most this many tasks at once; each slot is a process that the scheduler forks at its start.
PARALLELISM = 4

# What makes the loop go on by itself and soon, wherever Airflow runs.
SHARED: dict[str, dict[str, object]] = {
    # The loop is closed from the first start on; a person pauses what is not wanted.
    "core": {"dags_are_paused_at_creation": False, "load_examples": False},
    "scheduler": {
        # Seconds between two looks when nothing happens (default 1): what a task waits for its successor.
        "scheduler_idle_sleep_time": 0.1,
        # A dead scheduler's tasks are started again by the next one after at most 30 + 10 s (the check runs
        # every 300 by default). Not sooner: a scheduler that is merely slow, on a loaded machine, would take
        # its own running tasks for orphans.
        "scheduler_health_check_threshold": 30,
        "orphaned_tasks_check_interval": 10,
        # A task whose process was killed together with its supervisor (default 300).
        "task_instance_heartbeat_timeout": 60,
    },
    "workers": {
        # With the default of 5 s a finished task keeps its slot for up to that long.
        "min_heartbeat_interval": 1,
        # The first request to a cold execution API takes longer than the default of 5 s.
        "execution_api_timeout": 30,
    },
    "dag_processor": {"refresh_interval": 5},
    "usage_data_collection": {"enabled": False},
}


def values(layout: Layout, secrets: dict[str, str]) -> dict[str, dict[str, object]]:
    """Sections and options. What is not here keeps Airflow's default."""
    own: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": layout.checkout / "dags",
            "plugins_folder": layout.checkout / "plugins",
            "executor": "LocalExecutor",
            "parallelism": PARALLELISM,
            "fernet_key": secrets["fernet_key"],
            "simple_auth_manager_users": f"{ADMIN}:admin",
            "simple_auth_manager_passwords_file": layout.password_file,
            # A second server process: with one, writes of the UI and of tasks lock SQLite against each other.
            "execution_api_server_url": f"{layout.url('airflow-execution')}/execution/",
            # The default resolves the full name, which can take seconds where there is no DNS.
            "hostname_callable": "socket.gethostname",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{layout.airflow_home / 'airflow.db'}"},
        "logging": {
            "base_log_folder": layout.airflow_home / "logs",
            "dag_processor_child_process_log_directory": layout.airflow_home / "logs" / "dag_processor",
        },
        "api": {
            "host": HOST,
            "port": layout.ports["airflow"],
            "base_url": layout.url("airflow"),
            "secret_key": secrets["api_secret"],
            "workers": 1,
            "instance_name": "Refit",
        },
        "api_auth": {"jwt_secret": secrets["jwt_secret"]},
    }
    return {name: SHARED.get(name, {}) | own.get(name, {}) for name in {**SHARED, **own}}


def write(layout: Layout) -> None:
    """Write airflow.cfg and its secrets, readable by the owner alone."""
    layout.airflow_home.mkdir(parents=True, exist_ok=True)
    parser = RawConfigParser()
    for section, options in values(layout, ensure_secrets(layout)).items():
        # Airflow interpolates: a literal percent sign is doubled.
        parser[section] = {name: str(value).replace("%", "%%") for name, value in options.items()}
    text = io.StringIO()
    parser.write(text)
    write_private(layout.airflow_home / "airflow.cfg", text.getvalue())
