"""generate: a snapshot of the source and of the labelled production rows, and the run that everything is logged to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ml import data, tracking
from ml.data import pickle_export, summary
from ml.messages import Message, Text, message
from ml.models import refuse_unknown
from ml.origin import Origin
from ml.pipeline import retention
from ml.pipeline.stages.records import MOST_FINDINGS, SnapshotRecord
from ml.pipeline.workspace import Workspace
from ml.registry import contract
from ml.registry.contract import Contract
from ml.retraining import window_policy
from ml.schema.findings import Finding
from ml.settings import Settings, to_values

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

_opened: dict[tuple[Path, str], Snapshot] = {}


def run(settings: Settings, space: Workspace, origin: Origin) -> SnapshotRecord:
    """Read, validate, split and keep, after room was made; `origin` says what started the run."""
    refuse_unknown(settings.train.families)  # before anything is read: `train` could not go on
    deleted = retention.make_room(settings)
    known = _contract(settings)
    chosen = window_policy.select(
        settings, contract=known.schema if known else None, anew=settings.data.schema == "infer"
    )
    snapshot = data.generate(
        settings, contract=known.schema if known else None, parent=known.snapshot if known else "",
        labelled=chosen.labelled, gate_since=chosen.gate_since, train_on_base=chosen.train_on_base,
    )  # fmt: skip
    run_id = tracking.run(settings, space.run_key, tags=_origin_tags(origin))
    manifest = snapshot.manifest
    values = {k: v for k, v in to_values(settings).items() if k in ("train", "tune", "gate", "data", "synthetic")}
    values["data"].pop("url")  # may hold a password
    tracking.log_snapshot(settings, run_id, snapshot.path, rows=manifest.rows, columns=manifest.columns)
    tracking.log(settings, run_id, params=values, tags={"refit.snapshot": snapshot.id})
    space.remember_settings(settings)
    # Where no row was given nothing was chosen.
    policy = [labelled_policy(chosen.policy, chosen.reason)] if manifest.labelled.given else []
    return SnapshotRecord(
        snapshot=snapshot.id,
        rows=manifest.rows,
        parts=manifest.parts,
        contract_of=known.version if known else "",
        columns=len(snapshot.schema.columns),
        target=snapshot.schema.target,
        classes=snapshot.schema.classes,
        labelled=manifest.labelled,
        policy=chosen.policy,
        policy_message=chosen.reason,
        noticed=_noticed(manifest.report),
        found=(*_found(settings, snapshot), *policy, *deleted),
        report=manifest.report[:MOST_FINDINGS],
        origin=origin,
        run_id=run_id,
        mlflow_url=tracking.link(settings, run_id),
    )


def check(settings: Settings) -> None:
    """Read the configured table and hold it against the champion's contract, before a choice of data is kept.

    Raises
    ------
    DataError
        It is broken or does not fit: nothing was written.
    """
    from ml.data import ingestion

    known = _contract(settings)
    ingestion.check(settings, known.schema if known else None)


def _contract(settings: Settings) -> Contract | None:
    return None if settings.data.schema == "infer" else contract.in_force(settings)


def snapshot_of(settings: Settings, space: Workspace) -> Snapshot:
    """The run's snapshot, as `generate` made it: its notes are of this run's reading of the rows."""
    made = space.needed(SnapshotRecord)
    wanted = made.snapshot
    key = (settings.data_dir, wanted)
    if key not in _opened:
        from ml.data import snapshot

        _opened.clear()  # one process runs several stages of one run; a snapshot never changes
        _opened[key] = snapshot.open(settings, wanted)
    opened = _opened[key]
    opened.manifest = msgspec.structs.replace(opened.manifest, report=made.report, labelled=made.labelled)
    return opened


def _found(settings: Settings, snapshot: Snapshot) -> tuple[Message, ...]:
    sampled = summary.sampled(snapshot.manifest, settings.train.max_rows), pickle_export.sampled(snapshot)
    return (*summary.found(snapshot.manifest, snapshot.schema, settings.data), *(one for one in sampled if one))


def labelled_policy(policy: str, reason: Message) -> Message:
    """Which labelled rows are trained on, and why: for people, of `SnapshotRecord.policy` and its message."""
    return message("data.labelled_policy", policy=policy, reason=reason)


def _noticed(findings: Sequence[Finding]) -> tuple[Text, ...]:
    return tuple(
        message("findings.of_column", column=f.column, what=f.message) if f.column else f.message
        for f in findings[:MOST_FINDINGS]
    )


def _origin_tags(origin: Origin) -> dict[str, str]:
    tags = {"who": origin.who, "reason": origin.reason, "airflow_run_url": origin.airflow_run_url}
    tags["drift"] = origin.drift.verdict if origin.drift else ""
    return {f"refit.{name}": text for name, text in tags.items() if text}
