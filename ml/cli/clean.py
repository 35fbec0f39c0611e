"""clean: delete old runs and the snapshots that nothing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ml.cli import show
from ml.cli.options import options, settings_for

if TYPE_CHECKING:
    from ml.pipeline.retention import Cleaned


@click.command()
@click.option("--keep", type=click.IntRange(min=1), help="The newest runs to keep. Default: storage.keep_runs.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be deleted.")
@options()
def clean(keep: int | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Delete old runs and the snapshots that nothing needs, here and on storage.url.

    The runs and snapshots of the champion, of the version before it and of one in shadow stay, and what changed within
    a day; a run that has not ended stays for a month. Snapshots that regression rows were drawn from stay. Versions,
    predictions and the ledger are not touched. Kill it anywhere and run it again.
    """
    settings = settings_for(given)
    keep = keep or settings.storage.keep_runs
    if not keep:
        raise click.UsageError("say how many runs are kept: --keep N, or storage.keep_runs")
    from ml.pipeline import retention

    try:
        done = retention.clean(settings, keep, dry_run=dry_run)
    except OSError as error:
        raise click.ClickException(
            f"not everything was deleted: {error}; what is left goes with the next call"
        ) from error
    show.result(done, as_json=as_json, text=_text(done, dry_run=dry_run))


def _text(done: Cleaned, *, dry_run: bool) -> str:
    names = [*(f"  run {key}" for key in done.runs), *(f"  snapshot {one}" for one in done.snapshots)]
    what = "would be deleted" if dry_run else "deleted"
    counted = f"{what}: {len(done.runs)} runs, {len(done.snapshots)} snapshots, {done.bytes / 1e6:,.1f} MB"
    return "\n".join([*names, f"{counted}; kept: {done.kept_runs} runs, {done.kept_snapshots} snapshots"])
