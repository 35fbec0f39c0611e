"""Docstrings say what a signature cannot: the rule of CONTRIBUTING.md, held over every package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ml", "serving", "dags", "plugins", "ops")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MANY = 3  # parameters, `self` and `cls` apart

# One word, one thing: parameters that mean the same in the whole tree.
WORDS = {
    "address": "where an HTTP request goes, or where it came from",
    "headers": "of an HTTP request or answer, by name",
    "method": "of an HTTP request, in capitals",
    "path": "of a file, or of an address",
    "status": "of an HTTP answer, or of a run in MLflow",
    "seconds": "how long it took",
    "timeout_s": "seconds until it is given up",
    "keep_alive": "whether the connection stays open behind the answer",
    "dag_id": "of Airflow",
    "task_id": "of Airflow",
    "try_number": "of a task in Airflow, from 1",
    "run_id": "of MLflow, or of a DAG run where `dag_id` stands beside it",
    "run_key": "of a run of the pipeline",
    "version": "of the registered model, in digits",
    "number": "of a version, in digits",
    "who": "the name that the ledger is to have",
    "force": "also where a rule speaks against it: `--force`",
    "file": "the name that messages begin with",
    "sha256": "in hexadecimal, of a bundle's manifest",
    "seed": "of the random numbers; the same one gives the same result",
    "device": "of torch",
    "threads": "of one fit",
    "title": "what a chart or a page is called",
    "x_label": "name of a chart's axis",
    "y_label": "name of a chart's axis",
    "width": "of a picture, in its pixels, or of a layer",
    "height": "of a picture, in its pixels",
}

# Functions whose other parameters need no words, by reason.
EXEMPT = {
    "a method of another library, called as that says": {
        "ml/bundle/pyfunc.py RefitModel.predict",
        "ml/cli/options.py Whole.convert",
        "serving/api/guard.py Application.add_url_rule",
        "serving/gunicorn.conf.py NoPandas.find_spec",
    },
    "said where its docstring sends the reader, at the type that it is one of, or in the class's attributes": {
        "ml/data/__init__.py generate",
        "ml/http.py HttpError.__init__",
        "ml/pipeline/pipeline.py quiet",
    },
    "names and types say all": {
        "ml/charts/document.py document",
        "ml/charts/figures.py structure_rows",
        "ml/cli/show.py result",
        "ml/data/sources/decompress.py Text.__init__",
        "ml/errors.py DataError.__init__",
        "ml/registry/aliases.py set_alias",
        "ml/registry/chain.py link",
        "ml/tracking/runs.py children",
        "ml/tracking/runs.py log_files",
        "serving/auth/limits.py check_cells",
        "serving/http/fast_path.py FastPath.answer",
    },
}


class Function(NamedTuple):
    """A public function or method, or a class by what makes it."""

    place: str
    parameters: dict[str, ast.expr | None]
    docstring: str

    @property
    def section(self) -> list[str] | None:
        """The names under "Parameters"; None where there is no such section."""
        found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|^>>> |\Z)", self.docstring, re.S | re.M)
        if found is None:
            return None
        lines = [line for line in found[1].splitlines() if re.fullmatch(r"[*a-zA-Z]\w*(, [*a-zA-Z]\w*)*", line)]
        return [name.lstrip("*") for line in lines for name in line.split(", ")]


def _functions(file: str, body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _functions(file, node.body, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            makes = node.name == "__init__" and owner is not None
            decorated = any(ast.unparse(one).startswith(("click.", "task")) for one in node.decorator_list)
            if (node.name.startswith("_") and not makes) or decorated:  # options and DAG parameters say it there
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            rest = [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
            named = {one.arg: one.annotation for one in [*arguments, *rest] if one.arg not in ("self", "cls")}
            said = [ast.get_docstring(node) or "", (ast.get_docstring(owner) or "") if makes and owner else ""]
            place = f"{file} {owner.name}.{node.name}" if owner else f"{file} {node.name}"
            yield Function(place, named, "\n\n".join(filter(None, said)))


FUNCTIONS = [function for file, tree in TREES.items() for function in _functions(file, tree.body)]


def _own_types() -> set[str]:
    """Classes and aliases of the tree: a parameter of such a type is explained there."""
    classes = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    aliases = {
        target.id
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper()
    }
    return classes | aliases


OWN = _own_types()


def _is_own(annotation: ast.expr | None) -> bool:
    words = "" if annotation is None else ast.unparse(annotation).strip("'\"")
    kinds = {kind.strip().rpartition(".")[2] for kind in words.split("|")} - {"None"}
    return kinds <= OWN


def unexplained(function: Function) -> list[str]:
    """Parameters of a plain type that nothing says more of than their name."""
    if function.section is not None:  # whoever wrote it has weighed which to leave out
        return []
    quoted = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", function.docstring))))
    named = function.parameters.items()
    return [name for name, kind in named if name not in quoted and name not in WORDS and not _is_own(kind)]


def test_parameters_are_explained_where_there_are_three() -> None:
    """Under "Parameters" (units, shapes, ranges, what None means) or by name in the text."""
    exempt = set().union(*EXEMPT.values())
    assert len(FUNCTIONS) > 500
    found = {f.place: unexplained(f) for f in FUNCTIONS if len(f.parameters) >= MANY}
    missing = [f"{place}: {', '.join(names)}" for place, names in found.items() if names and place not in exempt]
    assert not missing, "\n".join(["say what these are:", *missing])
    needless = sorted(place for place in exempt if not found.get(place))
    assert needless == [], "lines of EXEMPT that are out of date"


def test_what_a_docstring_explains_are_parameters() -> None:
    """A parameter that was renamed keeps its words, under its new name."""
    stale = [f"{f.place}: {name}" for f in FUNCTIONS for name in f.section or () if name not in f.parameters]
    assert stale == []


def test_a_word_that_is_explained_once_is_in_use() -> None:
    used = {name for function in FUNCTIONS for name in function.parameters}
    assert sorted(set(WORDS) - used) == []


def _is_number(value: ast.expr | None) -> bool:
    if isinstance(value, ast.UnaryOp | ast.BinOp):
        return all(_is_number(part) for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr))
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def test_a_threshold_has_its_source() -> None:
    """A number at the top of a module has a comment, on its line or above: what it counts, and whose choice it is."""
    bare = []
    for file, tree in TREES.items():
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        numbers = [n for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign) and _is_number(n.value)]
        places = [node.lineno - 1 for node in numbers]
        bare += [f"{file}: {lines[i]}" for i in places if "#" not in lines[i] and not lines[i - 1].startswith("#")]
    assert bare == []


@pytest.mark.parametrize("folder", FOLDERS[:2])
def test_a_package_has_a_map(folder: str) -> None:
    """Its `__init__` names every module and package in it, each in a row of its own."""
    for init in sorted((ROOT / folder).rglob("__init__.py")):
        modules = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
        packages = {path.parent.name for path in init.parent.glob("*/__init__.py")}
        named = re.findall(r"^\| `([\w.]+?)(?:\.py)?`", ast.get_docstring(ast.parse(init.read_text())) or "", re.M)
        assert sorted(named) == sorted(modules | packages), init
