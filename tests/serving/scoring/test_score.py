"""From a request's body to its answer: strict reading, identical numbers, ids, warnings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ml.bundle.reader import Bundle
from ml.schema.rows import Rows
from ml.schema.schema import Schema
from ml.schema.validation_errors import RowsError
from ml.settings.sections import Serving
from serving import ids
from serving.api import schemas
from serving.model.store import Served
from serving.problems import Problem
from serving.scoring import responses, score
from serving.scoring.json_rows import PredictBody, strict_json
from tests.ml.tiny import tiny_bundle, tiny_rows
from tests.serving.mixed import ROW

LIMITS = Serving(max_rows=50)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    """A served version of the tiny model."""
    sha256 = tiny_bundle(tmp_path / "bundle")
    return Served("3", Bundle.open(tmp_path / "bundle"), sha256)


def ask(served: Served, content: Any) -> dict[str, Any]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer: dict[str, Any] = json.loads(responses.body(score.predict(served, body, LIMITS)))
    return answer


def test_the_answer_has_the_declared_form(served: Served) -> None:
    """Label, probability of the label, probability of each class, id, and the version."""
    answer = responses.body(score.predict(served, json.dumps({"rows": [ROW]}).encode(), LIMITS))
    decoded = msgspec.json.decode(answer, type=schemas.Predictions)
    (one,) = decoded.predictions
    assert decoded.model_version == "3"
    assert one.probability == one.probabilities[one.label]
    assert sum(one.probabilities.values()) == pytest.approx(1)
    # n0 + n1 + 1 for "red" is 2; the tiny model is a sigmoid of it.
    assert one.probabilities["yes"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)


def test_a_row_alone_and_in_a_batch_gives_identical_numbers(served: Served) -> None:
    """Bit for bit, over more rows than one chunk."""
    rows = tiny_rows(score.CHUNK_ROWS + 300, seed=1)
    together = score.run(served.bundle, rows)
    alone = np.concatenate([score.run(served.bundle, rows.part(i, i + 1)) for i in range(0, len(rows), 7)])
    np.testing.assert_array_equal(together[::7], alone)


def test_ids_are_made_or_taken(served: Served) -> None:
    answer = ask(served, {"rows": [ROW, ROW | {"prediction_id": "mine"}, ROW | {"prediction_id": None}]})
    ids = [one["prediction_id"] for one in answer["predictions"]]
    assert ids[1] == "mine"
    assert len(set(ids)) == 3
    listed = ask(served, {"rows": [ROW, ROW], "prediction_ids": ["a", "b"]})
    assert [one["prediction_id"] for one in listed["predictions"]] == ["a", "b"]


def test_made_ids_sort_by_time() -> None:
    one, other = ids.prediction_ids(1)[0], ids.prediction_ids(1)[0]
    assert one[:12] <= other[:12]
    assert len(one) == 32


def test_unusual_values_are_scored_with_warnings(served: Served) -> None:
    answer = ask(served, {"rows": [ROW, ROW | {"n0": 99, "c0": "blue"}]})
    plain, unusual = answer["predictions"]
    assert "warnings" not in plain
    assert {(w["column"], w["code"]) for w in unusual["warnings"]} == {
        ("n0", "out_of_range"),
        ("c0", "unseen_category"),
    }


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "expected JSON"),
        (b"\xff", 400, "UTF-8"),
        (b'{"rows": ' + b"[" * 100_000, 400, "nested"),
        (b'{"rows": [{"n0": 1, "n0": 2, "n1": 1, "c0": "red"}]}', 400, "'n0' twice"),
        (b'{"rows": [{"n0": 1, "n1": 1, "c0": "red"}], "rows": []}', 400, "'rows' twice"),
        (b'{"rows": [{"n0": 1, "n1": 1, "c0": "\\ud800"}]}', 400, "expected JSON"),
        (b"[]", 422, "a list"),
        (b"{}", 422, "an empty object"),
        (b'{"rows": {}}', 422, "rows"),
        (b'{"rows": [{"n0": 1, "n1": 1, "c0": "red"}], "x": 1}', 422, "'x' too"),
        (b'{"rows": [' + b",".join([b'{"n0": 1, "n1": 1, "c0": "red"}'] * 51) + b"]}", 413, "at most 50 rows"),
        (b'{"rows": [{"n0": 1, "n1": 1, "c0": "red"}], "prediction_ids": []}', 422, "as long as rows"),
    ],
    ids=["empty", "broken", "not utf-8", "nested", "twice", "rows twice", "surrogate", "list", "no rows key",
         "rows object", "other key", "too many", "ids too few"],
)  # fmt: skip
def test_bodies_that_are_refused(served: Served, body: bytes, status: int, said: str) -> None:
    with pytest.raises(Problem) as caught:
        score.predict(served, body, LIMITS)
    assert caught.value.status == status
    assert said in str(caught.value.detail)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 400, b"9" * 5000])
def test_numbers_that_are_not_finite_are_named_by_row_and_column(served: Served, number: bytes) -> None:
    body = b'{"rows": [{"n0": 1, "n1": 1, "c0": "red"}, {"n0": ' + number + b', "n1": 1, "c0": "red"}]}'
    with pytest.raises(RowsError, match=r"rows\[1\], column 'n0': expected a finite number"):
        score.predict(served, body, LIMITS)


@pytest.mark.parametrize("given", ["", "x" * 201, "a\nb", 7.5, True, ["a"]])
def test_ids_that_cannot_be_kept_are_refused(served: Served, given: Any) -> None:
    with pytest.raises(RowsError, match="prediction_id"):
        ask(served, {"rows": [ROW | {"prediction_id": given}]})


def fast_and_slow() -> Iterator[Any]:
    yield {"rows": [ROW, {"c0": None, "n1": None, "n0": 1e300}]}
    yield {"rows": [ROW | {"c0": "a:b", "prediction_id": "i:1"}]}
    yield {"rows": [ROW], "prediction_ids": ["x"]}
    yield {"rows": [ROW], "prediction_ids": [None]}


@pytest.mark.parametrize("content", fast_and_slow(), ids=["missing and huge", "colons", "listed ids", "null id"])
def test_the_fast_and_the_careful_reader_agree(served: Served, content: Any) -> None:
    """The careful one explains errors, and reads what the fast one will not; both must read the same."""
    body = json.dumps(content).encode()
    careful = PredictBody(score.reader(served), max_rows=50, max_values=1_000)
    careful._decoder = None
    (rows, ids), (other, other_ids) = score.predict_body(served, LIMITS).read(body), careful.read(body)
    np.testing.assert_array_equal(rows.numbers, other.numbers)
    assert rows.categories.tolist() == other.categories.tolist()
    assert (rows.warnings, ids) == (other.warnings, other_ids)


def test_a_model_without_a_finite_probability_gives_no_answer(served: Served) -> None:
    class Broken:
        schema, decision = served.bundle.schema, served.bundle.decision

        def run(self, numbers: Any, categories: Any) -> Any:
            return np.full((len(numbers), 2), np.nan, np.float32)

    broken = Served("4", Broken(), "")  # type: ignore[arg-type]
    with pytest.raises(Problem, match=r"rows\[0\]: the model gives no finite probability"):
        score.score(broken, Rows(np.zeros((1, 2), np.float32), np.array([["red"]], object)))


def test_deep_but_allowed_nesting_is_read() -> None:
    assert strict_json(b'{"a": [[[[1]]]]}', 10) == {"a": [[[[1]]]]}


@pytest.mark.parametrize("classes", [("0", "1"), ("a", "b", "c"), ('say "no"', "back\\slash"), ("é\n", "")])
def test_probabilities_are_written_under_any_class_name(classes: tuple[str, ...]) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(len(classes)), 2).astype(np.float32)
    schema = Schema(target="y", classes=classes, positive_label=classes[0], columns=())
    rows = Rows(np.zeros((2, 0), np.float32), np.empty((2, 0), object))
    scored = score.Scored("1", schema, rows, ["x", "y"], [classes[0]] * 2, p, p[:, 0])
    told = json.loads(responses.body(scored))["predictions"]
    assert [one["probabilities"] for one in told] == [dict(zip(classes, row, strict=True)) for row in p.tolist()]
    assert [one["probability"] for one in told] == p[:, 0].tolist()
    assert all("warnings" not in one for one in told)


def test_ids_differ_after_a_fork_and_between_threads() -> None:
    """They come from a pool of randomness that a child must not share."""
    ids.token()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, "".join(ids.token() for _ in range(300)).encode())
        os._exit(0)
    os.wait()
    content = os.read(reading, 20 * 300).decode()
    os.close(reading)
    os.close(writing)
    made = [content[i : i + 20] for i in range(0, len(content), 20)]
    with ThreadPoolExecutor(4) as pool:
        made += pool.map(lambda _: ids.token(), range(2000))
    assert len(made) == len(set(made)) == 2300


@pytest.mark.parametrize("n", [1, 2, 500])
def test_made_ids_are_32_hex_digits(n: int) -> None:
    made = ids.prediction_ids(n)
    assert len(set(made)) == n
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in made)
