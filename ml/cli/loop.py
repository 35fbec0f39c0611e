"""drift-check: the loop's watching side as a command."""

from __future__ import annotations

from typing import Any

import click

from ml.cli import show
from ml.cli.options import options, settings_for


@click.command("drift-check")
@options()
def drift_check(as_json: bool, **given: Any) -> None:
    """Compare what the service saw lately with the champion's own reference; keeps a report.

    The verdict is `insufficient data`, `stable`, `drift`, `degraded` or `broken data`. Exit code 0 for each.
    """
    from ml.monitoring.check import check

    found = check(settings_for(given))
    pages = "".join(f"\n{kind}: {path}" for kind, path in found.report.items())
    show.result(found.to_dict(), as_json=as_json, text=f"{found.sentence}{pages}")
