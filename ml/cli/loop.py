"""drift-check: the loop's watching side as a command."""

from __future__ import annotations

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
    from ml.monitoring import check, retraining_decision
    from ml.release import watch

    def say(line: str) -> None:
        if not as_json:
            click.echo(line)

    settings = settings_for(given)
    release = watch.watch(settings)
    say(f"watch the release: {release.sentence}")
    verdict = check.compare(settings, shadow=release.shadow)
    say(f"compare: {verdict.summary}")
    decided = retraining_decision.decide(settings, verdict)
    pages = "".join(f"\n{kind}: {path}" for kind, path in decided.report.items())
    text = f"request: {'a retraining' if decided.retrain else 'no retraining'}, {decided.decision}{pages}"
    show.result(decided.to_dict(), as_json=as_json, text=text)
