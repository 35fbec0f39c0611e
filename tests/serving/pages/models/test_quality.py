"""Of many classes the commonest and the worst are drawn, the others are one click away, and nothing is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from ml.charts.model_quality import Curve
from ml.evaluation import curves
from ml.evaluation.curves import MAX_CLASSES
from ml.schema.schema import Column, Schema
from serving.app import create_app
from serving.pages.models import quality
from tests.serving import showcase
from tests.serving.tiny import settings_for


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A service with 100 columns and 26 classes."""
    showcase.write_wide(tmp_path)
    app = create_app(settings_for(tmp_path))
    yield app.test_client()
    app.extensions["refit"].close()


def test_the_matrix_of_many_classes_counts_the_others_together() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (26, 26)).tolist()
    counts[20] = [50 if i == 3 else 0 for i in range(26)]  # common, and never recognised
    counts[21] = [0] * 25 + [1]  # rare, and never recognised
    fewer, names = quality._reduced(counts, [f"class {i}" for i in range(26)])
    assert (len(fewer), names[-1]) == (12, "others")
    assert {"…20", "…21"} <= set(names)
    assert sum(map(sum, fewer)) == sum(map(sum, counts))
    assert quality._reduced([[1, 2], [3, 4]], ["a", "b"]) == ([[1, 2], [3, 4]], ["a", "b"])


def test_curves_are_of_the_commonest_and_of_the_worst() -> None:
    def curve(label: str, share: float, area: float) -> Curve:
        return Curve(label=label, share=share, area=area, roc=[], precision_recall=[], calibration=[])

    known = [curve(str(i), share=(20 - i) / 100, area=0.5 + (i * 7 % 10) / 20) for i in range(10)]
    shown = quality._telling(known)
    assert [c.label for c in shown[:3]] == ["0", "1", "2"]
    others = sorted(known[3:], key=lambda c: c.area)
    assert [c.label for c in shown[3:]] == [c.label for c in others[:3]]
    assert quality._telling(known[:6]) == known[:6]


def test_the_bundle_keeps_curves_of_rare_classes_that_are_not_recognised() -> None:
    """Class 19 is the rarest and always taken for another."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.full(200 - 10 * i, i) for i in range(19)] + [np.full(6, 19)])
    p = rng.dirichlet(np.ones(20), len(y))
    p[np.arange(len(y)), y] += np.where(y == 19, 0.0, 0.8)
    p[:, 19] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    names = tuple(f"{i:02d}" for i in range(20))
    schema = Schema(target="t", classes=names, positive_label="", columns=(Column(name="x", kind="number"),))
    labels = [curve.label for curve in curves(p, y, schema)]
    assert len(labels) == MAX_CLASSES
    assert labels[:5] == list(names[:5])
    assert "19" in labels[5:]


def test_the_worst_classes_stand_first_and_the_others_one_click_away(client: FlaskClient) -> None:
    text = client.get("/models").text
    part = text[text.index('id="classes"') :].split("</section>")[0]
    recalls = [float(x) for x in re.findall(r"</th><td>\d+</td><td>([\d.]+)%</td>", part)]
    assert len(recalls) == 26
    assert recalls == sorted(recalls)
    assert part.count("<tr>") == 26 + 2
    assert "18 more" in part
    assert "the other 15 are counted together" in text


def test_the_page_stays_light(client: FlaskClient) -> None:
    assert len(client.get("/models").data) < 160_000


def test_the_form_has_what_matters_most_and_the_rest_one_click_away(client: FlaskClient) -> None:
    """All of it is sent; a wrong field is never hidden."""
    text = client.get("/").text
    form = text[text.index('<form method="post" action="/#answer"') :].split("</form>")[0]
    shown, hidden = form.split("<details", 1)
    importance = client.application.extensions["refit"].store.current().bundle.metrics["importance"]
    best = sorted(importance, key=lambda name: -importance[name])[:12]
    assert re.findall(r'<label for="[^"]*" title="([^"]*)">', shown) == best
    assert len(re.findall(r"<input ", hidden)) == 88
    assert "All names begin with “a_long_name_that_came_from_a_warehouse_table_column_”" in form
    sent = dict(re.findall(r'<input id="[^"]*" name="([^"]*)" value="([^"]*)"', form))
    assert len(sent) == 100
    least = min(range(100), key=lambda i: importance[f"a_long_name_that_came_from_a_warehouse_table_column_{i:03d}"])
    wrong = client.post("/", data=sent | {f"c{least}": "many"})
    assert wrong.status_code == 422
    first = wrong.text[wrong.text.index('<form method="post" action="/#answer"') :].split("<details", 1)[0]
    assert re.search(rf'name="c{least}" value="many"[^>]*aria-invalid="true"', first)
    answer = client.post("/", data=sent).text
    assert "<title>a_long_name_that_came_from_a_warehouse_table_column_" in answer
    assert re.search(r'class="bar-label"[^>]*>…\d\d\d = 0.25<', answer)


def test_no_sentence_lists_all_classes(client: FlaskClient) -> None:
    wrong = client.post("/feedback", json={"prediction_id": "a", "label": "perhaps"}).json
    assert wrong is not None
    assert "'class 9', … (26)" in str(wrong["errors"])
    assert "class 12" not in str(wrong["errors"])
