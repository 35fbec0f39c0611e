"""The examples in the docstrings are true: in every module of `ml` and `serving` that has one."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMPT = re.compile(r"^\s*>>> ", re.MULTILINE)


def _modules() -> list[str]:
    """Dotted names of the modules with an example."""
    files = (file for folder in ("ml", "serving") for file in sorted((ROOT / folder).rglob("*.py")))
    examples = (file for file in files if PROMPT.search(file.read_text(encoding="utf-8")))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in examples]


@pytest.mark.parametrize("name", _modules())
def test_examples_run(name: str) -> None:
    """Each prompt in the file is tried, so that a docstring that doctest overlooks is noticed too."""
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module)
    assert tried == len(PROMPT.findall(Path(str(module.__file__)).read_text(encoding="utf-8")))
    assert not failed
