"""The versions of the registered model: make one, find one, list them."""

from __future__ import annotations

from typing import Any

import msgspec

from ml import tracking
from ml.errors import RegistryError
from ml.messages import Message, Text, message
from ml.settings import Settings
from ml.storage import locks

SHA256 = "refit.sha256"
VERDICT = "refit.verdict"
SENTENCE = "refit.sentence"
MESSAGE = "refit.message"  # the sentence by code, as JSON
SNAPSHOT = "refit.snapshot"  # the id of what it was made from
CONTRACT = "refit.contract"  # `Schema.contract_id`
FAMILY = "refit.family"
METRIC = "refit.metric."  # begins the tag of each metric of the test rows
QUARANTINED = "refit.quarantined"
QUARANTINE_MESSAGE = "refit.quarantine_message"  # JSON: the same by code, where it is a sentence of ours


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. `created` is seconds since 1970 UTC; `quarantined` is the reason or ""."""

    version: str
    run_id: str
    source: str
    created: float
    tags: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the bundle."""
        return self.tags.get(SHA256, "")

    @property
    def family(self) -> str:
        """The model family, or "blend"."""
        return self.tags.get(FAMILY, "")

    @property
    def metrics(self) -> dict[str, float]:
        """Of the test rows, by name."""
        return {key.removeprefix(METRIC): float(text) for key, text in self.tags.items() if key.startswith(METRIC)}

    @property
    def verdict(self) -> str:
        """What was decided of it: "promote" or "refused", "" where nothing was."""
        return self.tags.get(VERDICT, "")

    @property
    def sentence(self) -> Text:
        """Why, by code where it is a sentence of ours."""
        text = self.tags.get(MESSAGE)
        return msgspec.json.decode(text, type=Message) if text else self.tags.get(SENTENCE, "")

    @property
    def run_key(self) -> str:
        """The run that made it."""
        return self.tags.get(tracking.RUN_KEY, "")

    @property
    def quarantined(self) -> Text:
        """Why it must not be promoted again by itself, by code where it is a sentence of ours; "" where it may."""
        why = self.tags.get(QUARANTINED, "")
        try:
            known = msgspec.json.decode(self.tags.get(QUARANTINE_MESSAGE, ""), type=Message)
        except msgspec.DecodeError:  # none, or another version's
            return why
        return known if known.text == why else why  # a person may have written the tag anew


def register(
    settings: Settings,
    *,
    model_uri: str,
    run_id: str,
    run_key: str,
    sha256: str,
    tags: dict[str, str] | None = None,
    description: str = "",
) -> VersionInfo:
    """Make a version of a logged model; a second call for the same run key finds the first one's version.

    Parameters
    ----------
    model_uri
        Of the logged model: `models:/m-…`.
    run_id, run_key
        MLflow's run and Refit's key of it.
    sha256
        Of the bundle: it tells a second call from another model of the same run.
    tags
        Further ones; those of a version that is there already are renewed.
    description
        Shown in MLflow's pages.

    Raises
    ------
    RegistryUnavailable
        The registry does not answer; the call may be made again.
    """
    name, found = settings.registry.model_name, tracking.client(settings)
    with locks.exclusive(settings, f"register-{run_key}"), tracking.errors(tracking.uri(settings)):
        _ensure_model(settings)
        for existing in _of_run(settings, run_id, run_key):
            if existing.sha256 == sha256:
                for key, value in (tags or {}).items():  # judged again since: the newest verdict stands
                    if existing.tags.get(key) != value:
                        found.set_model_version_tag(name, existing.version, key, value)
                return version(settings, existing.version)
        created = found.create_model_version(
            name,
            model_uri,
            run_id=run_id,
            tags={tracking.RUN_KEY: run_key, SHA256: sha256, **(tags or {})},
            description=description or None,
            await_creation_for=60,
            # A server refuses a `models:/m-…` source that does not come with the id in it.
            model_id=model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None,
        )
        return version(settings, str(created.version))


def of_run(settings: Settings, run_id: str, run_key: str) -> VersionInfo | None:
    """The newest version that a run registered, or None."""
    with tracking.errors(tracking.uri(settings)):
        return next(iter(_of_run(settings, run_id, run_key)), None)


def version(settings: Settings, number: str, sha256: str = "") -> VersionInfo:
    """One version; with `sha256` the one of that bundle.

    Raises
    ------
    RegistryError
        There is no such version, or this registry's of that number is another one.
    """
    with tracking.errors(tracking.uri(settings)):
        found = info_of(tracking.client(settings).get_model_version(settings.registry.model_name, str(number)))
    if sha256 and found.sha256 and found.sha256 != sha256:
        raise RegistryError(message("release.other_bundle", version=found.version))
    return found


def versions(settings: Settings, *, limit: int = 100) -> list[VersionInfo]:
    """The newest versions, newest first."""
    with tracking.errors(tracking.uri(settings)):
        candidates = tracking.client(settings).search_model_versions(
            f"name = '{settings.registry.model_name}'", max_results=limit, order_by=["version_number DESC"]
        )
        return [info_of(v) for v in candidates]


def verdict_tags(verdict: str, sentence: Text) -> dict[str, str]:
    """The tags of a version that hold what was decided of it, in English and by code.

    >>> sorted(verdict_tags("refused", "too many complaints"))
    ['refit.message', 'refit.sentence', 'refit.verdict']
    """
    code = msgspec.json.encode(sentence).decode() if isinstance(sentence, Message) else ""
    return {VERDICT: verdict, SENTENCE: str(sentence), MESSAGE: code}


def note_verdict(settings: Settings, number: str, verdict: str, sentence: Text) -> None:
    """What was decided of a version after it was registered: the newest verdict stands in its tags.

    Parameters
    ----------
    verdict
        A word of the gate or of the shadow test, kept as it is.
    sentence
        Why; its English and its code are kept.
    """
    with tracking.errors(tracking.uri(settings)):
        for key, value in verdict_tags(verdict, sentence).items():
            tracking.client(settings).set_model_version_tag(settings.registry.model_name, number, key, value)


def _of_run(settings: Settings, run_id: str, run_key: str) -> list[VersionInfo]:
    wanted = f"name = '{settings.registry.model_name}' and run_id = '{run_id}'"
    infos = [info_of(v) for v in tracking.client(settings).search_model_versions(wanted)]
    return sorted((v for v in infos if v.run_key == run_key), key=lambda v: -int(v.version))


def _ensure_model(settings: Settings) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client(settings).create_registered_model(
            settings.registry.model_name,
            description="Kept fresh by Refit: `champion` serves, `previous` served before.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def info_of(found: Any) -> VersionInfo:
    """MLflow's `ModelVersion` as ours."""
    return VersionInfo(
        version=str(found.version),
        run_id=str(found.run_id or ""),
        source=str(found.source or ""),
        created=(found.creation_timestamp or 0) / 1000,
        tags={str(k): str(v) for k, v in (found.tags or {}).items()},
    )
