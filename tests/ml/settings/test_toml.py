"""refit.toml and docs/settings.md from the declarations."""

from __future__ import annotations

import tomllib

import pytest

from ml import settings
from ml.settings import Settings, toml


def test_every_setting_says_what_it_means() -> None:
    everything = {"": Settings(), **toml.sections(Settings())}
    silent = [
        f"{section}.{name}"
        for section, values in everything.items()
        for name, _, note in toml.declarations(values, {"home", *everything})
        if not note
    ]
    assert silent == [], "say it beside the field in ml/settings/sections.py"


@pytest.mark.parametrize(
    "told",
    [
        {"data": {"path": 'a "b".csv', "target": "y", "id_columns": ["k", "l"], "kinds": {"x": "category"}}},
        {"tune": {"max_evals": 7}, "synthetic": {"weights": [0.9, 0.1]}, "serving_port": 8123},
    ],
)
def test_what_is_rendered_reads_back(told: dict[str, object]) -> None:
    wanted = settings.from_values(told)
    assert settings.from_values(tomllib.loads(toml.render(wanted))) == wanted
