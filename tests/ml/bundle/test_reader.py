"""The bundle: what is written is what is read, and nothing altered is ever opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.bundle import reader
from ml.bundle.reader import Bundle
from ml.errors import BundleError
from ml.schema.rows import Rows
from tests.ml.tiny import tiny_bundle, tiny_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_sealed_bundle_opens_and_runs(folder: Path) -> None:
    """An opened bundle answers with one row of probabilities a row."""
    opened = Bundle.open(folder)
    rows = tiny_rows(7)
    probabilities = opened.run(rows.numbers, rows.categories)
    assert probabilities.shape == (7, 2)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_no_rows_give_no_probabilities(folder: Path) -> None:
    """An empty table is answered with an empty table of the right width."""
    rows = tiny_rows(0)
    assert Bundle.open(folder).run(rows.numbers, rows.categories).shape == (0, 2)


@pytest.mark.parametrize(("numbers", "categories"), [(2, 0), (0, 1), (2, 1)], ids=["numbers", "categories", "both"])
def test_either_kind_of_column_may_be_absent(tmp_path: Path, numbers: int, categories: int) -> None:
    """A model of numbers alone and one of categories alone are bundles like any other."""
    tiny_bundle(tmp_path / "b", numbers=numbers, categories=categories)
    opened = Bundle.open(tmp_path / "b")
    rows = tiny_rows(3, numbers=numbers, categories=categories)
    assert opened.run(rows.numbers, rows.categories).shape == (3, 2)
    assert opened.self_check() <= reader.TOLERANCE


def test_labels_follow_the_threshold(folder: Path) -> None:
    """The label is decided by the bundle's decision, not by the larger probability."""
    opened = Bundle.open(folder)
    threshold = opened.decision.threshold
    assert threshold is not None
    positive = opened.schema.classes.index(opened.schema.positive_label)
    probabilities = np.zeros((2, 2), dtype=np.float32)
    probabilities[:, positive] = [threshold + 0.01, threshold - 0.01]
    probabilities[:, 1 - positive] = 1 - probabilities[:, positive]
    negative = next(c for c in opened.schema.classes if c != opened.schema.positive_label)
    assert opened.label(probabilities).tolist() == [opened.schema.positive_label, negative]


def test_same_content_has_the_same_hash(tmp_path: Path) -> None:
    """The hash depends on the content alone."""
    assert tiny_bundle(tmp_path / "a") == tiny_bundle(tmp_path / "b")


def test_sealing_returns_the_hash_that_open_finds(tmp_path: Path) -> None:
    """`seal` and `open` agree on the name of the bundle, and another name is refused."""
    sha256 = tiny_bundle(tmp_path / "b")
    assert Bundle.open(tmp_path / "b", sha256=sha256).sha256 == sha256
    with pytest.raises(BundleError, match="not the registered bundle"):
        Bundle.open(tmp_path / "b", sha256="0" * 64)


@pytest.mark.parametrize("name", ["model.onnx", "schema.json", "decision.json", "examples.json", "metrics.json"])
def test_altered_file_is_refused_by_name(folder: Path, name: str) -> None:
    """One flipped byte anywhere is an error that names the file."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["model.onnx", "metrics.json"])
def test_missing_file_is_refused_by_name(folder: Path, name: str) -> None:
    """A file that the manifest lists must be there."""
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        Bundle.open(folder)


def test_truncated_file_is_refused(folder: Path) -> None:
    """Half a download is not a bundle."""
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-10])
    with pytest.raises(BundleError, match="truncated or altered"):
        Bundle.open(folder)


def test_extra_file_is_refused(folder: Path) -> None:
    """Nothing rides along that was not hashed."""
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"extra\.bin: not listed"):
        Bundle.open(folder)


def test_symbolic_link_is_refused(folder: Path) -> None:
    """A link could point anywhere."""
    target = folder.parent / "elsewhere.json"
    target.write_bytes((folder / "metrics.json").read_bytes())
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").symlink_to(target)
    with pytest.raises(BundleError, match=r"metrics\.json"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\\b", ""])
def test_manifest_cannot_leave_the_folder(folder: Path, name: str) -> None:
    """A file name in the manifest is a plain relative path."""
    manifest = msgspec.json.decode((folder / "bundle.json").read_bytes())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BundleError, match="leaves the bundle"):
        Bundle.open(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": 99, "files": {}}'])
def test_broken_manifest_is_refused(folder: Path, content: bytes) -> None:
    """What is no manifest is a clear error, never a crash."""
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.open(folder)


def test_folder_without_model_cannot_be_sealed(tmp_path: Path) -> None:
    """An unfinished folder never gets a manifest."""
    with pytest.raises(BundleError, match="cannot be sealed"):
        reader.seal(tmp_path)
    assert not (tmp_path / "bundle.json").exists()


def test_file_that_is_no_model_is_refused(folder: Path) -> None:
    """Right hashes do not make a text file a graph."""
    (folder / "model.onnx").write_bytes(b"not a graph")
    reader.seal(folder)
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        Bundle.open(folder)


def test_graph_that_does_not_fit_the_schema_is_refused(tmp_path: Path) -> None:
    """A graph with other inputs than the schema's columns is refused before it answers."""
    tiny_bundle(tmp_path / "a", numbers=2, categories=1)
    tiny_bundle(tmp_path / "b", numbers=2, categories=0)
    (tmp_path / "a" / "model.onnx").write_bytes((tmp_path / "b" / "model.onnx").read_bytes())
    reader.seal(tmp_path / "a")
    with pytest.raises(BundleError, match="expected inputs"):
        Bundle.open(tmp_path / "a")


def test_self_check_finds_a_model_that_computes_something_else(tmp_path: Path) -> None:
    """Another model of the same form is caught by the examples."""
    tiny_bundle(tmp_path / "a", slope=1.0)
    tiny_bundle(tmp_path / "b", slope=-1.0)
    (tmp_path / "a" / "model.onnx").write_bytes((tmp_path / "b" / "model.onnx").read_bytes())
    reader.seal(tmp_path / "a")
    with pytest.raises(BundleError, match="its own examples differ"):
        Bundle.open(tmp_path / "a").self_check()


def test_inputs_survive_json(folder: Path) -> None:
    """Missing numbers and missing categories come back as they were."""
    schema = Bundle.open(folder).schema
    rows = Rows(
        np.asarray([[1.5, np.nan], [np.nan, -3.4e38]], dtype=np.float32),
        np.asarray([[""], ["red"]], dtype=object),
    )
    back = reader.decode_inputs(
        msgspec.json.decode(msgspec.json.encode(reader.encode_inputs(rows)), type=reader.EncodedRows), schema
    )
    np.testing.assert_array_equal(back.numbers, rows.numbers)
    assert back.categories.tolist() == rows.categories.tolist()


def test_reader_imports_nothing_heavy() -> None:
    """A worker's memory depends on it."""
    heavy = ("pandas", "sklearn", "torch", "mlflow", "pyarrow", "sqlalchemy", "scipy", "onnx")
    code = f"import sys, ml.bundle.reader; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
