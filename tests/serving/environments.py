"""Environments of their own for clients of others, whose pins do not fit beside ours: made once a machine."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def python_with(*packages: str) -> Path:
    """The Python of an environment with exactly these packages, kept in the user's cache.

    They are installed without their dependencies: what they need besides is taken from the environment of the tests.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "refit-tests"
    folder = cache / f"{packages[0]}-py{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            venv.create(folder, clear=True)
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
            subprocess.run([*pip, *packages], check=True, timeout=280)
            (folder / "complete").touch()
        site = next((folder / "lib").glob("python*/site-packages"))
        # After its own packages on the path, and renewed each time: the checkout may have moved.
        (site / "zz_refit.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python
