"""The command `refit`: over the folder that it is called in, what the commands of a checkout are over theirs.

Nothing but the standard library is imported here, so that `--help` is there at once.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# Installed, the checkout lies in the package; in a checkout, around it.
TREE = _HERE / "tree" if (_HERE / "tree").is_dir() else _HERE.parent
DISTRIBUTION = "refit-classifier"

# Word → the program behind it with its first arguments, and what is said of it.
WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "init": (("-m", "refit.project"), "make this folder a project: refit.toml, with your own table where you name one"),
    "up": (("-m", "ops"), "start Airflow, MLflow and the service, retrain, and end when a champion answers"),
    "start": (("-m", "ops", "--start"), "start everything and run nothing"),
    "status": (("-m", "ops", "--status"), "say what runs, and which version serves"),
    "cancel": (("-m", "ops", "--cancel"), "end the runs that are active or wait"),
    "down": (("-m", "ops", "--stop"), "stop everything"),
    "demo": (("-m", "ops", "--demo-drift"), "show the closed loop under simulated live traffic"),
    "predict": ((str(TREE / "predict_client.py"),), "answer a file by the running service"),
    "versions": (("-m", "ml", "status"), "the registered versions, and the last run"),
    "mlflow": (("-m", "ops.mlflow_ui"), "open MLflow, also when nothing else runs"),
    "backup": (("-m", "ops.backup"), "copy the state, also while everything runs"),
}
_ANYWHERE = ("init", "predict")  # need no project


def usage() -> str:
    """What `refit --help` prints."""
    words = "\n".join(f"  {word:<10} {about}" for word, (_, about) in WORDS.items())
    return (
        "usage: refit WORD [OPTION …]      refit WORD --help says more\n\n"
        "Keeps a tabular classifier fresh: retraining on Airflow, MLflow and Flask. A folder is a project;\n"
        "its data/, models/ and var/ are made in it.\n\n"
        f"{words}\n\n"
        "Each stage and the registry by hand, without Airflow: generate, train, tune, evaluate, register, promote,\n"
        "rollback, drift-check, verify, pipeline: refit pipeline --help.\n"
        "Over tables: replay (what would the loop have done with your past?), score (one of any length), send (one\n"
        "through the running service).\n"
        "Settings: refit.toml, then REFIT_* variables.\n"
    )


def command(words: list[str]) -> list[str]:
    """Arguments of the Python program behind some words; one that is not ours is one of `python -m ml`."""
    behind, _ = WORDS.get(words[0], (("-m", "ml", words[0]), ""))
    return [*behind, *words[1:]]


def environment(home: Path) -> dict[str, str]:
    """Of that program: the tree is importable from any folder, and the folder is not."""
    path = os.pathsep.join(filter(None, [str(TREE), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "REFIT_HOME": str(home)}


def main() -> int:
    """Become the program behind the words; an error where there is no project for it."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(usage(), end="")
        return 0
    if words[0] == "--version":
        print(metadata.version(DISTRIBUTION))
        return 0
    home = Path(os.environ.get("REFIT_HOME") or ".").expanduser().resolve()
    helps = "--help" in words or "-h" in words
    if words[0] not in _ANYWHERE and not helps and not (home / "refit.toml").is_file():
        print(f"{home} is no project: there is no refit.toml. Make it one with: refit init", file=sys.stderr)
        return 2
    os.execve(sys.executable, [sys.executable, *command(words)], environment(home))


if __name__ == "__main__":
    sys.exit(main())
