"""Links to MLflow's and Airflow's pages."""

from __future__ import annotations

import pytest

from ml.settings import from_values
from ml.settings.addresses import airflow_page, mlflow_page


@pytest.mark.parametrize(
    ("registry", "server"),
    [
        ({}, "http://127.0.0.1:5001"),
        ({"tracking_uri": "sqlite:///mlflow.db"}, "http://127.0.0.1:5001"),
        ({"tracking_uri": "http://mlflow:5000"}, "http://mlflow:5000"),
        (
            {"tracking_uri": "http://mlflow:5000", "public_url": "https://mlflow.example.com/"},
            "https://mlflow.example.com",
        ),
    ],
)
def test_the_page_is_where_people_reach_it(registry: dict[str, str], server: str) -> None:
    """The parameter stands behind the `#`: before it, MLflow does not see it and hides the registry."""
    settings = from_values({"mlflow_port": 5001, "registry": registry})
    assert mlflow_page(settings, "models/m") == f"{server}/#/models/m?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("schedule", "server"),
    [({}, "http://127.0.0.1:8081"), ({"public_url": "https://example.com/airflow/"}, "https://example.com/airflow")],
)
def test_airflow_is_where_people_reach_it(schedule: dict[str, str], server: str) -> None:
    settings = from_values({"airflow_port": 8081, "schedule": schedule})
    assert airflow_page(settings, "dags/retrain") == f"{server}/dags/retrain"
