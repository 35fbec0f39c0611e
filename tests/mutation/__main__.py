"""Mutation testing of the modules that decide: does a test notice when a line of them is changed?

    .venv/bin/python -m tests.mutation                 # all of modules.toml
    .venv/bin/python -m tests.mutation ml/gate/rules.py      # one of them

mutmut (3.8) changes one expression at a time and forks, with everything imported, for the tests of that function
alone. It works on a copy; the checkout is not touched. `modules.toml` names the modules and the tests that guard them,
`survivors.toml` the changes that survive, each with its reason; an `equivalent` one changes nothing that a caller sees.
The run fails, and says why, where another one survives, where fewer than 95% of those that are not equivalent are
noticed, where a line of `survivors.toml` is stale (the code has changed), and where mutants were not run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MUTMUT = "mutmut==3.8.1"
# Of pytest, what no guard needs: collecting the garbage of all that is imported took longer than a mutant's tests.
SPARED = ("unraisableexception", "schemathesis", "hypothesispytest", "faker", "xdist", "anyio", "cacheprovider")
COPIED = ("ml", "serving", "dags", "plugins", "ops", "tests", "config", "refit.toml", "pyproject.toml")
SURVIVED, NO_TEST, NOT_RUN = 0, 33, None  # exit codes of mutmut's records
GOAL = 0.95  # share of the mutants that are not equivalent, of each module; our choice


@dataclass(frozen=True)
class Mutant:
    """One change: the function it is in, its changed line, and the exit code of the tests (None: not run)."""

    function: str
    line: str
    code: int | None

    @property
    def key(self) -> str:
        """Names the change by its text, not by its number, which an edit elsewhere would shift."""
        return f"{self.function}: {self.line}"


def main() -> int:
    table = tomllib.loads((HERE / "modules.toml").read_text())
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", help="paths as in modules.toml; none: all")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="mutants that are tried at a time")
    chosen = parser.parse_args()
    if unknown := set(chosen.modules) - set(table["guards"]):
        parser.error(f"not in modules.toml: {', '.join(sorted(unknown))}")
    python, bad = _python_with_mutmut(), 0
    for module in chosen.modules or table["guards"]:
        with tempfile.TemporaryDirectory(prefix="refit-mutation-") as folder:
            _copy(Path(folder), module, table["guards"][module], table["left_out"]["tests"])
            listed = _listed(module)
            mutants = _run(python, Path(folder), module, chosen.children, {key.partition(":")[0] for key in listed})
        bad += _report(module, mutants, listed)
    return 1 if bad else 0


def _python_with_mutmut() -> str:
    """This interpreter where it has mutmut; else one below var/ that sees this one's packages and has mutmut too."""
    folder = ROOT / "var" / "mutation" / "venv"
    for python in (sys.executable, str(folder / "bin" / "python")):
        if (
            Path(python).exists()
            and subprocess.run([python, "-c", "import mutmut"], capture_output=True).returncode == 0
        ):
            return python
    venv.create(folder, with_pip=True)
    packages = next(folder.glob("lib/python3.*/site-packages"))
    (packages / "refit.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    subprocess.run([python, "-m", "pip", "install", "--quiet", MUTMUT], check=True)
    return python


def _copy(folder: Path, module: str, tests: list[str], left_out: list[str]) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, folder / name)
    arguments = ["--assert=plain", *(f"-pno:{name}" for name in SPARED), *(f"--deselect={test}" for test in left_out)]
    with (folder / "pyproject.toml").open("a") as file:
        file.write(
            "\n[tool.mutmut]\n"
            f"source_paths = [{json.dumps(module.split('/', 1)[0])}]\n"
            f"only_mutate = [{json.dumps(module)}]\n"
            f"also_copy = {json.dumps([n for n in COPIED if n not in ('tests', 'pyproject.toml')])}\n"
            f"pytest_add_cli_args = {json.dumps(arguments)}\n"
            f"pytest_add_cli_args_test_selection = {json.dumps(tests)}\n"
            "use_git_change_detection = false\ntrack_dependencies = false\n"
        )


def _listed(module: str) -> dict[str, bool]:
    """Key of each listed survivor of a module → whether it is equivalent."""
    entries = tomllib.loads((HERE / "survivors.toml").read_text()).get(module, [])
    return {change: entry.get("equivalent", False) for entry in entries for change in entry["changes"]}


def _run(python: str, folder: Path, module: str, children: int, functions: set[str]) -> list[Mutant]:
    """Try every mutant; the lines of those that survived, and of all in `functions`, are looked up."""
    command = [python, "-m", "mutmut", "run", "--max-children", str(children)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    record = folder / "mutants" / f"{module}.meta"
    codes = json.loads(record.read_text())["exit_code_by_key"] if record.exists() else {}
    if not codes or all(code is None for code in codes.values()):
        raise SystemExit(f"{module}: mutmut did not run\n{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}")
    read = "import json, sys; from mutmut.mutation.diff_apply import get_diff_for_mutant as diff; "
    read += "json.dump({name: diff(name) for name in json.load(sys.stdin)}, sys.stdout)"
    named = [n for n, code in codes.items() if code in (SURVIVED, NO_TEST) or _function(n) in functions]
    told = subprocess.run(
        [python, "-c", read], cwd=folder, input=json.dumps(named), capture_output=True, text=True, check=True
    )
    diffs = json.loads(told.stdout)
    return [Mutant(_function(name), _changed(diffs.get(name, "")), code) for name, code in codes.items()]


def _function(name: str) -> str:
    """`judge` of "ml.gate.rules.x_judge__mutmut_3"; a method is "xǁClassǁmethod__mutmut_3"."""
    return name.rsplit(".", 1)[-1].rsplit("__mutmut_", 1)[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def _changed(diff: str) -> str:
    """The lines as they are after the change, or the line that it takes away."""
    lines = [line for line in diff.splitlines() if line[:3] not in ("+++", "---")]
    added = " ".join(line[1:].strip() for line in lines if line.startswith("+")).strip()
    return added or "without " + " ".join(line[1:].strip() for line in lines if line.startswith("-"))


def _report(module: str, mutants: list[Mutant], listed: dict[str, bool]) -> int:
    """Print what came of a module; returns how many things are to be mended."""
    alive = [m for m in mutants if m.code in (SURVIVED, NO_TEST)]
    not_run = sum(m.code is NOT_RUN for m in mutants)
    equivalent, unlisted = sum(listed.get(m.key, False) for m in alive), [m for m in alive if m.key not in listed]
    stale = sorted(set(listed) - {m.key for m in mutants})
    noticed = sorted(set(listed) - {m.key for m in alive} - set(stale))
    killed, counted = len(mutants) - len(alive) - not_run, len(mutants) - equivalent
    score = killed / max(counted, 1)
    print(
        f"{module}: {len(mutants)} mutants, {killed} killed, {len(alive)} survived ({equivalent} equivalent, "
        f"{len(alive) - equivalent - len(unlisted)} listed, {len(unlisted)} not listed), {not_run} not run: "
        f"{score:.1%} of those that are not equivalent" + ("" if score >= GOAL else f", below {GOAL:.0%}")
    )
    for mutant in unlisted:
        print(f"    {'no test reaches' if mutant.code == NO_TEST else 'survived'}  {mutant.key}")
    for change in stale:
        print(f"    stale, no such change any more: {change}")
    for change in noticed:
        print(f"    listed, but noticed by a test now: {change}")
    sys.stdout.flush()
    return len(unlisted) + len(stale) + not_run + (score < GOAL)


if __name__ == "__main__":
    sys.exit(main())
