"""What a registered version tells of itself: the JSON side files of its bundle, without the model.

The log shipper copies them to `var/serving/versions/<sha256>` (`serving.status.version_keeper`), so that the pages
tell of every version while the registry is out of reach, and ask it for nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ml.decision import Decision
from ml.schema.schema import Schema

# Of the bundle's files, what pages show; each is some 10 kB, of a wide table some 200.
NAMES = (
    "schema.json", "decision.json", "metrics.json", "gate.json", "curves.json", "history.json", "trials.json",
    "grid.json", "structure.json", "model_card.json", "model_card.md",
)  # fmt: skip


class VersionFiles(msgspec.Struct, frozen=True):
    """A version's number, its bundle's hash, and the folder that its side files are in."""

    version: str
    sha256: str
    path: Path

    def json(self, name: str) -> Any:
        """The decoded content of a file; None where the version has none of that name, or it cannot be read."""
        try:
            return msgspec.json.decode((self.path / name).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def text(self, name: str) -> str:
        """The content of a text file, "" without one."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    @property
    def metrics(self) -> dict[str, Any]:
        """What the test rows gave (`ml.pipeline.model_card.ModelMetrics`); empty where that is not known."""
        return self.json("metrics.json") or {}

    @property
    def schema(self) -> Schema | None:
        """Its columns and classes."""
        schema: Schema | None = _decoded(self.path / "schema.json", Schema)
        return schema

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes in the order of the confusion matrix."""
        schema = self.schema
        return schema.classes if schema is not None else ()

    @property
    def decision(self) -> Decision:
        """Its threshold and calibration."""
        return _decoded(self.path / "decision.json", Decision) or Decision(threshold=None)


def of(folder: Path, version: str, sha256: str) -> VersionFiles | None:
    """The kept files of a version, or None where there are none (yet).

    Parameters
    ----------
    folder
        `var/serving`.
    """
    path = folder / "versions" / sha256
    return VersionFiles(version, sha256, path) if sha256.isalnum() and path.is_dir() else None


def _decoded(file: Path, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
