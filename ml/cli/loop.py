"""drift-check and replay: the loop's watching side as commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ml.cli import show
from ml.cli.options import options, settings_for


@click.command("drift-check")
@options()
def drift_check(as_json: bool, **given: Any) -> None:
    """Watch the release, compare what the service saw lately with the champion's own reference, decide what follows.

    A new champion that proves worse goes back, and a challenger in shadow is decided on. Then the window is compared,
    and its report kept; then it is decided whether a retraining is asked for. Kill it anywhere and run it again.
    The verdict is `insufficient data`, `stable`, `drift`, `degraded` or `broken data`. Exit code 0 for each.
    """
    from ml import drift
    from ml.release import watch
    from ml.retraining import request

    def say(line: str) -> None:
        if not as_json:
            click.echo(line)

    settings = settings_for(given)
    release = watch.watch(settings)
    say(f"watch the release: {release.sentence}")
    verdict = drift.compare(settings, shadow=release.shadow)
    say(f"compare: {verdict.summary}")
    decided = request.request(settings, verdict)
    pages = "".join(f"\n{kind}: {path}" for kind, path in decided.report.items())
    text = f"request: {'a retraining' if decided.retrain else 'no retraining'}, {decided.decision}{pages}"
    show.result(decided.to_dict(), as_json=as_json, text=text)


@click.command()
@click.option("--data", "file", type=click.Path(path_type=Path), required=True, help="CSV or Parquet table.")
@click.option("--target", default="", help="The column that holds the labels. Default: as the JSON beside FILE says.")
@click.option("--time", "time_column", default="", help="The column that orders rows. Default: the file's order.")
@click.option("--url", default="", help="The service. Default: the local one.")
@click.option("--key", default="", envvar="REFIT_API_KEY", help="API key, where the service asks for one.")
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Rows a second; 0: as fast as it answers.")
@click.option("--label-delay", type=click.FloatRange(min=0), default=0.0, help="Seconds from an answer to its label.")
@click.option("--windows", type=click.IntRange(min=1), default=30, help="Windows to show accuracy for.")
@click.option("--batch", type=click.IntRange(min=1), default=20, help="Rows of one request.")
@options()
def replay(
    file: Path, target: str, time_column: str, url: str, key: str, speed: float, label_delay: float, windows: int,
    batch: int, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Replay a table in time order through the running service: predict, then send the labels late.

    Shows accuracy window by window with the versions that answered.
    """
    import msgspec

    from demo import replay as replaying
    from demo.traffic import Client
    from ml.registry import rollout

    client = Client(url or rollout.urls(settings_for(given))[0], key=key)
    frame, label = replaying.read(file, target=target, time_column=time_column)
    results = []
    for found in replaying.replay(
        client, frame, label, speed=speed, label_delay_s=label_delay, windows=windows, batch=batch
    ):
        results.append(msgspec.to_builtins(found))
        if not as_json:
            versions = ", ".join(found.versions)
            click.echo(
                f"window {found.window:>3}: accuracy {found.accuracy:6.1%} of {found.rows} rows, version {versions}"
            )
    if as_json:
        show.result(
            {"windows": results, "requests": client.requests, "sent_again": client.retried}, as_json=True, text=""
        )
