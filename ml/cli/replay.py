"""replay: what the loop would have done over a table of one's own past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ml.cli import show
from ml.cli.options import engine_address_option, engine_option, on_engine, options, settings_for
from ml.errors import SettingsError
from ml.messages import message


@click.command()
@options(data=True)
@click.option("--families", metavar="A,B", help="Model families that compete, separated by commas.")
@click.option("--label-delay", default="0", metavar="TIME", help="How long a label takes: 30d, 12h, 2w. Default: none.")
@click.option("--windows", default=30, type=click.IntRange(5, 500), help="Parts of the table. Default: 30.")
@engine_option
@engine_address_option
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the page. Default: var/replay.")
@click.option("--language", type=click.Choice(["en", "vi"]), default="en", help="Of the page.")
def replay(
    as_json: bool, label_delay: str, windows: int, engine: str | None, engine_address: str | None,
    output: Path | None, language: str, **given: Any,
) -> None:  # fmt: skip
    """Play the loop over a table of your own past, without a stack: what would it have done for you?

        python -m ml replay --data history.parquet --target Churn --time t --label-delay 30d

    Rows are answered in the order of --time, labels come late, and after each window the drift check decides as it
    does in service. Beside it: never retraining, as many retrainings on a schedule, and retraining after every
    window. Writes a page, a picture and the figures. Nothing of this home's models, runs or answers is touched.
    """
    settings = on_engine(settings_for(given), engine, engine_address)
    if settings.data.source not in ("file", "sql") or not settings.data.time_column:
        raise SettingsError(message("replay.needs_time"))
    from ml import alerts
    from ml.replay import comparison, report

    with show.Bar(hidden=as_json) as bar, alerts.unlogged():
        result = comparison.run(settings, label_delay=label_delay, n_windows=windows, progress=bar.update)
    folder = output or settings.var / "replay"
    report.write(result, folder, language)
    show.result(result, as_json=as_json, text=f"{report.text(result)}\n\n{folder / 'replay.html'}")
