"""Shadow scoring: another version's answers to the traffic that was served, from the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import predictions, registry
from ml.bundle.reader import Bundle
from ml.errors import RegistryError
from ml.registry import VersionInfo
from ml.release import replay_scoring
from ml.schema.rows import Rows
from ml.settings import Settings
from ml.storage import database
from tests.ml import worlds
from tests.ml.tiny import tiny_bundle, tiny_rows

N = 200


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A registry of two versions that mostly decide the opposite of each other."""
    hashes = {version: tiny_bundle(tmp_path / version, slope=slope) for version, slope in (("1", 1.0), ("2", -1.0))}

    def version(_: Settings, name: str, sha256: str = "") -> Any:
        if name not in hashes:
            raise RegistryError(f"there is no version {name}")
        return VersionInfo(version=name, run_id="", source="", created=0.0, tags={registry.SHA256: hashes[name]})

    monkeypatch.setattr(registry, "version", version)
    monkeypatch.setattr(registry, "download", lambda _, info: tmp_path / info.version)
    return worlds.settings(tmp_path / "home")


def serve(found: Settings, rows: Rows, version: str = "1") -> tuple[list[str], np.ndarray]:
    """Log a version's answers to rows; a missing number is null and a missing category is left out."""
    bundle = replay_scoring.open_version(found, version)
    p = bundle.run(rows.numbers, rows.categories)
    labels = bundle.label(p)
    records = [
        {
            "prediction_id": f"{version}-{i}",
            "time": worlds.START + i,
            "model_version": version,
            "inputs": {f"n{k}": float(v) for k, v in enumerate(rows.numbers[i])}
            | ({"c0": rows.categories[i, 0]} if rows.categories[i, 0] else {}),
            "label": labels[i],
            "probability": float(p[i].max()),
            "probabilities": dict(zip(bundle.classes, p[i].tolist(), strict=True)),
        }
        for i in range(len(rows))
    ]
    predictions.insert(database.engine(found), records)
    return [str(r["prediction_id"]) for r in records], labels


def test_answers_are_those_of_the_version_itself(found: Settings, tmp_path: Path) -> None:
    """Through the log and back, missing and unseen values included: the bits do not change."""
    rows = tiny_rows(N)
    serve(found, rows)
    labels, probabilities = replay_scoring.score(found, "2", predictions.window(database.engine(found)))
    bundle = Bundle.open(tmp_path / "2")
    expected = bundle.run(rows.numbers, rows.categories)
    np.testing.assert_array_equal(probabilities, expected)
    assert labels.tolist() == bundle.label(expected).tolist()


def test_a_column_that_was_not_sent_is_missing(found: Settings) -> None:
    """Older traffic may lack a column that a newer version knows."""
    rows = tiny_rows(20)
    ids, _ = serve(found, rows)
    logged = predictions.window(database.engine(found))
    logged["inputs"] = ['{"n0": 1.0}'] * len(ids)
    numbers, categories = replay_scoring.inputs(logged, replay_scoring.open_version(found, "1").schema)
    assert numbers[:, 0].tolist() == [1.0] * 20
    assert np.isnan(numbers[:, 1]).all()
    assert set(categories[:, 0]) == {""}


def test_comparison_says_who_was_right_and_how_often_they_agree(found: Settings) -> None:
    """On the same rows; the truth is what the served version said on three quarters of them."""
    ids, labels = serve(found, tiny_rows(N))
    truth = np.where(np.arange(N) % 4 == 0, np.where(labels == "yes", "no", "yes"), labels)
    worlds.answer(found, ids, truth, worlds.START + 10 * N)
    result = replay_scoring.compare(found, "1", against="1")
    assert result == replay_scoring.Comparison(rows=N, shadow=0.75, served=0.75, agreement=1.0)
    other = replay_scoring.compare(found, "2", against="1")
    theirs, _ = replay_scoring.score(found, "2", predictions.window(database.engine(found)))
    assert 0 < (theirs == labels).sum() < N, "the test needs versions that differ"
    assert other == replay_scoring.Comparison(
        rows=N,
        shadow=float((theirs == truth).mean()),
        served=0.75,
        agreement=float((theirs == labels).mean()),
    )


def test_comparison_takes_the_newest_labelled_rows_of_that_version_alone(found: Settings) -> None:
    """Not those without a label, and not what another version answered."""
    ids, labels = serve(found, tiny_rows(N))
    others, other_labels = serve(found, tiny_rows(N, seed=1), "2")
    worlds.answer(found, ids[:50], labels[:50], worlds.START + 10 * N)
    worlds.answer(found, others, other_labels, worlds.START + 10 * N)
    assert replay_scoring.compare(found, "2", against="1").rows == 50
    assert replay_scoring.compare(found, "2", against="1", rows=30).rows == 30


def test_nothing_is_said_without_labels(found: Settings) -> None:
    """Agreement alone would be cheap, but no evidence."""
    serve(found, tiny_rows(N))
    assert replay_scoring.compare(found, "2", against="1") == replay_scoring.Comparison()


def test_unknown_version_is_named(found: Settings) -> None:
    """A typing error is not an empty comparison."""
    ids, labels = serve(found, tiny_rows(20))
    worlds.answer(found, ids, labels, worlds.START + 100)
    with pytest.raises(RegistryError, match="no version 9"):
        replay_scoring.compare(found, "9", against="1")
