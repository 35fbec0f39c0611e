"""Make `.venv` what the lock files say: quick when it is, repaired when it was half made.

Run by the system's Python before anything is installed, so it imports the standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Says that an installation was begun and not finished: such an environment is made anew.
UNFINISHED = ".refit-unfinished"
# What is installed: pins with hashes, made from requirements*.txt by ops/lock.sh. They are complete, so pip follows no
# dependency by itself: it would take one that nobody has looked at.
LOCKS = Path("ops", "lock")
RUNTIME, DEV, ENGINE = "runtime.txt", "dev.txt", "engine.txt"
# The CPU build where a place of this machine has it (pip's find-links); else PyPI's, with what that needs on Linux.
TORCH_CPU, TORCH, CUDA = "torch-cpu.txt", "torch.txt", "cuda.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# torch, pyspark and Airflow are the large ones; measured 2.3 GB installed, and pip unpacks beside it.
NEEDED_GB = 5.0


class SetupError(Exception):
    """Raised when the environment cannot be made; the message is one sentence for a person."""


def ensure(root: Path = ROOT, *, dev: bool = False) -> bool:
    """Install what is missing; returns whether anything had to be done.

    Raises
    ------
    SetupError
        No room on the disk, or pip failed: with pip's last lines.
    """
    venv = root / ".venv"
    locks = [root / LOCKS / name for name in ((RUNTIME, DEV, ENGINE) if dev else (RUNTIME,))]
    with _only_one(root):
        stamps = {lock: venv / f".refit-{lock.stem}" for lock in locks}
        if not (venv / UNFINISHED).exists() and all(_fresh(lock, stamp) for lock, stamp in stamps.items()):
            return False
        _enough_disk(root)
        _make(venv)
        for lock, stamp in stamps.items():
            install(venv, lock)
            stamp.write_text(_digest(lock), encoding="ascii")
        (venv / UNFINISHED).unlink()
    return True


def _fresh(lock: Path, stamp: Path) -> bool:
    if not lock.exists():
        raise SetupError(f"{lock} is missing: this checkout is incomplete; clone it again")
    return stamp.exists() and stamp.read_text(encoding="ascii") == _digest(lock)


def _digest(lock: Path) -> str:
    """Of the lock, of torch's and of the interpreter: another Python needs other wheels."""
    with_it = [lock.with_name(name) for name in (TORCH_CPU, TORCH, CUDA)] if lock.name == RUNTIME else []
    content = b"".join(file.read_bytes() for file in [lock, *with_it] if file.exists())
    return hashlib.sha256(content + sys.version.encode()).hexdigest()


def _make(venv: Path) -> None:
    usable = (venv / "bin" / "python").exists() and not (venv / UNFINISHED).exists()
    if usable:
        usable = (
            subprocess.run([venv / "bin" / "python", "-m", "pip", "--version"], capture_output=True).returncode == 0
        )
    if not usable:
        if venv.exists():
            print("The environment in .venv was half made: making it anew.", flush=True)
            shutil.rmtree(venv)
        _run([sys.executable, "-m", "venv", str(venv)], "making .venv")
    (venv / UNFINISHED).touch()


def install(venv: Path, lock: Path, torch: str = "found") -> None:
    """Install a lock; with that of the runtime also torch.

    Parameters
    ----------
    torch
        "found": the CPU build where a place of this machine has it, else PyPI's; "cpu": the CPU build, from PyTorch's
        own index where no nearer place has it; "cuda": PyPI's, with NVIDIA's libraries where it needs them.
    """
    _install(venv, lock)
    if lock.name != RUNTIME:
        return
    if torch == "cpu":
        _install(venv, lock.with_name(TORCH_CPU), "--extra-index-url", CPU_INDEX)
        return
    if torch == "found":
        try:
            _install(venv, lock.with_name(TORCH_CPU))
            return
        except SetupError:  # there is no such place
            pass
    _install(venv, lock.with_name(TORCH))
    if _needs_cuda(venv):
        _install(venv, lock.with_name(CUDA))


def _install(venv: Path, lock: Path, *options: str) -> None:
    print(f"Installing {lock.name} into .venv (a few minutes the first time) …", flush=True)
    started = time.monotonic()
    command = [venv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    _run([*map(str, command), *options, "--require-hashes", "--no-deps", "-r", str(lock)], f"installing {lock.name}")
    print(f"Installed in {time.monotonic() - started:.0f} s.", flush=True)


def _needs_cuda(venv: Path) -> bool:
    """Whether the torch that this machine got is PyPI's for Linux, which needs NVIDIA's libraries to be imported."""
    ask = "import sys, importlib.metadata as m; sys.exit(any('nvidia' in r for r in m.requires('torch') or ()))"
    return subprocess.run([venv / "bin" / "python", "-c", ask], capture_output=True).returncode == 1


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise SetupError(f"{what} failed; its last lines:\n{tail}\nRun the command again when that is mended.")


def _enough_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free / 1e9
    if free < NEEDED_GB and not (root / ".venv" / "bin" / "pip").exists():
        raise SetupError(f"{root}: {free:.1f} GB of disk are free, {NEEDED_GB:.0f} GB are needed for the environment")


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Two commands started at once do not install into each other; the lock goes with the process."""
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is installing into .venv: waiting for it …", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main() -> int:
    try:
        ensure(dev="--dev" in sys.argv[1:])
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the next run begins the environment anew.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
