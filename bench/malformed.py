"""Feed a corpus of malformed tables to both readers and show what each answers.

    python bench/malformed.py --corpus DIR [--json]

`DIR` holds the files and `manifest.csv` (columns file, what, expected). Training side: `generate` in an
empty home. Predict side: the strict reader and the schema that `00_clean.csv` gave. A row is `crash`
where anything but Refit's own error comes out, and `debris` where a refused table left a file behind;
either makes the exit code 1. Whether an answer is the wanted one is for the reader of the table, and
for `tests/ml/data/sources/test_malformed.py`, which holds each of them.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from bench import harness
from ml.data import generate
from ml.data.sources.files import read_csv
from ml.errors import RefitError
from ml.schema.frame_coerce import canonical
from ml.schema.schema import Schema
from ml.settings import Data, Settings, from_values

# 51_negative_weights.csv and 11_decimal_comma.csv are about columns that have to be declared.
DECLARED: dict[str, dict[str, Any]] = {"51_negative_weights.csv": {"weight_column": "weight"}}
MAX_BYTES = 20_000_000  # so that the 21 MB of the bomb are over the limit


def settings_for(path: Path, home: Path) -> Settings:
    """What a user of this table would set: target, positive label, id."""
    data = {"source": "file", "path": str(path), "target": "Churn", "positive_label": "Yes", "max_bytes": MAX_BYTES}
    return from_values(
        {"home": str(home), "data": {**data, "id_columns": ["customerID"], **DECLARED.get(path.name, {})}}
    )


def train_side(path: Path) -> dict[str, Any]:
    """The outcome of `generate` in an empty home."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = generate(settings_for(path, Path(folder)))
        except RefitError as error:
            left = [str(file) for file in Path(folder).rglob("*") if file.is_file()]
            return {"answer": "debris" if left else "reject", "message": str(error)}
        except Exception as error:
            return {"answer": "crash", "message": f"{type(error).__name__}: {error}"}
        return {
            "answer": "warn" if any(f.level == "warning" for f in made.manifest.report) else "accept",
            "message": "; ".join(f"{f.column} {f.message}".strip() for f in made.manifest.report),
            "rows": made.manifest.rows,
            "columns": len(made.manifest.columns),
            "id": made.id,
        }


def predict_side(path: Path, schema: Schema) -> dict[str, Any]:
    """The outcome of reading and coercing for a model that was trained on the clean table."""
    try:
        with path.open("rb") as stream:
            raw = read_csv(stream, path.name, Data(max_bytes=MAX_BYTES))
        rows, report = canonical(raw, schema, file=path.name)
    except RefitError as error:
        return {"answer": "reject", "message": str(error)}
    except Exception as error:
        return {"answer": "crash", "message": f"{type(error).__name__}: {error}"}
    findings = [*raw.attrs.get("findings", ()), *report.findings]
    return {
        "answer": "warn" if any(f.level == "warning" for f in findings) else "accept",
        "message": "; ".join(f"{f.column} {f.message}".strip() for f in findings),
        "rows": len(rows),
    }


def main() -> int:
    """Run the corpus and print it."""
    parser = harness.options(__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder with the files and manifest.csv")
    options = parser.parse_args()
    with (options.corpus / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        manifest = list(csv.DictReader(stream))
    with tempfile.TemporaryDirectory() as folder:
        schema = generate(settings_for(options.corpus / "00_clean.csv", Path(folder))).schema
    results = []
    for entry in manifest:
        path = options.corpus / entry["file"]
        start = time.perf_counter()
        result = {
            "file": entry["file"],
            "what": entry["what"],
            "expected": entry["expected"],
            "train": train_side(path),
            "predict": predict_side(path, schema),
            "seconds": round(time.perf_counter() - start, 2),
        }
        results.append(result)
        if not options.json:
            print(f"{entry['file']}  ({entry['what']})\n  expected  {entry['expected']}")
            for side in ("train", "predict"):
                got: dict[str, Any] = result[side]  # type: ignore[assignment]
                size = f" {got['rows']:,} rows" if "rows" in got else ""
                print(f"  {side:9s} {got['answer']}{size}: {got['message'][:400]}")
    bad = [r["file"] for r in results if {r["train"]["answer"], r["predict"]["answer"]} & {"crash", "debris"}]  # type: ignore[index]
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(results) + b"\n")
    else:
        print(f"{len(results)} files, {len(bad)} crashes or debris {json.dumps(bad) if bad else ''}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
