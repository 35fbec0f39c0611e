"""The bundle: one ONNX graph from raw columns to calibrated probabilities, with its side files.

A bundle is a folder. `bundle.json` lists every other file with its SHA-256; the SHA-256 of
`bundle.json` itself names the bundle, so one hash, kept as a tag in the registry, vouches for all.
Nothing in it is a pickle, and reading it needs NumPy, ONNX Runtime and msgspec alone.

| file | content |
|---|---|
| `model.onnx` | `numbers` float32 [N, K] and `categories` string [N, M] in, `probabilities` float32 [N, C] out |
| `mixing.onnx` | the same model over mixtures of rows, for explanations (see `ml.models.onnx.mixing`) |
| `schema.json`, `decision.json` | columns and classes; calibration (already inside the graph) and threshold |
| `examples.json` | raw rows with the probabilities the model must give: what `self_check` recomputes |
| `reference.parquet` | held-out rows with scores, the drift reference (columns: see `reference_frame`) |
| `background.json`, `explanation.json` | rows that explanations are made against; which of them stand for all |
| `metrics.json`, `curves.json`, `history.json`, `trials.json`, `grid.json` | how it was made, and how good it is |
| `gate.json`, `model_card.json`, `.md` | how it was judged |
| `weights.safetensors`, `architecture.json`, `figures/*.svg` | where there are any |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.bundle import manifest
from ml.bundle.manifest import MANIFEST, seal, verify
from ml.decision import Decision
from ml.errors import BundleError
from ml.messages import message
from ml.schema.rows import Rows
from ml.schema.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MANIFEST", "MIXING", "TOLERANCE", "Bundle", "EncodedRows", "Examples", "Mixing", "decode_inputs", "encode_inputs",
    "seal", "verify",
]  # fmt: skip

Floats = npt.NDArray[np.float32]
Mixing = Callable[[Floats, npt.NDArray[Any], Floats], Floats]

MIXING = "mixing.onnx"
TOLERANCE = 1e-5  # ONNX Runtime sums in another order on another processor; the class probabilities are float32


class EncodedRows(msgspec.Struct, frozen=True):
    """Canonical rows as JSON has them: NaN as null, a missing category as "". The content of background.json.

    `numbers` (n, K) and `categories` (n, M); either is empty where the schema has no such column.
    """

    numbers: list[list[float | None]] = []
    categories: list[list[str]] = []


class Examples(EncodedRows, frozen=True):
    """The content of examples.json: rows, the probabilities (n, C) that the model must give, and the raw records."""

    probabilities: list[list[float]] = []
    records: list[dict[str, float | str | None]] = []


class Bundle:
    """An opened bundle. Safe to share between threads: nothing changes after `open`.

    Parameters
    ----------
    session
        ONNX Runtime's session of `model.onnx`.
    """

    def __init__(self, path: Path, sha256: str, schema: Schema, decision: Decision, session: Any) -> None:
        self.path = path
        self.sha256 = sha256
        self.schema = schema
        self.decision = decision
        self._session = session
        self._inputs = frozenset(i.name for i in session.get_inputs())
        # Past the wrapper's `run`, which looks at the names on each call: 1 of a single row's 6 µs.
        self._graph = session._sess

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True, sha256: str | None = None) -> Bundle:
        """Open a bundle folder.

        Parameters
        ----------
        path
            The folder that holds `bundle.json`.
        verify
            Recompute every file's hash. Only a reader of its own verified cache may leave it out.
        sha256
            What `bundle.json` must hash to: the registry's tag.

        Raises
        ------
        BundleError
            A file is missing, altered, not listed, or outside of the folder; or the graph does not load
            or does not fit the schema.
        """
        path = Path(path)
        files, digest = manifest.read(path)
        if sha256 is not None and digest != sha256:
            raise BundleError(message("bundle.not_registered", file=str(path / MANIFEST), expected=sha256, got=digest))
        if verify:
            manifest.check(path, files)
        schema = _decode(path / "schema.json", Schema)
        decision = _decode(path / "decision.json", Decision)
        bundle = cls(path, digest, schema, decision, _session(path / "model.onnx"))
        bundle._check_graph()
        return bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels as text, in the order of the probability columns."""
        return self.schema.classes

    def run(self, numbers: Floats | None, categories: npt.NDArray[Any] | None) -> Floats:
        """Calibrated class probabilities.

        Parameters
        ----------
        numbers: (n, K) float32, NaN for missing. Ignored where the model has no number column.
        categories: (n, M) object array of str, "" for missing. Ignored where there is none.

        Returns
        -------
        (n, C) float32 in [0, 1], rows sum to 1.
        """
        feeds = {}
        if numbers is not None and "numbers" in self._inputs:
            feeds["numbers"] = numbers
        if categories is not None and "categories" in self._inputs:
            feeds["categories"] = categories
        if not len(next(iter(feeds.values()))):
            return np.empty((0, len(self.schema.classes)), dtype=np.float32)
        probabilities: Floats = self._graph.run(["probabilities"], feeds, None)[0]
        return probabilities

    def mixing(self) -> Mixing | None:
        """What scores mixtures of rows for explanations; None where the bundle has no such graph.

        It takes numbers (1 + B, K), categories (1 + B, M) and known (B, P, K + M) float32, 0 or 1, the categories
        after the numbers, and gives calibrated probabilities (B · P, C) float32. Each call loads the graph anew.
        """
        if not (self.path / MIXING).exists():
            return None
        session, used = _session(self.path / MIXING), self._inputs

        def run(numbers: Floats, categories: npt.NDArray[Any], known: Floats) -> Floats:
            rows = {"numbers": numbers, "categories": categories}
            feeds = {"known": known, **{name: value for name, value in rows.items() if name in used}}
            probabilities: Floats = session.run(["probabilities"], feeds)[0]
            return probabilities

        return run

    def label(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The decided class of each row, as text: (n, C) probabilities → (n,) object array of str."""
        codes = self.decision.codes(probabilities, self.schema)
        return np.asarray(self.schema.classes, dtype=object)[codes]

    def json(self, name: str) -> Any:
        """The decoded content of a JSON side file; None where the bundle has none of that name."""
        file = self.path / name
        return msgspec.json.decode(file.read_bytes()) if file.exists() else None

    @property
    def metrics(self) -> dict[str, Any]:
        """What the test split gave, with intervals."""
        return self.json("metrics.json") or {}

    @property
    def background(self) -> Rows:
        """Rows that explanations are made against."""
        file = self.path / "background.json"
        return decode_inputs(_decode(file, EncodedRows) if file.exists() else EncodedRows(), self.schema)

    @property
    def examples(self) -> Examples:
        """Rows with the probabilities that the model must give."""
        examples: Examples = _decode(self.path / "examples.json", Examples)
        return examples

    def reference(self) -> pd.DataFrame:
        """The drift reference; imports pandas, so not for a worker. Columns: see `reference_frame`."""
        import pandas as pd

        return pd.read_parquet(self.path / "reference.parquet")

    def self_check(self) -> float:
        """Recompute the bundle's own examples, together and one by one.

        Returns
        -------
        The largest difference from the recorded probabilities.

        Raises
        ------
        BundleError
            There is no example, or one differs by more than `TOLERANCE`, is not finite, or does not sum to 1.
        """
        examples = self.examples
        rows = decode_inputs(examples, self.schema)
        expected = np.asarray(examples.probabilities, dtype=np.float32)
        if not len(expected):
            raise BundleError(message("bundle.no_example", file=str(self.path / "examples.json")))
        together = self.run(rows.numbers, rows.categories)
        alone = np.concatenate(
            [self.run(rows.numbers[i : i + 1], rows.categories[i : i + 1]) for i in range(len(rows))]
        )
        if together.shape != expected.shape:
            shapes = {"expected": str(expected.shape), "got": str(together.shape)}
            raise BundleError(message("bundle.shape", file=str(self.path), **shapes))
        worst = float(np.max(np.abs(np.stack([together, alone]) - expected)))
        if not worst <= TOLERANCE:  # catches NaN as well
            raise BundleError(message("bundle.differs", file=str(self.path), worst=worst, allowed=TOLERANCE))
        if not np.allclose(together.sum(axis=1), 1, atol=1e-4):
            raise BundleError(message("bundle.sum", file=str(self.path)))
        return worst

    def _check_graph(self) -> None:
        wanted = {n for n, names in (("numbers", self.schema.numbers), ("categories", self.schema.categories)) if names}
        outputs = {o.name for o in self._session.get_outputs()}
        if self._inputs != wanted or "probabilities" not in outputs:
            names = {"wanted": sorted(wanted), "inputs": sorted(self._inputs), "outputs": sorted(outputs)}
            raise BundleError(message("bundle.graph", file=str(self.path / "model.onnx"), **names))


def encode_inputs(rows: Rows) -> EncodedRows:
    """JSON form of canonical rows. `decode_inputs` is the inverse."""
    numbers = np.asarray(rows.numbers, dtype=np.float64)
    return EncodedRows(
        [[None if np.isnan(v) else v for v in row] for row in numbers.tolist()],
        np.asarray(rows.categories, dtype=object).tolist(),
    )


def decode_inputs(rows: EncodedRows, schema: Schema) -> Rows:
    """Canonical rows from the JSON form."""
    numbers, categories = rows.numbers, rows.categories
    n = max(len(numbers), len(categories))
    k, m = len(schema.numbers), len(schema.categories)
    filled = [[np.nan if v is None else v for v in row] for row in numbers]
    return Rows(
        np.asarray(filled, dtype=np.float32).reshape(n, k),
        np.asarray(categories, dtype=object).reshape(n, m),
    )


def _session(model: Path) -> Any:
    # Here and not above: its import starts threads, and a process that forks after it (gunicorn's master,
    # with the application preloaded) leaves children that hang at their exit.
    import onnxruntime as ort

    ort.disable_telemetry_events()  # the wheel carries a usage reporter, and a service reports to nobody
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a worker is one core's worth; more threads only fight over it
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes of its own
        raise BundleError(message("bundle.not_loaded", file=str(model), error=str(error))) from error


def _decode(file: Path, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(message("bundle.unreadable", file=str(file), error=str(error))) from error
