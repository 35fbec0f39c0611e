"""Small tables, each awkward in one way, made after public bug reports: how they are written, and what they mean."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

N = 240
Cell = Callable[[Any], str]


@dataclass(frozen=True)
class Case:
    """A table.

    `content` is the file; `truth` (N rows) has what each input column means, None or NaN for missing, and `classes` the
    labels. `data` is what a person sets after the sentence `asked`, with which the table without settings is refused.
    `told` are sentences of the report; `read` is how a pandas user reads the file rightly.
    """

    name: str
    content: bytes
    truth: pd.DataFrame
    classes: tuple[str, ...]
    data: dict[str, Any] = field(default_factory=dict)
    asked: str = ""
    told: tuple[str, ...] = ()
    delimiter: str = ","
    read: dict[str, Any] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """The table as pandas gives it to a person who knows how it is written."""
        if self.name.endswith(".parquet"):
            return pd.read_parquet(io.BytesIO(self.content))
        return pd.read_csv(io.BytesIO(self.content), sep=self.delimiter, **self.read)


def cases() -> list[Case]:
    """All of them. The numbers are those of shared lists of such tables, the values are drawn anew."""
    rng = np.random.default_rng(5)
    age = rng.integers(18, 90, N)
    plan = rng.choice(["basic", "plus", "pro"], N)
    y = (age + rng.normal(scale=15, size=N) > 50).astype(int)
    base = pd.DataFrame({"age": age, "plan": plan})
    dose = (rng.integers(100, 1999, N) / 1000).round(3)
    money = rng.integers(300, 1999, N) * 1000
    store = rng.choice([1, 2, 3, 12], N)
    member = rng.random(N) < 0.4
    country = rng.choice(["NA", "ZA", "BW"], N)
    kids = rng.integers(0, 4, N).astype(float)
    tests, smokes, sparse, padded = kids.copy(), kids.copy(), np.full(N, np.nan), age.astype(float)
    tests[::7] = smokes[::40] = np.nan
    sparse[[20, 170]] = 4.5, 7.25
    balance = (rng.integers(-9000, 9000, N) / 100).round(2)
    disorder = np.where(y == 1, "None", rng.choice(["Apnea", "Insomnia"], N))
    tier = np.array(["bronze", "silver", "gold"])[(y + (age > 70)).clip(0, 2)]
    day = pd.Series(pd.date_range("2026-01-01", periods=N, freq="8h")).dt.strftime("%Y-%m-%dT%H:%M:%S")

    def case(name: str, columns: dict[str, Any], truth: dict[str, Any], target: Any, **more: Any) -> Case:
        """`columns` as they are written, beside age and plan; `truth` as they are meant."""
        label = more.pop("label", "y")
        written = pd.DataFrame({**base, **columns, label: target})
        delimiter = more.get("delimiter", ",")
        content = written.to_csv(index=False, sep=delimiter).encode()
        if name.endswith(".parquet"):
            out = io.BytesIO()
            written.to_parquet(out, index=False)
            content = out.getvalue()
        content = more.pop("edit", lambda text: text)(content)
        classes = more.pop("classes", ("0", "1"))
        return Case(
            name, content, pd.DataFrame({**base, **truth}), classes, {"target": label, **more.pop("data", {})}, **more
        )

    marks = [_thousands(value, " ") if i % 2 else _thousands(value, "\u202f") for i, value in enumerate(money)]
    return [
        case("01 the class None.csv", {}, {}, disorder, classes=("Apnea", "Insomnia", "None"),
             data={"missing_markers": ["", "NA"]}, asked="labels are 'None', a word for no value",
             read={"keep_default_na": False}),
        case("02 a feature called time.csv", {"time": kids}, {"time": kids}, y),
        case("03 many question marks.csv", {"tests": _words(tests)},
             {"tests": ["?" if value != value else str(int(value)) for value in tests]}, y,
             told=("35 of 240 cells are no numbers ('?')", "a category, not a number")),
        case("03 question marks named.csv", {"tests": _words(tests)}, {"tests": tests}, y,
             data={"missing_markers": ["", "?"]}, read={"na_values": ["?"]}),
        case("04 amounts and percentages.csv", {"loan": [f"${value:,}" for value in money],
             "rate": [f"{value / 10}%" for value in age]}, {}, y,
             told=("amounts with a currency sign: left out", "percentages: left out")),
        case("06 three classes.csv", {}, {}, tier, classes=("bronze", "gold", "silver")),
        case("07 booleans as text.csv", {"member": [str(one).upper() for one in member]},
             {"member": np.where(member, "True", "False")}, y),
        case("07 booleans.parquet", {"member": member}, {"member": np.where(member, "True", "False")}, y),
        case("07 a boolean target.parquet", {}, {}, y == 1, classes=("False", "True")),
        case("08 codes.csv", {"store": store}, {"store": store.astype(str)}, y, data={"kinds": {"store": "category"}}),
        case("08 codes with gaps.parquet", {"store": np.where(age > 80, np.nan, store)},
             {"store": np.where(age > 80, "", store.astype(str))}, y, data={"kinds": {"store": "category"}}),
        case("09 a header that begins with a hash.csv", {}, {}, y,
             edit=lambda text: b"".join(b"%s,%s\n" % (b"#" if not i else str(i).encode(), line)
                                        for i, line in enumerate(text.splitlines())),
             told=("whole numbers that identify rows",)),
        case("10 dots between thousands.csv", {"luong": [_thousands(value * 10, ".") for value in money]},
             {"luong": money * 10}, y,
             told=("with ',' as the decimal mark and '.' between thousands",), read={"thousands": "."}),
        case("11 German.csv", {"income": [f"{value / 7:.2f}".replace(".", ",") for value in money],
             "umsatz": [_thousands(value // 1000 * 7, ".") for value in money]},
             {"income": [round(value / 7, 2) for value in money], "umsatz": money // 1000 * 7}, y, delimiter=";",
             told=("with ',' as the decimal mark and '.' between thousands",),
             read={"thousands": ".", "decimal": ","}),
        case("12 one padded cell.csv", {"years": [f"{value:02d}" if i == 7 else str(value) for i, value in
             enumerate(np.where(np.arange(N) == 7, 7, age))]}, {"years": np.where(np.arange(N) == 7, 7.0, padded)}, y,
             told=("1 cells begin with a zero, the first '07' in line 9",)),
        case("14 a year.csv", {"year": 2021 + age % 5}, {"year": 2021 + age % 5}, y),
        case("15 names of the answer.csv", {"label": kids, "probability": kids + 1, "prediction_id": np.arange(N)},
             {"label": kids, "probability": kids + 1}, y, told=("identify rows",), label="churn"),
        case("17 a time column.csv", {"day": day}, {}, y, data={"time_column": "day"}),
        case("18 a few question marks.csv", {"smokes": _words(smokes)}, {"smokes": smokes}, y,
             told=("6 cells are no numbers and are taken as missing, the first '?' in line 2",)),
        case("20 Namibia.csv", {"country": country}, {"country": country}, y, data={"missing_markers": [""]},
             read={"keep_default_na": False}),
        case("20 Namibia told.csv", {"country": country}, {"country": np.where(country == "NA", "", country)}, y,
             told=("rows say 'NA': taken as missing; if that is a value",)),
        case("21 three decimals.csv", {"dose": [f"{value:.3f}".replace(".", ",") for value in dose]}, {"dose": dose}, y,
             delimiter=";", told=("with ',' as the decimal mark",), read={"decimal": ","}),
        case("21 more than one.csv", {"dose": [f"{1 + value:.3f}".replace(".", ",") for value in dose]},
             {"dose": (1 + dose).round(3)}, y, delimiter=";", data={"decimal": ","}, asked="or --decimal , (it is ",
             read={"decimal": ","}),
        case("21 three decimals with points.csv", {"dose": [f"{1 + value:.3f}" for value in dose]},
             {"dose": (1 + dose).round(3)}, y, told=("every point stands before three digits",)),
        case("23 blanks between thousands.csv", {"fr": marks}, {"fr": money}, y,
             told=("and ' ' between thousands",), read={"thousands": "\u202f", "converters": {"fr": _number}}),
        case("23 apostrophes and brackets.csv", {"ch": [_thousands(value, "'") for value in money],
             "acc": [f"{value:.2f}" if value >= 0 else f"({-value:.2f})" for value in balance]}, {"ch": money}, y,
             read={"thousands": "'"},
             told=("and ''' between thousands", "numbers in brackets, as accounts write what is negative: left out")),
        case("24 a sparse number.csv", {"discount": sparse}, {"discount": sparse}, y),
        case("full width and composed.csv", {"city": np.where(member, "Cafe\u0301", "１２")},
             {"city": np.where(member, "Caf\u00e9", "12")}, y),
        case("a number for no value.csv", {"kids": np.where(kids == 3, -999, kids)},
             {"kids": np.where(kids == 3, np.nan, kids)}, y, data={"missing_markers": ["", "-999"]}),
    ]  # fmt: skip


def _thousands(value: int, mark: str) -> str:
    return f"{value:,}".replace(",", mark)


def _words(values: Any) -> list[str]:
    return ["?" if value != value else repr(float(value)) for value in values]


def _number(text: str) -> int:
    return int(text.replace(" ", "").replace("\u202f", ""))
