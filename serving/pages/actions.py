"""What a person can do to the model, as links to the very page of Airflow: it knows who may, and keeps who did.

The pages have no login of Airflow's, and one address for all readers: a click here could not be told from another's.
"""

from __future__ import annotations

from flask_babel import gettext

from ml.settings.addresses import airflow_page
from serving.service import Service

Action = tuple[str, str, str]  # what is done, the address, and what to press there


def of_model(service: Service) -> list[Action]:
    """Retrain, approve where a person must, roll back, pause."""
    settings = service.settings
    trigger = gettext("press Trigger: the form has every option, empty keeps what is configured")
    found = [
        (gettext("Retrain"), airflow_page(settings, "dags/retrain"), trigger),
        (
            gettext("Roll back"),
            airflow_page(settings, "dags/rollback"),
            gettext("press Trigger: without a version, back to the one that served before"),
        ),
        (
            gettext("Pause retraining"),
            airflow_page(settings, "dags/retrain"),
            gettext("the switch beside the name: no run starts by itself until it is on again"),
        ),
    ]
    if settings.approval == "required":
        address = airflow_page(settings, "required_actions?response_received=false")
        told = gettext("a challenger that waits for a yes or no is listed there")
        found.insert(1, (gettext("Approve"), address, told))
    return found


def of_version(service: Service, version: str) -> list[Action]:
    """Make a version serve again that has served."""
    told = gettext("press Trigger and write %(version)s as the version", version=version)
    return [(gettext("Roll back to this version"), airflow_page(service.settings, "dags/rollback"), told)]


def of_checks(service: Service) -> list[Action]:
    """Check now, and stop checking."""
    address = airflow_page(service.settings, "dags/drift_check")
    return [
        (gettext("Check now"), address, gettext("press Trigger")),
        (gettext("Pause the checks"), address, gettext("the switch beside the name")),
    ]
