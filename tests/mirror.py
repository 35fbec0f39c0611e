"""`python -m tests.mirror > tests/mirror.toml` fills the table of `tests/test_mirror.py` anew, after a move.

A module that tests import is ascribed to the nearest test file that imports it (in its room, with the fewest imports of
other modules); one that none imports to the modules that do. What a person wrote as a reason is to be put back.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Modules of ml and serving without a test file at the mirrored path. Filled by tests/mirror.py, kept by hand."


def imported(path: Path) -> set[str]:
    """Every dotted name that a file imports; `from a import b` gives `a` and `a.b`."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def unmirrored() -> list[Path]:
    """Modules of `ml` and `serving` whose `tests/<path>/test_<module>*.py` does not exist, relative to the root."""
    modules = [path.relative_to(ROOT) for room in ("ml", "serving") for path in sorted((ROOT / room).rglob("*.py"))]
    return [
        module
        for module in modules
        if not module.name.startswith("__")
        and not any((ROOT / "tests" / module.parent).glob(f"test_{module.stem}*.py"))
    ]


def import_between_tests() -> list[str]:
    """ "file imports module" for every import of a test file by a file of the tests."""
    return sorted(
        f"{path.relative_to(ROOT).as_posix()} imports {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for name in imported(path)
        if name.startswith("tests.") and _is_test_file(name)
    )


def _is_test_file(name: str) -> bool:
    path = ROOT / (name.replace(".", "/") + ".py")
    return path.name.startswith("test_") and path.is_file()


def _table() -> str:
    tests = {
        p: imported(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if p.parent.name not in ("tests", "stack")
    }
    code = {p.relative_to(ROOT): imported(p) for room in ("ml", "serving") for p in (ROOT / room).rglob("*.py")}
    tested: dict[str, list[str]] = {}
    untested: dict[str, str] = {}
    for module in unmirrored():
        name = ".".join(module.with_suffix("").parts)
        users = [test for test, names in tests.items() if name in names]
        near = [test for test in users if test.parent.name in module.parts] or users
        if near:
            best = min(near, key=lambda test: (sum(n.startswith(("ml", "serving")) for n in tests[test]), str(test)))
            tested.setdefault(best.relative_to(ROOT).as_posix(), []).append(module.as_posix())
        else:
            through = sorted(".".join(p.with_suffix("").parts) for p, names in code.items() if name in names)
            untested[module.as_posix()] = "only through " + (
                ", ".join(through[:3]) or "a process of its own, or by name"
            )
    lines = [HEAD, "", "# The test file that tests them instead.", "[tested_by]"]
    for test, modules in sorted(tested.items()):
        lines += [f'"{test}" = [', *(f'    "{module}",' for module in modules), "]"]
    lines += ["", "# No test imports these: they are tested through the modules named.", "[untested]"]
    lines += [f'"{module}" = "{why}"' for module, why in untested.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(_table())
