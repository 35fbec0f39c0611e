"""Figures: pictures for every case, whatever the names are."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from ml import charts
from ml.charts import search
from ml.decision import Decision, softmax
from ml.schema.schema import Schema
from ml.settings import CHECKOUT
from ml.tuning.trial import Trial

HOSTILE = ("Rời đi $\\frac{", "<script>alert(1)</script>", "客户\n\t\x00", "d" * 300)


def schema(n_classes):
    names = HOSTILE[:n_classes] if n_classes <= 4 else tuple(str(c) for c in range(n_classes))
    return Schema(target="y", classes=names, positive_label=names[1] if n_classes == 2 else "", columns=())


def answers(n_classes, n=200):
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(size=(n, n_classes)))
    return p, rng.integers(0, n_classes, n)


def trials():
    rng = np.random.default_rng(0)
    made = []
    for i in range(12):
        params = {
            "learning_rate": float(10 ** rng.uniform(-4, 0)),
            "$\\x": ["$a", "b", None][i % 3],
            "h": [64] * (i % 3),
        }
        status = "pruned" if i % 4 == 3 else "ok"
        scores = {"accuracy": 0.8, "macro_f1": 0.7}
        loss = float(rng.random())
        family = ("mlp", "logistic")[i % 2]
        made.append(Trial(number=i, family=family, seed=0, loss=loss, params=params, status=status, scores=scores))
    return [*made, Trial(number=12, family="mlp", params={}, seed=0, status="failed", error="x")]


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("n_classes", [2, 4, 12])
def test_everything_is_drawn_with_hostile_names(n_classes):
    """Dollar signs, markup, line breaks, letters without a glyph, very long names."""
    p, y = answers(n_classes)
    history = [{"epoch": float(e), "loss": 1.0, "validation_loss": 1.1, "accuracy": 0.5} for e in range(3)]
    found = charts.all_figures(
        history=history, trials=trials(), description={"family": "mlp", "layers": {"$w": [3, 4]}, "parameters": 12},
        probabilities=p, y=y, schema=schema(n_classes), decision=Decision(threshold=0.5),
    )  # fmt: skip
    assert set(found) == {
        "confusion.png", "roc.png", "precision_recall.png", "calibration.png", "model.png", "training_curves.png",
        "tuning_convergence.png", "tuning_space.png", "tuning_comparison.png",
    }  # fmt: skip
    for picture in found.values():
        width, height = size(picture)
        assert 300 < width < 3000
        assert 90 < height < 3000


def test_svg_has_no_markup_of_the_data_in_it():
    """A class that is called like a script stays text."""
    p, y = answers(4)
    picture = charts.confusion(p, y, schema(4), Decision(), kind="svg")
    assert b"<svg" in picture
    assert b"<script" not in picture


def test_the_same_input_gives_the_same_bytes():
    """So a bundle that is made twice has one hash."""
    p, y = answers(2)
    assert charts.roc(p, y, schema(2)) == charts.roc(p, y, schema(2))


@pytest.mark.parametrize("draw", [charts.roc, charts.precision_recall, charts.calibration])
def test_one_class_only_is_drawn_without_a_curve(draw):
    """A small test part may hold one class."""
    p, _ = answers(2, 30)
    size(draw(p, np.zeros(30, dtype=np.int64), schema(2)))


def test_nothing_to_draw_is_said_in_the_picture():
    """No finished trial, no parameter that varied, one epoch."""
    failed = [Trial(number=0, family="mlp", params={}, seed=0, status="failed")]
    size(charts.comparison(failed))
    size(charts.search_space([Trial(number=0, family="mlp", params={"a": 1}, seed=0, loss=0.1)]))
    size(charts.training_curves([{"epoch": 0.0, "loss": 0.5}]))


def test_a_blend_is_described_member_by_member():
    """Nested descriptions become one table."""
    lines = search._flatten({"family": "blend", "members": [{"weight": 0.5, "family": "mlp"}, {"weight": 0.5}]})
    assert ("members[0].family", "mlp") in lines
    assert ("members[1].weight", "0.5") in lines


def test_importing_it_loads_no_matplotlib():
    """Nor does importing draw or open anything."""
    program = "import sys, ml.charts; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
