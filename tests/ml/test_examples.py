"""The examples in the docstrings are true."""

import doctest
import importlib

import pytest

MODULES = (
    "ml.evaluation.bounds",
    "ml.schema.findings",
    "ml.schema.arrow_cells",
    "ml.data.sources.csv_reader",
    "ml.data.sources.csv_diagnosis",
    "ml.data.inference.checks",
    "serving.scoring.file_names",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed
