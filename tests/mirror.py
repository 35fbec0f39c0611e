"""`python -m tests.mirror > tests/mirror.toml` fills the table of `tests/test_mirror.py` anew, after a move.

Which test covers a module without a test file of its own is read from the imports: the nearest test file (in its room,
with the fewest imports of other modules) that imports it, or what imports it, and so on; and the public names of the
module through which that test reaches it. What runs as a process of its own or is found by name is in `BY_HAND`.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Modules of ml and serving without a test file at the mirrored path: the test that covers each, and the public names
# through which it reaches it. Filled by tests/mirror.py; what it cannot know stands in its BY_HAND.
[covered_by]"""
NAMES = 4  # named of each module; our choice

BY_HAND = {
    "ml/cli/release.py": "tests/ml/cli/test_commands.py: by the names of its commands",
    "ml/pipeline/run_key.py": "tests/dags/test_tasks.py: by the keys of the runs that Airflow starts",
    "ml/tuning/worker.py": "tests/ml/tuning/test_processes.py: as the program of each trial's process",
    "serving/api/health.py": "tests/serving/test_app.py: GET /health/live, GET /health/ready",
    "serving/gunicorn.conf.py": "tests/serving/http/test_worker.py: as the configuration of real workers",
    **dict.fromkeys(
        (f"serving/http/{name}.py" for name in ("connection", "connections", "fast_path", "wsgi")),
        "tests/serving/http/test_worker.py: through sockets to a real worker",
    ),
    "serving/api/guard.py": "tests/serving/test_app.py: every request passes it",
    "serving/pages/documents.py": "tests/serving/pages/test_pages.py: GET /docs",
    **dict.fromkeys(
        (
            f"serving/pages/{name}.py"
            for name in (
                "file",
                "i18n/validation",
                *(f"models/{of}" for of in ("card", "search", "events")),
                *(f"monitoring/{of}" for of in ("charts", "time_range")),
                "predict",
                "work_list",
            )
        ),
        "tests/serving/pages/test_pages.py: GET and POST of the pages",
    ),
    "serving/protocols/lenient_rows.py": "tests/serving/protocols/test_mlflow.py: POST /invocations",
}


def imported(path: Path) -> set[str]:
    """Every dotted name that a file imports; `from a import b` gives `a` and `a.b`."""
    nodes = list(ast.walk(_tree(path)))
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


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _dotted(path: Path) -> str:
    """`ml.gate` of ml/gate/__init__.py, `ml.gate.rules` of ml/gate/rules.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _used(path: Path, module: str) -> set[str]:
    """The names of a module that a file imports, or reads as attributes of it."""
    package, _, leaf = module.rpartition(".")
    names, aliases = set(), set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            aliases |= {alias.asname or alias.name for alias in node.names if alias.name == leaf}
    for node in ast.walk(_tree(path)) if aliases else ():
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            names.add(node.attr)
    return {name for name in names if not name.startswith("_")}


@functools.cache
def _modules(path: Path) -> frozenset[str]:
    """The modules that a file imports: `from a import b` is `a.b` where that is one, else `a`."""
    known, found = _known(), set[str]()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            longer = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= longer & known | ({node.module} if longer - known else set())
    return frozenset(found & known)


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(_dotted(path) for path in _files())


@functools.cache
def _files() -> tuple[Path, ...]:
    rooms = ("ml", "serving", "ops", "demo", "dags", "tests")
    return tuple(p for room in rooms for p in sorted((ROOT / room).rglob("*.py")) if p.parent.name != "stack")


def _near(test: Path, module: Path) -> tuple[int, int, str]:
    """Sorts test files: the one in the module's room first, then the one that imports the fewest of others."""
    room, here = ("tests", *module.parts[:-1]), test.relative_to(ROOT).parts[:-1]
    shared = next((i for i, (a, b) in enumerate(zip(room, here, strict=False)) if a != b), min(len(room), len(here)))
    return -shared, sum(name.startswith(("ml", "serving")) for name in _modules(test)), str(test)


def _covered(module: Path) -> str:
    """ "test file: names" of one module; "" where no test reaches it by imports."""
    wanted, seen = {_dotted(ROOT / module)}, set[str]()
    while wanted:
        users = [path for path in _files() if _modules(path) & wanted and _dotted(path) not in seen]
        if tests := [path for path in users if path.name.startswith(("test_", "conftest"))]:
            best = min(tests, key=lambda path: _near(path, module))
            entries = sorted(_modules(best) & wanted)
            used = {
                (name.isupper(), name[0].isupper(), f"{entry}.{name}")
                for entry in entries
                for name in _used(best, entry)
            }
            names = [name for *_, name in sorted(used)] or entries  # functions first, constants last
            return f"{best.relative_to(ROOT).as_posix()}: {', '.join(names[:NAMES])}{' …' * (len(names) > NAMES)}"
        seen |= wanted
        wanted = {_dotted(path) for path in users} - seen
    return ""


def _table() -> str:
    return "\n".join(
        [HEAD, *(f'"{m.as_posix()}" = "{BY_HAND.get(m.as_posix()) or _covered(m)}"' for m in unmirrored())]
    )


if __name__ == "__main__":
    print(_table())
