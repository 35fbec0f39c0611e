"""The examples in the docstrings are true."""

import doctest
import importlib

import pytest

MODULES = ("ml.bounds", "ml.report", "ml.values", "ml.tables", "ml.data.checks", "serving.file_names")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed
