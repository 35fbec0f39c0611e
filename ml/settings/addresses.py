"""Where people open what runs: links to MLflow's and Airflow's pages."""

from __future__ import annotations

from ml.settings.sections import Settings


def mlflow_page(settings: Settings, path: str) -> str:
    """The address of a page of MLflow, for people.

    Parameters
    ----------
    path
        Such as `models/NAME/versions/3`. MLflow's router reads a parameter behind the `#` alone, and without this one
        it opens in the mode that hides the registry (tried in a browser, MLflow 3.17).
    """
    registry = settings.registry
    server = registry.tracking_uri if registry.tracking_uri.startswith("http") else ""
    base = registry.public_url or server or f"http://127.0.0.1:{settings.mlflow_port}"
    return f"{base.rstrip('/')}/#/{path}?workflowType=machine_learning"


def airflow_page(settings: Settings, path: str) -> str:
    """The address of a page of Airflow, for people: `path` such as `dags/retrain`."""
    base = settings.schedule.public_url or f"http://127.0.0.1:{settings.airflow_port}"
    return f"{base.rstrip('/')}/{path}"
