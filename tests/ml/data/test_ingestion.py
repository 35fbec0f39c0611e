"""generate: the same table gives the same snapshot; later tables are held against the contract."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn.datasets import load_wine

from ml.data import generate, pickle_export, snapshot
from ml.data.sources import customers, files
from ml.errors import DataError, Transient
from ml.settings import Settings, from_values


def settings_of(home: Path, **data: Any) -> Settings:
    """Settings of a home of its own."""
    return from_values({"home": str(home), "data": data, "customers": {"n_samples": 400}})


def of_file(home: Path, frame: pd.DataFrame, **data: Any) -> Settings:
    """Settings for a table that is written as a CSV."""
    frame.to_csv(home / "table.csv", index=False)
    return settings_of(home, source="file", path=str(home / "table.csv"), **data)


def test_the_default_table_is_what_the_course_asks_for(tmp_path: Path) -> None:
    made = generate(settings_of(tmp_path))
    assert made.manifest.parts == {"train": 600, "validation": 200, "test": 200, "recent": 0}
    assert len(made.schema.numbers) == 20
    assert made.schema.classes == ("0", "1")
    assert made.frame().dtypes.astype(str).value_counts().to_dict() == {"float32": 20, "int64": 1}


def test_the_same_data_is_kept_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, source="customers")
    first = generate(settings)
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in settings.data_dir.glob(f"{first.id}.*")}
    assert len(before) == 2
    assert generate(settings).id == first.id
    assert before == {path: (path.stat().st_ino, path.read_bytes()) for path in before}
    assert generate(settings_of(tmp_path / "elsewhere", source="customers")).id == first.id


def test_customers_bring_their_own_target_id_and_time(tmp_path: Path) -> None:
    made = generate(settings_of(tmp_path, source="customers"))
    assert (made.schema.target, made.schema.positive_label) == ("churned", "yes")
    assert made.manifest.split == "time"
    train, test = made.part("train"), made.part("test")
    assert train.time is not None
    assert test.time is not None
    assert train.time.max() < test.time.min()
    assert not set(train.ids or ()) & set(test.ids or ()) if train.ids is None else not set(train.ids) & set(test.ids)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    made = generate(settings)
    content = bytearray(made.path.read_bytes())
    content[len(content) // 2] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(DataError, match="altered or damaged"):
        snapshot.open(settings, made.id)
    assert generate(settings).id == made.id
    assert snapshot.open(settings, made.id).manifest.rows == 1000


@pytest.mark.parametrize("name", ["nothing", "../../etc/passwd", ""])
def test_an_unknown_snapshot_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no snapshot"):
        snapshot.open(settings_of(tmp_path), name)


def test_the_course_pickle_is_read_back_only_as_written(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    made = generate(settings)
    loaded = pickle_export.read(settings)
    assert sorted(loaded) == ["X_test", "X_train", "X_val", "y_test", "y_train", "y_val"]
    pd.testing.assert_frame_equal(loaded["X_val"], made.part("validation").X)
    path = settings.data_dir / "course.pkl"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match="not the file that was written"):
        pickle_export.read(settings)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    settings = settings_of(tmp_path)
    with pytest.raises(DataError, match="No space left"):
        generate(settings)
    assert not [path for path in settings.data_dir.rglob("*") if path.is_file()]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.data_dir.mkdir(parents=True)
    old, new = settings.data_dir / ".snapshot.abc", settings.data_dir / ".snapshot.def"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    generate(settings)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("form", ["timestamp", "zoned", "date", "number", "text"])
def test_times_of_any_type_order_the_rows(tmp_path: Path, form: str) -> None:
    moments = pd.date_range("2026-01-01", periods=100, freq="D")
    column = {
        "timestamp": moments,
        "zoned": moments.tz_localize("Asia/Ho_Chi_Minh"),
        "date": moments.date,
        "number": np.arange(100.0),
        "text": moments.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }[form]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"when": column, "x": np.arange(100) + 0.5, "z": rng.normal(size=100), "target": [0, 1] * 50})
    frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    made = generate(settings_of(tmp_path, source="file", path=str(tmp_path / "t.parquet"), time_column="when"))
    assert sorted(made.part("test").X["x"]) == [i + 0.5 for i in range(80, 100)]


def test_times_in_another_form_need_to_be_told(tmp_path: Path) -> None:
    moments = pd.date_range("2026-01-01", periods=100, freq="D").strftime("%d/%m/%y")
    frame = pd.DataFrame({"when": moments, "x": np.arange(100) + 0.5, "target": [0, 1] * 50})
    with pytest.raises(DataError, match=r"line 2, column 'when': expected an ISO 8601 time.*got '01/01/26'"):
        generate(of_file(tmp_path, frame, time_column="when"))
    made = generate(of_file(tmp_path, frame, time_column="when", time_format="%d/%m/%y"))
    assert made.manifest.split == "time"


def test_a_later_table_must_fit_the_contract(tmp_path: Path) -> None:
    frame = customers.make(300, 1)
    options = {"target": "churned", "id_columns": ["customer_id"], "time_column": "as_of"}
    first = generate(of_file(tmp_path, frame, **options))

    def again(table: pd.DataFrame, **more: Any) -> snapshot.Snapshot:
        return generate(of_file(tmp_path, table, **options | more), contract=first.schema, parent=first.id)

    with pytest.raises(DataError, match="lacks 'age'"):
        again(frame.drop(columns="age"))
    with pytest.raises(DataError, match="column 'age': expected a number"):
        again(frame.assign(age="old"))
    with pytest.raises(DataError, match="'maybe'"):
        again(frame.assign(churned=frame["churned"].where(frame.index % 5 > 0, "maybe")))
    with pytest.raises(DataError, match=r"column 'device': 7\d% of the rows have no value, 0% had none"):
        again(frame.assign(device=frame["device"].where(frame.index % 4 == 0)))
    later = customers.make(300, 2).assign(more=range(300))
    second = again(later)
    assert second.manifest.parent == first.id
    assert [c.name for c in second.schema.columns] == [c.name for c in first.schema.columns]
    anew = again(frame.drop(columns="age"), schema="infer")
    assert "age" not in anew.schema.numbers


def test_new_levels_and_ranges_are_learned_from_the_training_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(100), "c": ["a", "b"] * 50, "target": [0, 0, 1, 1] * 25})
    frame["n"] = frame["n"] * 1.5
    first = generate(of_file(tmp_path, frame))
    assert first.schema.column("c").categories == ("a", "b")
    frame["c"] = ["a", "z"] * 50
    assert generate(of_file(tmp_path, frame), contract=first.schema).schema.column("c").categories == ("a", "z")


def test_many_classes_and_no_positive_label(tmp_path: Path) -> None:
    wine = load_wine(as_frame=True).frame
    made = generate(of_file(tmp_path, wine))
    assert (made.schema.classes, made.schema.positive_label) == (("0", "1", "2"), "")
    with pytest.raises(DataError, match="two classes only"):
        generate(of_file(tmp_path, wine, positive_label="1"))


def test_weights_travel_with_their_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(100) / 7, "w": np.arange(100) / 7, "target": [0, 1] * 50})
    part = generate(of_file(tmp_path, frame, weight_column="w")).part("train")
    assert part.weight is not None
    np.testing.assert_allclose(part.weight, part.X["x"], rtol=1e-6)
    assert list(part.X) == ["x"]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_files_of_every_form_give_the_same_rows(tmp_path: Path, ending: str) -> None:
    frame = customers.make(200, 3)
    path = tmp_path / f"table{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    options = {"target": "churned", "id_columns": ["customer_id"], "time_column": "as_of"}
    made = generate(settings_of(tmp_path, source="file", path=str(path), **options))
    assert made.manifest.rows == 200
    np.testing.assert_array_equal(made.frame()["age"], frame["age"].to_numpy(np.float32))
    assert made.schema.column("paperless").categories in {("True", "False"), ("False", "True")}


@pytest.mark.parametrize("dictionary", [True, False], ids=["said once", "packed"])
def test_a_small_parquet_file_of_much_is_refused_before_it_is_unpacked(tmp_path: Path, dictionary: bool) -> None:
    """Its size on disk and what it declares are no limit: one text may stand for a million."""
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"x": ["x" * 5_000] * 5_000, "target": ["0", "1"] * 2_500})
    frame.to_parquet(path, compression="zstd", use_dictionary=dictionary)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"over data\.max_bytes"):
        generate(settings_of(tmp_path, source="file", path=str(path), target="target", max_bytes=10_000_000))


def test_remote_files_are_read_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/table.csv", "w") as stream:
        stream.write(customers.make(200, 3).to_csv(index=False))
    options: dict[str, Any] = {"source": "file", "target": "churned", "time_column": "as_of"}
    assert generate(settings_of(tmp_path, path="memory://bucket/table.csv", **options)).manifest.rows == 200
    with pytest.raises(DataError, match="no such file"):
        generate(settings_of(tmp_path, path="memory://bucket/other.csv", **options))
    with pytest.raises(DataError, match="nosuch"):
        generate(settings_of(tmp_path, path="nosuch://bucket/other.csv", **options))


def test_a_wrong_path_names_the_near_one(tmp_path: Path) -> None:
    settings = of_file(tmp_path, customers.make(200, 3))
    wrong = settings_of(tmp_path, source="file", path=settings.data.path.replace("table", "tabel"))
    with pytest.raises(DataError, match=r"did you mean table\.csv"):
        generate(wrong)


def test_a_database_is_read_with_one_select(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    engine = sa.create_engine(url)
    customers.make(200, 3).to_sql("customers", engine, index=False)
    engine.dispose()
    options: dict[str, Any] = {"source": "sql", "url": url, "target": "churned", "id_columns": ["customer_id"]}
    made = generate(settings_of(tmp_path, query="SELECT * FROM customers WHERE age > 20;", **options))
    assert 100 < made.manifest.rows < 200
    for query, words in {
        "DELETE FROM customers": "one SELECT",
        "SELECT * FROM customers; DROP TABLE customers": "one SELECT",
        "WITH a AS (SELECT 1) DELETE FROM customers": "readonly",
        "SELECT * FROM custmers": "no such table",
        "SELECT * FROM customers WHERE age > 1000": "no rows",
        "": "data.query",
    }.items():
        with pytest.raises(DataError, match=words):
            generate(settings_of(tmp_path, query=query, **options))
    assert generate(settings_of(tmp_path, query="SELECT * FROM customers", **options)).manifest.rows == 200


def test_passwords_stay_out_of_messages_and_manifests(tmp_path: Path) -> None:
    url = "postgresql+psycopg2://user:hunter2@127.0.0.1:1/none"
    with pytest.raises(Transient, match="cannot be reached") as caught:
        generate(settings_of(tmp_path, source="sql", url=url, query="SELECT 1"))
    assert "hunter2" not in str(caught.value)
    assert files.without_password("s3://key:hunter2@host/a.csv?token=hunter2") == "s3://key:***@host/a.csv"


@pytest.mark.parametrize("url", ["sqlite:////no/such/file.db", "nosuch://host/db", "not a url"])
def test_a_wrong_database_url_says_so(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError):
        generate(settings_of(tmp_path, source="sql", url=url, query="SELECT 1"))


def test_a_query_may_hold_signs_that_drivers_treat_specially(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    engine = sa.create_engine(url)
    customers.make(200, 3).to_sql("customers", engine, index=False)
    engine.dispose()
    query = "-- all; of them\nSELECT *, ':x;' AS mark, age % 2 AS odd FROM customers WHERE region LIKE '%t%'"
    made = generate(settings_of(tmp_path, source="sql", url=url, query=query, target="churned"))
    assert "odd" in made.schema.numbers


def test_values_at_the_edges_of_numbers_stay_finite(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1e308, -1e308, np.inf, 0.5] * 25, "target": [0, 1] * 50})
    part = generate(of_file(tmp_path, frame)).part("train")
    assert not np.isinf(part.X["x"]).any()
    assert part.X["x"].isna().any()


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame(index=["a"] * 200)], ids=["empty", "an index alone"])
def test_a_parquet_file_without_columns_is_told(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Not that it lacks rows."""
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"table\.parquet: the file has no columns"):
        generate(settings_of(tmp_path, source="file", path=str(path), target="target"))


def test_what_is_told_is_of_this_reading(tmp_path: Path) -> None:
    """The same rows from another file are the same snapshot, and not what was noticed of the first file."""
    frame = pd.DataFrame({"x": np.arange(400) / 4, "y": np.where(np.arange(400) % 3 == 0, "a", "b")})
    ids, told = [], []
    for name, delimiter in (("one.csv", ","), ("two.csv", ";")):
        frame.to_csv(tmp_path / name, index=False, sep=delimiter)
        data = {"source": "file", "path": str(tmp_path / name), "target": "y"}
        made = generate(from_values({"home": str(tmp_path), "data": data}))
        ids.append(made.id)
        told.append([str(finding.message) for finding in made.manifest.report])
        assert made.manifest.source["path"] == str(tmp_path / name)
    assert ids[0] == ids[1]
    assert ["the delimiter is semicolon" in lines for lines in told] == [False, True]
