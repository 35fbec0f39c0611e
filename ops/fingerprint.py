"""What the running processes were started with: when it changes, they have to be started again."""

from __future__ import annotations

import hashlib
import json
import os

from ops.layout import Layout

# Code that a running process has loaded already: a change there needs a restart.
_CODE = ("ml", "serving", "plugins", "config", "ops", "requirements.txt")


def fingerprint(layout: Layout) -> dict[str, str]:
    """What the processes were started with, by part: when it changes, they have to be started again."""
    code = hashlib.sha256()
    for top in _CODE:
        for path in sorted((layout.checkout / top).rglob("*.py")) or [layout.checkout / top]:
            code.update(f"{path}{path.stat().st_mtime_ns}".encode())
    mine = {name: value for name, value in os.environ.items() if name.startswith(("REFIT_", "AWS_", "MLFLOW_"))}
    return {
        "code": code.hexdigest(),
        "ports": json.dumps(layout.ports),
        # A digest: the environment can hold secrets.
        "environment": hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest(),
        "settings": hashlib.sha256(repr(layout.settings.serving).encode()).hexdigest(),
    }


def changed(layout: Layout) -> list[str]:
    """The parts of the fingerprint in which the running stack differs from what would be started now."""
    try:
        before = json.loads(layout.fingerprint_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["start"]
    return [part for part, value in fingerprint(layout).items() if before.get(part) != value]
