"""The contract is the champion's: a file's name, a folder, a query or the rarer class of a month do not change it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data import contract, generate
from ml.errors import SchemaError
from ml.schema.findings import Report
from ml.settings import Data, Settings, from_values


def table(yes: float, rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """A monthly export in which so large a share leaves."""
    rng = np.random.default_rng(seed)
    leaves = rng.random(rows) < yes
    age = rng.normal(size=rows) + leaves
    return pd.DataFrame(
        {"age": age, "city": rng.choice(["Hue", "Hanoi"], rows), "leaves": np.where(leaves, "yes", "no")}
    )


def of(file: Path, frame: pd.DataFrame, **data: Any) -> Settings:
    frame.to_csv(file, index=False)
    return from_values(
        {"home": str(file.parent), "data": {"source": "file", "path": str(file), "target": "leaves", **data}}
    )


def test_positive_label_and_order_of_classes_stay_when_the_other_class_is_rarer(tmp_path: Path) -> None:
    first = generate(of(tmp_path / "10.csv", table(0.3)))
    assert (first.schema.classes, first.schema.positive_label) == (("no", "yes"), "yes")
    later = generate(of(tmp_path / "11.csv", table(0.7, seed=1)), contract=first.schema)
    assert (later.schema.classes, later.schema.positive_label) == (("no", "yes"), "yes")
    assert later.schema.contract_id == first.schema.contract_id
    anew = generate(of(tmp_path / "11.csv", table(0.7, seed=1), schema="infer"), contract=first.schema)
    assert anew.schema.positive_label == "no", "a person asked for it"


def test_every_column_that_does_not_fit_is_told(tmp_path: Path) -> None:
    numbers = 1.5 * np.arange(400)
    days = pd.date_range("2025-01-01", periods=400).strftime("%d/%m/%Y")
    first = generate(of(tmp_path / "10.csv", table(0.3).assign(visits=numbers, score=numbers, since=days)))
    wrong = table(0.3).assign(visits="many", since="31/02/2026").rename(columns={"city": "cty"})
    wrong.loc[:99, "leaves"] = "maybe"
    with pytest.raises(SchemaError) as refused:
        generate(of(tmp_path / "11.csv", wrong), contract=first.schema)
    for told in (
        "lacks 'city', 'score'; did you mean 'cty'?",
        "'visits': expected a number, got 'many'",
        "'since': expected a date, got '31/02/2026'",
        "'maybe'",
    ):
        assert told in str(refused.value)
    assert 'data.schema = "infer"' in str(refused.value)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"target": "city"}, "data.target is 'city', and the champion predicts 'leaves'"),
        ({"target": "citi"}, "the table has no target column 'citi'; did you mean 'city'?"),
        ({"positive_label": "no"}, "data.positive_label is 'no', and the champion's is 'yes'"),
        ({"exclude": ["age"]}, "'age': data.exclude names it, and the champion learns from it"),
        ({"id_columns": ["city"]}, "'city': data.id_columns names it"),
        ({"kinds": {"age": "category"}}, "'age': data.kinds says category, and the champion takes a number"),
    ],
)
def test_settings_that_contradict_the_contract_are_told(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    first = generate(of(tmp_path / "10.csv", table(0.3)))
    with pytest.raises(SchemaError, match=told):
        generate(of(tmp_path / "11.csv", table(0.3), **more), contract=first.schema)


def test_reading_rules_are_those_of_the_settings(tmp_path: Path) -> None:
    first = generate(of(tmp_path / "10.csv", table(0.3).assign(who=range(400)), id_columns=["who"]))
    assert first.schema.id_columns == ("who",)
    bound = contract.bind(first.schema, Data(target="leaves", decimal=",", time_column="when", missing_markers=("?",)))
    assert (bound.decimal, bound.time_column, bound.missing_markers) == (",", "when", ("?",))
    assert (bound.id_columns, "when" in bound.ignored) == (("who",), True)
    assert bound.contract_id == first.schema.contract_id


def test_a_class_that_does_not_come_stays_a_class_and_is_told(tmp_path: Path) -> None:
    frame = table(0.3)
    frame.loc[::4, "leaves"] = "perhaps"
    first = generate(of(tmp_path / "10.csv", frame))
    report = Report()
    _, schema, _ = contract.fit(table(0.3), first.schema, Data(target="leaves"), report)
    assert schema.classes == ("no", "perhaps", "yes")
    later = generate(of(tmp_path / "11.csv", table(0.3)), contract=first.schema)
    findings = [str(finding.message) for finding in later.manifest.report]
    assert "no row of the class 'perhaps', which the champion knows" in findings
