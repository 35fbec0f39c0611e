"""promote and rollback: the alias by hand, with a reason."""

from __future__ import annotations

import sys
from typing import Any

import click

from ml.cli import show
from ml.cli.options import options, run_of, settings_for, who
from ml.cli.stages import REFUSED


@click.command()
@click.option("--run", "run_key", metavar="KEY", help="Promote what this run registered, if its gate said so.")
@click.option("--version", metavar="N", help="Promote this version, whatever a gate said: your decision.")
@click.option("--reason", default="", help="Why; kept in the ledger. Needed with --version.")
@click.option("--force", is_flag=True, help="Also a quarantined version, or one of other columns or classes.")
@click.option("--fail-if-refused", is_flag=True, help="Exit with 3 when the gate keeps the champion.")
@options()
def promote(
    run_key: str | None,
    version: str | None,
    reason: str,
    force: bool,
    fail_if_refused: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Make a version the champion; every service worker must take it over, else the alias goes back."""
    if version and run_key:
        raise click.UsageError("either --run or --version")
    if version and not reason:
        raise click.UsageError("--version overrules the gate: say why with --reason")
    from ml.origin import Origin
    from ml.pipeline import pipeline
    from ml.pipeline.stages import release

    if version:
        moved = release.promote_version(
            settings_for(given), version, origin=Origin(who=who(), reason=reason), force=force
        )
        show.result(moved, as_json=as_json, text=moved.sentence)
        return
    key = run_of(run_key)
    result = pipeline.promote(settings_for(given, run_key=key), key, origin=Origin(reason=reason))
    show.result(result, as_json=as_json, text=result.sentence)
    if fail_if_refused and not (result.promoted or result.shadow):
        sys.exit(REFUSED)


@click.command()
@click.option("--to", metavar="N", help="The version to go back to. Default: the one that really served before.")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@click.option("--force", is_flag=True, help="Also to a version of other columns or classes, which callers will feel.")
@options()
def rollback(to: str | None, reason: str, force: bool, as_json: bool, **given: Any) -> None:
    """Go back to an earlier version, after it was loaded and checked; the present one is quarantined."""
    from ml.origin import Origin
    from ml.pipeline import pipeline

    result = pipeline.rollback(settings_for(given), to, origin=Origin(who=who(), reason=reason), force=force)
    show.result(result, as_json=as_json, text=result.sentence)
