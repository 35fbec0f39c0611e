"""What runs on a worker: an ask to files that were sent once, by the same code as the asker's."""

from __future__ import annotations

import atexit
import functools
import hashlib
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml.settings import CHECKOUT
from ml.storage.files import write_bytes

# What decides the numbers of a fit or a score, beside the code.
LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "torch", "onnxruntime", "lightgbm", "catboost")
MOST_OPEN = 2  # problems or bundles that a worker holds ready: this search's and the one before; our choice

Files = Mapping[str, bytes]  # name → content
Identity = dict[str, str]


class OtherCode(Exception):
    """Raised on a worker that would give other numbers: `args[0]` tells what differs."""


@functools.cache
def identity() -> Identity:
    """What the numbers come from: Python, the libraries (empty: not installed), and a hash of Refit's code."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = ""
    code = hashlib.sha256()
    for path in sorted(file for room in ("ml", "serving") for file in (CHECKOUT / room).rglob("*.py")):
        code.update(path.relative_to(CHECKOUT).as_posix().encode() + b"\0" + path.read_bytes())
    return {**found, "refit": code.hexdigest()[:12]}


def hold(files: Files) -> Files:
    """The files, as a task: the cluster makes them anew where the worker that held them was lost."""
    return files


_alone = threading.Lock()  # a worker may have threads; a fit has its process to itself, as it has on one machine
_opened: dict[str, tuple[Path, Any]] = {}


def call(
    files: Files,
    name: str,
    opened_by: Callable[[Path], Any],
    work: Callable[[Any, Any], bytes],
    ask: Any,
    asker: Identity,
) -> bytes:
    """The answer to one ask.

    Parameters
    ----------
    files
        What was sent once.
    name
        Tells these files from others.
    opened_by
        Makes of a folder with the files what `work` takes.
    work
        (what was opened, the ask) → the answer.
    asker
        The `identity` of who asks.

    Raises
    ------
    OtherCode
        This worker's identity is another.
    """
    own = identity()
    if own != asker:
        differs = [f"{key} {own.get(key) or '-'} ({asker[key] or '-'})" for key in asker if own.get(key) != asker[key]]
        raise OtherCode(", ".join(differs))
    with _alone:
        return work(_open(files, name, opened_by), ask)


def _open(files: Files, name: str, opened_by: Callable[[Path], Any]) -> Any:
    if name not in _opened:
        while len(_opened) >= MOST_OPEN:
            old, _ = _opened.pop(next(iter(_opened)))
            shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="refit-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for file, content in files.items():
            write_bytes(folder / file, content)
        _opened[name] = folder, opened_by(folder)
    return _opened[name][1]
