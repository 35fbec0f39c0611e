"""Environments of their own for what is only compared with: made at the first call, kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "refit-bench"


def own(name: str, packages: Sequence[str], *options: str) -> str:
    """The Python of the environment `name`, with `packages` before ours; what they have not is taken from ours (torch).

    Parameters
    ----------
    name
        Of its folder in the cache.
    packages
        As pip takes them.
    options
        Of `pip install`: `--no-deps` where ours are to be taken for all that the packages ask for.
    """
    folder = CACHE / name
    python = folder / "bin" / "python"
    wanted = "\n".join([*packages, *options])
    done = folder / "complete"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *options, *packages], check=True, timeout=1_800)
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "zz_refit.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        done.write_text(wanted, encoding="utf-8")
    return str(python)
