"""register, promote, rollback: from a judged bundle to the version that serves."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from ml import registry, tracking
from ml.bundle.mlflow_flavor import log_bundle
from ml.bundle.reader import Bundle
from ml.errors import ChampionChanged, Permanent
from ml.gate import regression_rows
from ml.pipeline.stages.generate import snapshot_of
from ml.pipeline.workspace import Workspace
from ml.registry import ledger
from ml.registry.ledger import Event
from ml.release import shadow_slot
from ml.settings import Settings


def register(settings: Settings, space: Workspace) -> dict[str, Any]:
    """The bundle as a logged model, the model as a version, the version in the ledger: each once."""
    judged = space.needed("evaluate")
    folder = _bundle(settings, judged)
    opened = Bundle.open(folder, sha256=judged["sha256"])
    run_id = tracking.run(settings, space.run_key)
    uri = log_bundle(settings, folder, run_id)
    verdict = "promote" if judged["promote"] else "refused"
    tags = {registry.VERDICT: verdict, registry.SENTENCE: judged["sentence"], "refit.family": judged["family"]}
    tags |= {f"refit.metric.{k}": f"{v:.6g}" for k, v in judged["metrics"].items()}
    info = registry.register(
        settings, model_uri=uri, run_id=run_id, run_key=space.run_key, sha256=opened.sha256, tags=tags,
        description=judged["sentence"],
    )  # fmt: skip
    if not any(e.what == ledger.REGISTERED for e in ledger.events(settings, run_key=space.run_key)):
        ledger.append(
            settings, ledger.REGISTERED, who=_who(space), why=judged["sentence"], to_version=info.version,
            run_key=space.run_key, numbers={"metrics": judged["metrics"]},
        )  # fmt: skip
    return {
        "version": info.version,
        "model_uri": uri,
        "sha256": info.sha256,
        "promote": judged["promote"],
        "sentence": judged["sentence"],
        "version_url": _version_url(settings, info.version),
        "mlflow_url": tracking.link(settings, run_id),
    }


def promote(settings: Settings, space: Workspace, *, who: str = "", why: str = "") -> dict[str, Any]:
    """Move the alias if the gate said so, or let the version wait in shadow where that is asked for.

    Either way the ledger has it, and the MLflow run ends.
    """
    judged, registered = space.needed("evaluate"), space.needed("register")
    who, version = who or _who(space), str(registered["version"])
    run_id = tracking.run(settings, space.run_key)
    result: dict[str, Any] = {
        "version": version,
        "version_url": _version_url(settings, version),
        "mlflow_url": tracking.link(settings, run_id),
    }
    if not judged["promote"]:
        _refuse(settings, space, who, version, judged)
        tracking.end(settings, run_id)
        return result | {"promoted": False, "champion": judged["champion"], "sentence": judged["sentence"]}
    if _waits_first(settings, space, judged):
        return result | _shadow(settings, space, version, judged, who=who, why=why)
    try:
        event = registry.promote(
            settings, version, who=who, why=_why(space, why, judged), run_key=space.run_key,
            expected_champion=judged["champion"],
        )  # fmt: skip
    except ChampionChanged:
        space.forget("evaluate")  # so that running it again, here or in Airflow, judges again
        raise
    _keep_golden(settings, space)
    tracking.log(settings, run_id, tags={"refit.promoted": version})
    tracking.end(settings, run_id)
    note = str(event.numbers.get("confirmation", ""))
    sentence = f"Version {version} is the champion ({note})." if note else f"Version {version} is the champion."
    return result | {"promoted": True, "champion": version, "replaced": event.from_version, "sentence": sentence}


def _waits_first(settings: Settings, space: Workspace, judged: dict[str, Any]) -> bool:
    """Where a shadow is asked for, all but the first champion and the successor of a degraded one wait."""
    if settings.gate.shadow_rows <= 0 or not judged["champion"]:
        return False
    serves = registry.champion(settings)
    if serves is not None and serves.run_key == space.run_key:
        return False  # a person was faster
    return settings.gate.shadow_degraded or not space.drift()[0]


def _shadow(
    settings: Settings, space: Workspace, version: str, judged: dict[str, Any], *, who: str, why: str
) -> dict[str, Any]:
    degraded, changed = space.drift()
    event = shadow_slot.enter(
        settings, version, who=who, why=_why(space, why, judged), run_key=space.run_key, champion=judged["champion"],
        degraded=degraded, changed=changed,
    )  # fmt: skip
    tracking.end(settings, tracking.run(settings, space.run_key))
    promoted = event.what == ledger.PROMOTED
    sentence = {
        ledger.SHADOW: f"Version {version} waits in shadow: {shadow_slot.needed(settings)} labelled live rows decide.",
        ledger.PROMOTED: f"Version {version} is the champion.",
    }.get(event.what, event.why)
    champion = version if promoted else judged["champion"]
    return {"promoted": promoted, "shadow": event.what == ledger.SHADOW, "champion": champion, "sentence": sentence}


def decline(settings: Settings, space: Workspace, *, who: str, why: str = "") -> dict[str, Any]:
    """Write a person's no in the ledger, once, and end the MLflow run."""
    judged, version = space.needed("evaluate"), str(space.needed("register")["version"])
    sentence = f"{who} declined it{f': {why}' if why else '.'}"
    _refuse(settings, space, who, version, judged | {"sentence": sentence})
    tracking.end(settings, tracking.run(settings, space.run_key))
    return {"version": version, "promoted": False, "champion": judged["champion"], "sentence": sentence}


def promote_version(settings: Settings, version: str, *, who: str, why: str, force: bool = False) -> dict[str, Any]:
    """A person's own decision: no gate, but the version must load, and every worker must confirm."""
    event = registry.promote(settings, version, who=who, why=why, force=force)
    return _moved(settings, event)


def rollback(settings: Settings, to: str | None, *, who: str, why: str) -> dict[str, Any]:
    """Back to what really served before, or to a named version; `who` "" is the user of this process."""
    return _moved(settings, registry.rollback(settings, to, who=who or _user(), why=why))


def _moved(settings: Settings, event: Event) -> dict[str, Any]:
    note = str(event.numbers.get("confirmation", ""))
    return {
        "what": event.what,
        "version": event.to_version,
        "from_version": event.from_version,
        "why": event.why,
        "who": event.who,
        "sentence": f"Version {event.to_version} is the champion{f' ({note})' if note else ''}.",
        "version_url": _version_url(settings, event.to_version),
    }


def _refuse(settings: Settings, space: Workspace, who: str, version: str, judged: dict[str, Any]) -> None:
    if any(e.what == ledger.REFUSED for e in ledger.events(settings, run_key=space.run_key)):
        return
    ledger.append(
        settings, ledger.REFUSED, who=who, why=judged["sentence"], from_version=judged["champion"],
        to_version=version, run_key=space.run_key, numbers={"reasons": judged["reasons"]},
    )  # fmt: skip


def _keep_golden(settings: Settings, space: Workspace) -> None:
    regression_rows.keep(settings, snapshot_of(settings, space))


def _who(space: Workspace) -> str:
    return str((space.result("generate") or {}).get("origin", {}).get("who") or _user())


def _user() -> str:
    """Who runs this, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def _why(space: Workspace, why: str, judged: dict[str, Any]) -> str:
    reason = (space.result("generate") or {}).get("origin", {}).get("reason")
    return " ".join(text for text in (judged["sentence"], why, f"Started because: {reason}." if reason else "") if text)


def _bundle(settings: Settings, judged: dict[str, Any]) -> Path:
    path = Path(judged["bundle"])
    path = path if path.is_absolute() else settings.home / path
    if not path.is_dir():
        raise Permanent(f"{path} is not there any more; next: python -m ml evaluate --force --run {judged['run_key']}")
    return path


def _version_url(settings: Settings, version: str) -> str:
    address = tracking.uri(settings)
    base = address if address.startswith("http") else f"http://127.0.0.1:{settings.mlflow_port}"
    return f"{base}/?workflowType=machine_learning#/models/{settings.registry.model_name}/versions/{version}"
