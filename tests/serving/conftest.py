"""Applications for the tests of the service, closed at the end so that their logs are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from serving.app import create_app
from tests.serving import tiny
from tests.serving.fake_registry import Registry
from tests.serving.mixed import application

Make = Callable[..., FlaskClient]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A client for an application with these settings; version 1 is published unless `empty`."""
    apps: list[Flask] = []

    def made(empty: bool = False, **values: Any) -> FlaskClient:
        settings = tiny.settings_for(tmp_path, **values)
        if not empty:
            tiny.publish(settings, "1")
        apps.append(create_app(settings))
        return apps[-1].test_client()

    yield made
    for app in apps:
        app.extensions["refit"].close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """The application of `tests.serving.mixed`, its home in `tmp_path`."""
    with application(tmp_path) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of `app`."""
    return app.test_client()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry behind MLflow's REST answers, for a service at `tmp_path / "home"`."""
    made = Registry(tmp_path / "registry", tmp_path / "home")
    yield made
    made.close()
