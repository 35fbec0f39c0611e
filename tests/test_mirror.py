"""Tests mirror the paths of the code, and share helpers through modules of their own."""

from __future__ import annotations

import tomllib

from tests import mirror

TABLE = tomllib.loads((mirror.ROOT / "tests" / "mirror.toml").read_text())


def test_modules_without_a_test_file_of_their_own_are_in_the_table() -> None:
    """And no other is: a line goes when its module does, or gets a test file."""
    listed = {module for modules in TABLE["tested_by"].values() for module in modules} | set(TABLE["untested"])
    without = {module.as_posix() for module in mirror.unmirrored()}
    missing, stale = sorted(without - listed), sorted(listed - without)
    assert not missing, f"give them a test file at the mirrored path, or a line in tests/mirror.toml: {missing}"
    assert not stale, f"these lines of tests/mirror.toml are out of date: {stale}"


def test_the_tests_that_the_table_names_exist() -> None:
    """What tests a module instead is a file, and every module that has none says why."""
    assert [name for name in TABLE["tested_by"] if not (mirror.ROOT / name).is_file()] == []
    assert [module for module, why in TABLE["untested"].items() if not why] == []


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
