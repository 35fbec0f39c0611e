"""register, promote, rollback: from a judged bundle to the version that serves."""

from __future__ import annotations

import getpass
from pathlib import Path

import msgspec

from ml import registry, tracking
from ml.bundle.mlflow_flavor import log_bundle
from ml.bundle.reader import Bundle
from ml.errors import BundleError, ChampionChanged, Permanent
from ml.gate import fitted_rows, regression_rows
from ml.messages import Message, Text, message
from ml.origin import Origin
from ml.pipeline.stages.generate import snapshot_of
from ml.pipeline.stages.records import EvaluationRecord, Move, PromotionRecord, RegistrationRecord
from ml.pipeline.workspace import Workspace
from ml.registry import ledger
from ml.registry.ledger import Event
from ml.release import shadow_slot
from ml.settings import Settings
from ml.settings.addresses import mlflow_page


def register(settings: Settings, space: Workspace) -> RegistrationRecord:
    """The bundle as a logged model, the model as a version, the version in the ledger: each once."""
    judged = space.needed(EvaluationRecord)
    folder = _bundle(settings, judged)
    opened = Bundle.open(folder, sha256=judged.sha256)
    run_id = tracking.run(settings, space.run_key)
    beside = space.path / fitted_rows.FOLDER
    if fitted_rows.are(beside, opened):
        uri = log_bundle(settings, folder, run_id, beside=beside)
    elif opened.metrics.get("fitted_rows") and registry.of_run(settings, run_id, space.run_key) is None:
        raise BundleError(message("bundle.fitted_rows_not_there", folder=str(beside)))
    else:  # it is in the store with them, or is of an earlier version of Refit
        uri = log_bundle(settings, folder, run_id)
    verdict = "promote" if judged.promote else "refused"
    tags = registry.verdict_tags(verdict, judged.message) | {registry.FAMILY: judged.family}
    tags |= {registry.CONTRACT: opened.schema.contract_id, registry.SNAPSHOT: opened.metrics["snapshot"]}
    tags |= {f"{registry.METRIC}{k}": f"{v:.6g}" for k, v in judged.metrics.items() if v is not None}
    info = registry.register(
        settings, model_uri=uri, run_id=run_id, run_key=space.run_key, sha256=opened.sha256, tags=tags,
        description=judged.sentence,
    )  # fmt: skip
    if not any(e.what == ledger.REGISTERED for e in ledger.events(settings, run_key=space.run_key)):
        ledger.append(
            settings, ledger.REGISTERED, who=_who(space), why=judged.message, to_version=info.version,
            to_sha256=info.sha256, run_key=space.run_key, numbers={"metrics": judged.metrics},
        )  # fmt: skip
    return RegistrationRecord(
        version=info.version,
        model_uri=uri,
        sha256=info.sha256,
        promote=judged.promote,
        message=judged.message,
        version_url=_version_url(settings, info.version),
        mlflow_url=tracking.link(settings, run_id),
    )


def promote(settings: Settings, space: Workspace, origin: Origin) -> PromotionRecord:
    """Move the alias if the gate said so, or let the version wait in shadow where that is asked for.

    Either way the ledger has it, and the MLflow run ends. Without a name in `origin` it is in the name of whoever
    started the run.
    """
    judged, registered = space.needed(EvaluationRecord), space.needed(RegistrationRecord)
    origin = msgspec.structs.replace(origin, who=origin.who or _who(space))
    if not judged.promote:
        _refuse(settings, space, origin.who, registered, judged, _why(space, origin.reason, judged))
        record = _record(registered, champion=judged.champion, message=judged.message)
    elif _waits_first(settings, space, judged):
        record = _shadow(settings, space, registered, judged, origin)
    else:
        record = _promote(settings, space, registered, judged, origin)
    tracking.end(settings, tracking.run(settings, space.run_key))
    return record


def _promote(
    settings: Settings, space: Workspace, registered: RegistrationRecord, judged: EvaluationRecord, origin: Origin
) -> PromotionRecord:
    version = registered.version
    try:
        event = registry.promote(
            settings, version, who=origin.who, why=_why(space, origin.reason, judged), run_key=space.run_key,
            sha256=registered.sha256, expected_champion=judged.champion, expected_sha256=judged.champion_sha256,
            across=judged.incomparable,
        )  # fmt: skip
    except ChampionChanged:
        space.forget(EvaluationRecord)  # so that running it again, here or in Airflow, judges again
        raise
    _keep_regression_rows(settings, space)
    tracking.log(settings, tracking.run(settings, space.run_key), tags={"refit.promoted": version})
    record = _record(registered, champion=version, message=_serves(event), promoted=True)
    return msgspec.structs.replace(record, replaced=event.from_version)


def _waits_first(settings: Settings, space: Workspace, judged: EvaluationRecord) -> bool:
    """Where a shadow is asked for, all but the first champion and the successor of a degraded one wait."""
    if settings.gate.shadow_rows <= 0 or not judged.champion:
        return False
    serves = registry.champion(settings)
    if serves is not None and serves.run_key == space.run_key:
        return False  # a person was faster
    return settings.gate.shadow_degraded or not judged.degraded


def _shadow(
    settings: Settings, space: Workspace, registered: RegistrationRecord, judged: EvaluationRecord, origin: Origin
) -> PromotionRecord:
    version = registered.version
    event = shadow_slot.enter(
        settings, version, who=origin.who, why=_why(space, origin.reason, judged), run_key=space.run_key,
        champion=judged.champion, champion_sha256=judged.champion_sha256, sha256=registered.sha256,
        degraded=judged.degraded, challenger_beats_champion=judged.outdone,
    )  # fmt: skip
    promoted = event.what == ledger.PROMOTED
    explanation = {
        ledger.SHADOW: message("release.in_shadow", version=version, needed=shadow_slot.needed(settings)),
        ledger.PROMOTED: message("release.serves", version=version),
    }.get(event.what, event.because)
    record = _record(
        registered, champion=version if promoted else judged.champion, message=explanation, promoted=promoted
    )
    return msgspec.structs.replace(record, shadow=event.what == ledger.SHADOW)


def _record(registered: RegistrationRecord, *, champion: str, message: Text, promoted: bool = False) -> PromotionRecord:
    return PromotionRecord(
        run_key=registered.run_key,
        version=registered.version,
        promoted=promoted,
        champion=champion,
        message=message,
        version_url=registered.version_url,
        mlflow_url=registered.mlflow_url,
    )


def decline(settings: Settings, space: Workspace, origin: Origin) -> PromotionRecord:
    """Write a person's no in the ledger, once, and end the MLflow run."""
    judged, registered = space.needed(EvaluationRecord), space.needed(RegistrationRecord)
    explanation = message("release.declined", who=origin.who)
    if origin.reason:
        explanation = message("release.declined_because", who=origin.who, reason=origin.reason)
    _refuse(settings, space, origin.who, registered, judged, explanation)
    tracking.end(settings, tracking.run(settings, space.run_key))
    return _record(registered, champion=judged.champion, message=explanation)


def promote_version(settings: Settings, version: str, *, origin: Origin, force: bool = False) -> Move:
    """A person's own decision: no gate, but the version must load, and every worker must confirm."""
    return _moved(settings, registry.promote(settings, version, who=origin.who, why=origin.reason, force=force))


def rollback(settings: Settings, to: str | None, origin: Origin, *, force: bool = False) -> Move:
    """Back to what really served before, or to a named version; without a name, as the user of this process.

    Parameters
    ----------
    to
        A version; None: the one that really served before.
    """
    return _moved(settings, registry.rollback(settings, to, who=origin.who or _user(), why=origin.reason, force=force))


def _moved(settings: Settings, event: Event) -> Move:
    return Move(
        what=event.what,
        version=event.to_version,
        from_version=event.from_version,
        why=event.why,
        who=event.who,
        message=_serves(event),
        version_url=_version_url(settings, event.to_version),
    )


def _serves(event: Event) -> Message:
    if note := str(event.numbers.get("confirmation", "")):
        return message("release.serves_noted", version=event.to_version, note=note)
    return message("release.serves", version=event.to_version)


def _refuse(
    settings: Settings, space: Workspace, who: str, registered: RegistrationRecord, judged: EvaluationRecord, why: Text
) -> None:
    if any(e.what == ledger.REFUSED for e in ledger.events(settings, run_key=space.run_key)):
        return
    numbers = {"reasons": judged.reasons, "codes": [reason.code for reason in judged.messages]}
    ledger.append(
        settings, ledger.REFUSED, who=who, why=why, from_version=judged.champion, to_version=registered.version,
        from_sha256=judged.champion_sha256, to_sha256=registered.sha256,
        run_key=space.run_key, numbers=numbers,
    )  # fmt: skip


def _keep_regression_rows(settings: Settings, space: Workspace) -> None:
    regression_rows.keep(settings, snapshot_of(settings, space))


def _who(space: Workspace) -> str:
    return space.origin().who or _user()


def _user() -> str:
    """Who runs this, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def _why(space: Workspace, why: str, judged: EvaluationRecord) -> Text:
    reason = space.origin().reason
    parts = (judged.message, why, message("release.started_because", reason=reason) if reason else "")
    kept = [part for part in parts if part]
    return kept[0] if len(kept) == 1 else message("release.because", parts=kept)


def _bundle(settings: Settings, judged: EvaluationRecord) -> Path:
    path = Path(judged.bundle)
    path = path if path.is_absolute() else settings.home / path
    if not path.is_dir():
        raise Permanent(message("training.file_gone", file=str(path), run=judged.run_key))
    return path


def _version_url(settings: Settings, version: str) -> str:
    return mlflow_page(settings, f"models/{settings.registry.model_name}/versions/{version}")
