"""status: what serves, what served before, what was decided lately."""

from __future__ import annotations

import time
from typing import Any

import click

from ml.cli import show
from ml.cli.options import options, settings_for
from ml.settings import Settings

EVENTS = 10


@click.command()
@click.option("--events", "n_events", type=click.IntRange(1, 1000), default=EVENTS, help="Rows of the ledger to show.")
@options()
def status(n_events: int, as_json: bool, **given: Any) -> None:
    """The champion and its numbers, what it replaced, the ledger, quarantine, and who serves."""
    found = gather(settings_for(given), n_events)
    show.result(found, as_json=as_json, text=_text(found))


def gather(settings: Settings, n_events: int = EVENTS) -> dict[str, Any]:
    """Everything that `status` tells, JSON-able.

    Raises
    ------
    RegistryUnavailable, StoreUnavailable
        The registry or the database does not answer.
    """
    from ml import registry, tracking
    from ml.registry import ledger
    from ml.registry.rollout import ready, urls

    champion, lost = _serving(settings)
    previous = registry.by_alias(settings, registry.PREVIOUS)
    known = registry.versions(settings, limit=100) if champion or previous else []
    return {
        "model": settings.registry.model_name,
        "mlflow": tracking.uri(settings).split("@")[-1],
        "champion": _version(champion),
        "alias_problem": lost,
        "previous": _version(previous),
        "shadow": _shadow(settings, champion.version if champion else ""),
        "versions": len(known),
        "quarantined": {v.version: v.quarantined for v in known if v.quarantined},
        "unfinished": _unfinished(settings),
        "ledger": [_event(e) for e in ledger.events(settings, limit=n_events)],
        "last_check": _last_check(settings),
        "services": {url: ready(url, 1.0) for url in urls(settings)},
    }


def _serving(settings: Settings) -> tuple[Any, str]:
    """The version that serves, and "" or what became of its alias in MLflow."""
    from ml import registry
    from ml.errors import RegistryError
    from ml.messages import message

    try:
        info = registry.serving(settings)
    except RegistryError as error:
        return None, str(error)
    lost = info is not None and registry.champion(settings) is None
    return info, str(message("release.alias_deleted", version=info.version)) if info is not None and lost else ""


def _version(info: Any) -> dict[str, Any] | None:
    if info is None:
        return None
    prefix = "refit.metric."
    metrics = {k.removeprefix(prefix): float(v) for k, v in info.tags.items() if k.startswith(prefix)}
    return {
        "version": info.version,
        "created": info.created,
        "family": info.tags.get("refit.family", ""),
        "sha256": info.sha256,
        "run_key": info.run_key,
        "sentence": info.tags.get("refit.sentence", ""),
        "metrics": metrics,
    }


def _shadow(settings: Settings, champion: str) -> dict[str, Any] | None:
    """The challenger that waits, compared now; with `problem` where it cannot be."""
    import msgspec

    from ml.errors import BundleError, DataError, RegistryError
    from ml.monitoring import status as standing
    from ml.release import shadow_slot, shadow_test

    one, found, problem = shadow_slot.find(settings), standing.shadow(settings), ""
    if one is None:
        return None
    try:
        found = shadow_test.progress(settings, one, champion)
    except (RegistryError, BundleError, DataError) as error:
        problem = str(error)
    if found is None:  # it was decided on at this moment
        return None
    return {**msgspec.to_builtins(found), "sentence": found.sentence, "problem": problem}


def _event(event: Any) -> dict[str, Any]:
    return {
        name: getattr(event, name) for name in ("time", "what", "who", "from_version", "to_version", "why", "run_key")
    }


def _unfinished(settings: Settings) -> dict[str, Any] | None:
    from ml.registry import ledger

    found = ledger.open_intention(settings)
    return None if found is None else _event(found)


def _last_check(settings: Settings) -> dict[str, Any] | None:
    from ml import drift

    found = drift.latest(settings)
    return None if found is None else {"time": found.time, "verdict": found.verdict, "sentence": found.sentence}


def _text(found: dict[str, Any]) -> str:
    lines = [f"model      {found['model']}  ({found['mlflow']})"]
    champion, previous = found["champion"], found["previous"]
    if found["alias_problem"]:
        lines.append(f"registry   {found['alias_problem']}")
    if champion is None and not found["alias_problem"]:
        lines.append("champion   none yet; next: python -m ml pipeline")
    elif champion is not None:
        shown = [name for name in ("accuracy", "roc_auc", "log_loss") if name in champion["metrics"]]
        numbers = ", ".join(f"{name} {champion['metrics'][name]:.4f}" for name in shown)
        lines.append(
            f"champion   version {champion['version']}, {champion['family']}, made {_when(champion['created'])}"
        )
        lines.append(f"           test {numbers}")
        lines.append(f"           {champion['sentence']}")
    lines.append(f"previous   {'version ' + previous['version'] if previous else 'none'}")
    if found["shadow"]:
        lines.append(f"shadow     {found['shadow']['sentence']} Until {_when(found['shadow']['until'])}.")
        if found["shadow"]["problem"]:
            lines.append(f"           it cannot be compared: {found['shadow']['problem']}")
    lines += [f"quarantine version {v}: {why}" for v, why in found["quarantined"].items()]
    if found["unfinished"]:
        lines.append("unfinished a move of the alias was cut short; the next promote or rollback settles it")
    lines += [f"service    {url}: {_service(answer)}" for url, answer in found["services"].items()]
    if found["last_check"]:
        lines.append(f"last check {_when(found['last_check']['time'])}: {found['last_check']['sentence']}")
    lines.append("ledger")
    lines += [_ledger_line(event) for event in found["ledger"]] or ["  empty"]
    return "\n".join(lines)


def _service(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "does not run"
    workers = [str(w.get("model_version")) for w in answer.get("workers", []) if isinstance(w, dict)]
    state, version = answer.get("status", "unknown"), answer.get("model_version")
    return f"{state}, version {version}, workers {', '.join(workers) or 'none'}"


def _ledger_line(event: dict[str, Any]) -> str:
    arrow = f"{event['from_version'] or '–'} → {event['to_version'] or '–'}"
    return f"  {_when(event['time'])}  {event['what']:<16} {arrow:<8} {event['who']}: {event['why']}"


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
