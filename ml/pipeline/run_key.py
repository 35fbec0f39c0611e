"""The run key: the name of a run's workspace, from whatever the caller calls its run."""

from __future__ import annotations

import re


def run_key(text: str) -> str:
    """`text` without the signs that file systems and URLs do not take.

    >>> run_key("manual__2026-01-02T03:04:05+00:00")
    'manual__2026-01-02T03-04-05-00-00'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
