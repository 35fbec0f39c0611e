"""An Airflow of the tests' own: configured as the embedded stack is, in the suite's scratch home."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.settings import load
from ops import airflow_config
from ops.layout import Layout

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def airflow() -> Iterator[Layout]:
    """Configuration on disk before the first import of Airflow, and its database made."""
    layout = Layout(load({"REFIT_HOME": os.environ["REFIT_HOME"]}))
    airflow_config.write(layout)
    from airflow.utils.db import initdb

    initdb()
    yield layout
    logging.shutdown()


@pytest.fixture(scope="session")
def dagbag(airflow: Layout) -> DagBag:
    """Every DAG of the project, read as the DAG processor reads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))
