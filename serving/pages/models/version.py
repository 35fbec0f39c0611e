"""`/models/N`: how one version was made, measured and judged, refused and waiting ones too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import abort, render_template, url_for
from flask_babel import gettext

from ml.charts.figures import structure_rows
from ml.decision import of_metrics
from ml.messages import Text
from ml.settings.addresses import mlflow_page
from serving.api import guard
from serving.pages import actions, pages
from serving.pages.i18n import formats, glossary
from serving.pages.models import card, course, quality, search
from serving.pages.models.events import ledger_row
from serving.service import Service, current_service
from serving.status import reader as status_file
from serving.status import version_files
from serving.status.reader import Status, VersionEntry
from serving.status.version_files import VersionFiles

HEADLINE = ("accuracy", "roc_auc", "f1", "log_loss", "ece")
FIRST_COLUMNS = 20  # of a version's columns, the most important ones; the others are one click away


@pages.get("/models/<version>")
@guard.opens("predict")
def version(version: str) -> str:
    """What is known of one version: from its files, which need no registry."""
    service = current_service()
    known = status_file.read(service.folder)
    entry = next((v for v in known.versions if v.version == version), None)
    files = files_of(service, known, version)
    if entry is None and files is None:
        abort(404, gettext("Version %(version)s is not among the newest versions that are kept here.", version=version))
    has_served = any(e.what in ("promoted", "rolled back") and e.to_version == version for e in known.ledger)
    serves = _serves(service, version) or (entry is not None and "champion" in entry.aliases)
    return render_template(
        "version.html",
        version=version,
        entry=entry,
        registered=formats.when(entry.time) if entry else "",
        chips=chips(service, known, entry) if entry else [],
        events=[ledger_row(e) for e in known.ledger if version in (e.from_version, e.to_version)],
        against=_judged_against(known, files),
        mlflow=mlflow_page(service.settings, f"models/{service.settings.registry.model_name}/versions/{version}"),
        silent=silent(known),
        actions=actions.of_version(service, version) if has_served and not serves else [],
        by_hand=bool(entry) and not has_served and not serves,
        **(described(files) if files else {}),
    )


def _serves(service: Service, version: str) -> bool:
    served = service.store.current()
    return served is not None and served.version == version


def files_of(service: Service, known: Status, version: str) -> VersionFiles | None:
    """A version's files: those in service, or those that are kept of the newest versions."""
    served = service.store.current()
    if served is not None and served.version == version:
        return VersionFiles(served.version, served.sha256, served.bundle.path)
    entry = next((v for v in known.versions if v.version == version), None)
    return version_files.of(service.folder, version, entry.sha256) if entry else None


def described(files: VersionFiles) -> dict[str, Any]:
    """What the templates show of a version's files."""
    sentence, reasons = verdict(files)
    schema = files.schema
    return {
        "sentence": sentence,
        "reasons": reasons,
        "cards": cards(files),
        "answers": of_metrics(files.decision, schema, files.metrics) if schema else [],
        "glossary_of_figures": glossary.of_figures(),
        "quality": quality.of(files),
        "classes": quality.classes(files),
        "search": search.of(files),
        "course": course.of(files),
        "structure": structure(files),
        "parameters": list(parameters(files).items()),
        "made_of": made_of(files),
        "columns": columns(files),
        "model_card": card.html(card.text(files.json("model_card.json"), files.text("model_card.md"))),
    }


def silent(known: Status) -> str:
    """Since when the registry names no versions; "" where it does, or never did."""
    late = known.versions_time and known.time - known.versions_time > 60  # a dozen rounds of the collector
    return formats.when(known.versions_time) if late else ""


def chips(service: Service, known: Status, version: VersionEntry) -> list[dict[str, Any]]:
    """How a version stands, each with the tone it is shown in."""
    found = [
        {"text": formats.ALIASES.get(alias, alias), "kind": "good" if alias == "champion" else ""}
        for alias in version.aliases
    ]
    if version.quarantined:
        found.append({"text": formats.EVENTS["quarantined"][0], "kind": "bad"})
    if version.verdict == "refused":
        overruled = any(e.to_version == version.version and e.what in ("promoted", "rolled back") for e in known.ledger)
        found.append(
            {"text": gettext("promoted by hand") if overruled else formats.EVENTS["refused"][0], "kind": "warn"}
        )
    if _waits(service, known, version):
        found.append({"text": gettext("waits for approval"), "kind": "warn"})
    return found


def _waits(service: Service, known: Status, version: VersionEntry) -> bool:
    """Whether it is the newest, passed the gate, and nobody has said yes or no to it where a person must."""
    asked = service.settings.approval == "required" and version.verdict == "promote" and not version.aliases
    decided = any(entry.to_version == version.version and entry.what != "registered" for entry in known.ledger)
    return asked and not decided and version == known.versions[0]


def verdict(files: VersionFiles) -> tuple[Text, list[Text]]:
    """The sentence of gate.json and its reasons; by code, where the version has them so."""
    gate = files.json("gate.json") or {}
    if "message" in gate:
        whole, reasons = msgspec.convert((gate["message"], gate["messages"]), tuple[Text, list[Text]])
    else:
        whole, reasons = gate.get("sentence", ""), gate.get("reasons", [])
    return whole, [reason for reason in reasons if str(reason) not in str(whole)]


def cards(files: VersionFiles) -> list[dict[str, str]]:
    """The headline metrics, each beside its interval and its value without skill."""
    known = files.metrics
    metrics = known.get("metrics", {})
    found = []
    for name in HEADLINE:
        if (entry := metrics.get(name)) and entry.get("value") is None:
            undefined = gettext("on these test rows, which lack a class")
            found.append({"name": formats.METRICS[name], "figure": gettext("undefined"), "note": undefined})
        elif entry:
            figure = formats.number(entry["value"], fixed=True)
            found.append({"name": formats.METRICS[name], "figure": figure, "note": "; ".join(_beside(known, name))})
    if rows := known.get("rows"):
        found.append(
            {"name": gettext("Test rows"), "figure": formats.number(rows, 0), "note": gettext("held out, used once")}
        )
    return found


def _beside(known: dict[str, Any], name: str) -> Iterator[str]:
    """What a figure is to be read with: its interval, its value without skill, and at 1/2."""
    entry = known["metrics"][name]
    if entry.get("low") is not None:
        low, high = (formats.number(entry[end], fixed=True) for end in ("low", "high"))
        yield gettext("95%% interval %(low)s to %(high)s", low=low, high=high)
    if name in known.get("no_skill", {}):
        yield gettext("without skill %(value)s", value=formats.number(known["no_skill"][name], fixed=True))
    if name in known.get("at_half", {}):
        yield gettext("with the threshold at ½ %(value)s", value=formats.number(known["at_half"][name], fixed=True))


def structure(files: VersionFiles) -> list[tuple[str, str]]:
    """What the estimator says of itself, a line each: `layers[0].width` and its value."""
    return list(structure_rows(files.json("structure.json") or {}, number=lambda value: formats.number(value, 6)))


def made_of(files: VersionFiles) -> list[tuple[str, str]]:
    """Rows, snapshot, family, seed and threshold, as far as they are known."""
    known, gate = files.metrics, files.json("gate.json") or {}
    judged, trained = gate.get("rows") or {}, known.get("rows_trained")
    of_judged = known.get("rows_judged_fit")
    pairs = [
        (gettext("Family"), known.get("family")),
        (gettext("Rows it was trained on"), _count(trained)),
        (gettext("Rows of the fit that was judged"), _count(of_judged) if of_judged != trained else ""),
        (gettext("Test rows"), _count(known.get("rows"))),
        (gettext("Rows it was judged on"), _count(judged.get("recent"))),
        (gettext("Old rows that must not be forgotten"), _count(judged.get("regression"))),
        (gettext("Snapshot"), (known.get("snapshot") or "")[:16]),
        (gettext("Threshold"), files.decision.threshold and formats.percent(files.decision.threshold)),
        (gettext("Seed"), known.get("seed") is not None and str(known["seed"])),
    ]
    return [(name, value) for name, value in pairs if value]


def columns(files: VersionFiles) -> list[tuple[str, str, str]]:
    """Name, kind and mean contribution of each column, the most important first."""
    schema, importance = files.schema, files.metrics.get("importance") or {}
    if schema is None:
        return []
    ordered = sorted(schema.columns, key=lambda column: -importance.get(column.name, 0.0))
    kinds = {"number": gettext("number"), "category": gettext("category"), "date": gettext("date")}
    return [
        (c.name, kinds.get(c.kind, c.kind), formats.number(importance.get(c.name), 4) if importance else "")
        for c in ordered
    ]


def parameters(files: VersionFiles | None) -> dict[str, str]:
    """Name → value for reading; of a blend, each member by its place, with its weight, family and own parameters."""
    params = (files.metrics.get("params") or {}) if files else {}
    members = params.get("members")
    if not isinstance(members, list):
        return {name: shown(value) for name, value in params.items()}
    ranked = sorted(members, key=lambda member: -member.get("weight", 0.0))
    return {gettext("Member %(n)s", n=place): _member(member) for place, member in enumerate(ranked, 1)}


def _member(member: dict[str, Any]) -> str:
    weight = formats.percent(member.get("weight") or 0.0)
    return f"{weight} {member.get('family')}: {shown(member.get('params') or {})}"


def shown(value: Any) -> str:
    """A parameter's value for reading."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return formats.localised(f"{value:.4g}") if isinstance(value, float) else str(value)


def _count(n: Any) -> str:
    return formats.number(n, 0) if n else ""


def _judged_against(known: Status, files: VersionFiles | None) -> dict[str, str] | None:
    """The version that it was judged against, and the page that shows both; None where there was none."""
    champion = str((files.json("gate.json") or {}).get("champion") or "") if files else ""
    if files is None or not champion or champion == files.version:
        return None
    if all(v.version != champion for v in known.versions):
        return {"version": champion, "url": ""}
    pair: dict[str, Any] = {"from": champion, "to": files.version}
    address = url_for("pages.models", **pair)
    return {"version": champion, "url": f"{address}#changed"}
