"""Tests mirror the paths of the code, and share helpers through modules of their own."""

from __future__ import annotations

import tomllib

from tests import mirror

TABLE = tomllib.loads((mirror.ROOT / "tests" / "mirror.toml").read_text())["covered_by"]


def test_modules_without_a_test_file_of_their_own_are_in_the_table() -> None:
    """And no other is: a line goes when its module does, or gets a test file."""
    without = {module.as_posix() for module in mirror.unmirrored()}
    missing, stale = sorted(without - set(TABLE)), sorted(set(TABLE) - without)
    assert not missing, f"give them a test file at the mirrored path, or a line in tests/mirror.toml: {missing}"
    assert not stale, f"these lines of tests/mirror.toml are out of date: {stale}"
    assert sorted(set(mirror.BY_HAND) - without) == [], "lines of BY_HAND that are out of date"


def test_every_module_without_a_test_file_says_what_covers_it() -> None:
    """A test file that exists, and the way it takes; what no import leads to is to be told in BY_HAND."""
    untold = [module for module, how in TABLE.items() if not (mirror.ROOT / how.partition(": ")[0]).is_file()]
    assert untold == [], f"say in BY_HAND of tests/mirror.py which test covers them, and how: {untold}"


def test_no_test_file_imports_from_another() -> None:
    """What two of them need stands in a conftest or in a module of helpers."""
    assert mirror.import_between_tests() == []


def test_what_the_mutation_run_guards_exists() -> None:
    """A module that has moved keeps its line, under its new path; so do the tests that guard it."""
    table = tomllib.loads((mirror.ROOT / "tests" / "mutation" / "modules.toml").read_text())
    guards = table["guards"]
    tests = [*(test for tests in guards.values() for test in tests), *table["left_out"]["tests"]]
    named = [*guards, *(test.partition("::")[0] for test in tests)]
    assert [name for name in named if not (mirror.ROOT / name).is_file()] == []
    listed = tomllib.loads((mirror.ROOT / "tests" / "mutation" / "survivors.toml").read_text())
    assert sorted(set(listed) - set(guards)) == []
