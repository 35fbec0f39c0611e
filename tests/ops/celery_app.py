"""Airflow's own Celery application, with the settings that it finds, and one task that leaves a trace."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.celery.executors.celery_executor_utils import app


@app.task(name="leave_a_line")
def leave_a_line(file: str, text: str) -> None:
    """Append a line."""
    with Path(file).open("a", encoding="utf-8") as out:
        out.write(f"{text}\n")


if __name__ == "__main__":  # FILE TEXT …: queue one task for each text
    import sys

    for text in sys.argv[2:]:
        leave_a_line.apply_async((sys.argv[1], text), queue="default")
