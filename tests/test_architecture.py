"""Who may import whom. The rules are those of CONTRIBUTING.md; this parses every import."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "sklearn", "pandas", "hyperopt", "evidently", "mlflow", "matplotlib", "scipy"}


class Import(NamedTuple):
    """One import statement."""

    file: Path
    line: int
    module: str
    top_level: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def imports(folder: str) -> list[Import]:
    """Every import below a folder; `from a import b` counts as `a.b`, since b may be a module."""
    return [found for path in sorted((ROOT / folder).rglob("*.py")) for found in _imports_of(path)]


def _module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, node not in inner)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            for alias in node.names:
                yield Import(path, node.lineno, f"{node.module}.{alias.name}", node not in inner)


def _refused(found: list[Import]) -> None:
    assert not found, "\n".join(map(str, found))


def test_there_is_something_to_look_at() -> None:
    for folder in ("ml", "serving", "dags", "plugins", "ops"):
        assert imports(folder), folder


def test_ml_knows_nothing_of_what_is_built_on_it() -> None:
    above = {"airflow", "flask", "dags", "plugins", "serving", "ops", "gunicorn"}
    _refused([found for found in imports("ml") if found.package in above])


def test_nothing_is_built_on_the_demonstration() -> None:
    """It talks to a running stack. Commands start it as a program, or by its name in a table."""
    for folder in ("ml", "serving", "dags", "plugins", "ops"):
        _refused([found for found in imports(folder) if found.package == "demo"])


def test_one_module_opens_addresses() -> None:
    """The others ask it; a client of a kept connection uses `http.client` itself."""
    for folder in ("ml", "serving", "dags", "plugins", "ops"):
        _refused([f for f in imports(folder) if f.module.startswith("urllib.request") and f.file.name != "http.py"])


def test_settings_and_errors_are_at_the_bottom() -> None:
    bottom = {
        "ml.errors": {"ml.messages"},
        "ml.settings.sections": set[str](),
        "ml.settings.faults": {"ml.errors", "ml.messages", "ml.settings.sections"},
        "ml.settings.loading": {"ml.errors", "ml.messages", "ml.settings.faults", "ml.settings.sections"},
        "ml.schema.schema": {"ml.errors", "ml.messages", "ml.schema.findings"},
    }
    for module, allowed in bottom.items():
        for found in _imports_of(ROOT / f"{module.replace('.', '/')}.py"):
            if found.package == "ml" and found.top_level:
                assert found.module.rpartition(".")[0] in allowed, str(found)


# The rooms of the library from low to high: each imports only what stands before it. Imports inside functions count.
LAYERS = (
    "commands",
    "messages",
    "errors",
    "http",
    "settings",
    "schema",
    "storage",
    "alerts",
    "engine",
    "decision",
    "exploration",
    "data",
    "charts",
    "tracking",
    "evaluation",
    "explain",
    "models",
    "predictions",
    "training",
    "bundle",
    "tuning",
    "fleet",
    "registry",
    "gate",
    "drift",
    "origin",
    "release",
    "retraining",
    "monitoring",
    "pipeline",
    "replay",
    "cli",
    "__main__",
)


def test_every_room_of_the_library_has_its_place() -> None:
    rooms = {path.stem for path in (ROOT / "ml").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert rooms - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("low", LAYERS)
def test_data_passes_in_one_direction(low: str) -> None:
    """A lower room of the library does not import a higher one, at its top or inside a function."""
    path = ROOT / "ml" / low
    found = imports(f"ml/{low}") if path.is_dir() else list(_imports_of(path.with_suffix(".py")))
    higher = tuple(f"ml.{name}." for name in LAYERS[LAYERS.index(low) + 1 :])
    _refused([one for one in found if f"{one.module}.".startswith(higher)])


FOLDERS = ("ml", "serving", "dags", "plugins", "ops", "demo")


def _modules(folder: str) -> dict[str, Path]:
    """Dotted name → file; a package is its `__init__`."""
    return {_module_of(file): file for file in (ROOT / folder).rglob("*.py")}


def _arrows(*, lazy: bool) -> dict[str, set[str]]:
    """Module → the modules that it imports; with `lazy`, what it imports inside functions too."""
    modules = {name: file for folder in FOLDERS for name, file in _modules(folder).items()}
    arrows: dict[str, set[str]] = {}
    for name, file in modules.items():
        asked = [found.module for found in _imports_of(file) if lazy or found.top_level]
        # `from a import b` may name a module, or what is in one.
        arrows[name] = {next((m for m in (one, one.rpartition(".")[0]) if m in modules), "") for one in asked} - {""}
    return arrows


def test_modules_import_each_other_in_no_circle() -> None:
    """At import, that is: what a function imports when it is called may lie above."""
    arrows = _arrows(lazy=False)
    assert any(arrows.values())
    graphlib.TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def test_rooms_import_each_other_in_no_circle() -> None:
    """A room is what stands directly in `ml`, `serving`, `dags`, `plugins`, `ops`; imports in functions count."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    between: dict[str, set[str]] = {}
    for module, wanted in _arrows(lazy=True).items():
        between.setdefault(room(module), set()).update(room(one) for one in wanted if room(one) != room(module))
    between = {name: {one for one in wanted if "." in one} for name, wanted in between.items() if "." in name}
    graphlib.TopologicalSorter(between).prepare()


@pytest.mark.parametrize(("folder", "most"), [("ml", 8), ("serving", 8), ("ops", 14), ("demo", 10)])
def test_a_room_is_small_enough_to_know(folder: str, most: int) -> None:
    """So many modules at the top of a part, and ten in each of its rooms."""
    for place in (ROOT / folder, *(path for path in (ROOT / folder).rglob("*") if path.is_dir())):
        modules = {path.name for path in place.glob("*.py")} - {"__init__.py"}
        limit = most if place == ROOT / folder else 10
        assert len(modules) <= limit, f"{place.relative_to(ROOT)} has {len(modules)} modules: {sorted(modules)}"


def test_only_the_report_imports_evidently() -> None:
    _refused([f for f in imports("ml") if f.package == "evidently" and f.file.stem != "evidently_report"])
    for folder in ("serving", "dags", "plugins", "ops"):
        _refused([f for f in imports(folder) if f.package == "evidently"])


def test_charts_are_drawn_once_and_know_nothing_of_models() -> None:
    """One engine for MLflow, pages and demonstration, which the service can load."""
    _refused([f for f in imports("ml/charts") if f.package == "ml" and not f.module.startswith("ml.charts")])
    allowed = {"ml", *sys.stdlib_module_names}
    _refused([found for found in imports("ml/charts") if found.package not in allowed])
    for folder in ("ml", "serving", "dags", "plugins", "ops"):
        _refused([found for found in imports(folder) if found.package == "matplotlib"])


def test_only_the_library_talks_to_mlflow() -> None:
    for folder in ("serving", "dags", "plugins", "ops"):
        _refused([found for found in imports(folder) if found.package == "mlflow"])


def test_only_the_registry_changes_versions_and_aliases() -> None:
    """By the calls' own names in MLflow: a move of an alias elsewhere would be in no ledger."""
    changes = re.compile(r"\.(set_registered_model_alias|delete_registered_model_alias|create_model_version)\(")
    found = {
        path.relative_to(ROOT / "ml").parts[0]
        for path in (ROOT / "ml").rglob("*.py")
        if changes.search(path.read_text())
    }
    assert found == {"registry"}


def test_only_settings_reads_settings_from_the_environment() -> None:
    """`os.environ` in the library: the settings, and nobody else asks for a REFIT_ variable."""
    for path in sorted((ROOT / "ml").rglob("*.py")):
        if path == ROOT / "ml" / "settings" / "loading.py":
            continue
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            asks = "REFIT_" in line and ("environ[" in line or "environ.get" in line or "getenv" in line)
            assert not asks, f"{path.relative_to(ROOT)}:{number} reads {line.strip()}"


def test_the_service_imports_nothing_heavy_at_top_level() -> None:
    _refused([found for found in imports("serving") if found.package in HEAVY and found.top_level])


def test_dags_and_plugins_stay_apart() -> None:
    rules = {"dags": {"plugins", "serving", "ops"}, "plugins": {"dags", "serving", "ops"}}
    for folder, forbidden in rules.items():
        _refused([found for found in imports(folder) if found.package in forbidden])


def test_a_dag_file_imports_only_light_parts_of_the_library() -> None:
    light = ("ml.settings", "ml.errors", "ml.pipeline.run_key")
    found = [f for f in imports("dags") if f.top_level and f.package == "ml" and not f.module.startswith(light)]
    _refused(found)


def test_running_the_stack_imports_neither_airflow_nor_mlflow() -> None:
    _refused([found for found in imports("ops") if found.package in {"airflow", *HEAVY}])


def _loaded_by(code: str) -> set[str]:
    """Top-level packages that are in memory after `code`, in a fresh interpreter."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def test_a_service_worker_loads_nothing_heavy() -> None:
    """The application, made as gunicorn makes it: its memory is what every worker has."""
    loaded = _loaded_by("from serving.app import create_app; create_app()")
    assert not loaded & (HEAVY | {"airflow", "sqlalchemy"})


def test_a_dag_file_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import dags.retrain, dags.drift_check, dags.rollback")
    assert not loaded & (HEAVY - {"matplotlib", "scipy"})


@pytest.mark.parametrize(
    "module",
    [
        "ml.settings",
        "ml.errors",
        "ml.schema.schema",
        "ml.pipeline.pipeline",
        "ml.schema.rows",
        "ml.predictions",
        "ml.registry",
        "ml.tracking",
    ],
)
def test_importing_the_library_costs_nothing(module: str) -> None:
    assert not _loaded_by(f"import {module}") & HEAVY


def test_shipping_the_prediction_log_loads_nothing_heavy() -> None:
    """It draws the monitoring's intervals without SciPy."""
    assert not _loaded_by("import serving.prediction_log.shipper") & HEAVY


def test_every_source_file_is_linted() -> None:
    """A pattern for a folder that is made at run time once left out the packages of the same name."""
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    linted = {Path(line).resolve() for line in shown.stdout.splitlines()}
    rooms = ("ml", "serving", "dags", "plugins", "ops", "demo", "bench", "tests")
    missed = {path for room in rooms for path in (ROOT / room).rglob("*.py")} - linted
    assert not missed
