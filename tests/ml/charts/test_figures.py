"""A version's figures: files for every case, whatever the names are, and the same charts as on the pages."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ml.charts import bars, document, figures, model_quality
from ml.charts.chart import Chart, Key
from ml.charts.model_quality import Curve
from ml.charts.search_history import ScoredTrial
from ml.decision import softmax
from ml.evaluation import curves
from ml.schema.schema import Schema
from ml.settings import CHECKOUT

HOSTILE = ("Rời đi $\\frac{", "<script>alert(1)</script>", "客户\n\t\x00\ud800", "d" * 300)
STYLE_SHEET = CHECKOUT / "serving" / "static" / "style.css"


def classes(n: int) -> tuple[str, ...]:
    return HOSTILE[:n] if n <= 4 else tuple(str(c) for c in range(n))


def points(n_classes: int, n: int = 200, *, one_class: bool = False) -> list[Curve]:
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(size=(n, n_classes)))
    y = np.zeros(n, dtype=np.int64) if one_class else rng.integers(0, n_classes, n)
    names = classes(n_classes)
    schema = Schema(target="y", classes=names, positive_label=names[1] if n_classes == 2 else "", columns=())
    return curves(p, y, schema)


def trials() -> list[ScoredTrial]:
    rng = np.random.default_rng(0)
    return [
        ScoredTrial(
            number=i,
            family=("mlp", "logistic")[i % 2],
            loss=float(rng.random()),
            params={"rate": float(10 ** rng.uniform(-4, 0)), "$\\x": ["$a", "b", None][i % 3], "h": [64] * (i % 3)},
            status="pruned" if i % 4 == 3 else "ok",
            scores={"accuracy": 0.8, "macro_f1": 0.7},
        )
        for i in range(12)
    ]


def version(n_classes: int = 2, **changed: Any) -> dict[str, bytes]:
    history = [{"epoch": float(e), "loss": 1.0, "validation_loss": 1.1, "accuracy": 0.5} for e in range(3)]
    known: dict[str, Any] = {
        "history": history,
        "trials": trials(),
        "failed": 1,
        "structure": {"family": "mlp", "layers": {"$w": [3, 4]}, "parameters": 1234},
        "curves": points(n_classes),
        "confusion": np.eye(n_classes).tolist(),
        "classes": classes(n_classes),
        "importance": {HOSTILE[1]: 0.5, "age": 0.1},
    }
    return figures.version_figures(**{**known, **changed})


def texts(figure: bytes) -> str:
    """What a reader sees, from a file that has to be XML."""
    return " ".join(element.text or "" for element in ElementTree.fromstring(figure).iter())


@pytest.mark.parametrize("n_classes", [2, 4, 12])
def test_everything_is_drawn_with_hostile_names(n_classes: int) -> None:
    """Dollar signs, markup, line breaks, what is no character, very long names: well-formed files, text in them."""
    found = version(n_classes)
    names = ("confusion", "roc", "precision_recall", "calibration", "importance", "model", "training_curves",
             "tuning_convergence", "tuning_space", "tuning_comparison")  # fmt: skip
    assert set(found) == {f"{name}.svg" for name in names}
    for figure in found.values():
        root = ElementTree.fromstring(figure)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert 300 < float(root.get("width", 0)) < 3000
        assert 90 < float(root.get("height", 0)) < 3000
        assert b"<script" not in figure


def test_everything_lies_inside_of_the_file() -> None:
    """Dots, bars and the legend of each chart; a wide legend is wrapped."""
    keys = tuple(Key(kind="1", text=f"a long name of a class {i}") for i in range(9))
    file = document.document([Chart(title="t", body="<g/>", width=320, height=100, legend=keys)] * 2, title="t")
    root = ElementTree.fromstring(file)
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        place = re.match(r"translate\((\d+) (\d+)\)", group.get("transform", ""))
        if place:
            assert float(place[1]) < float(root.get("width", 0))
            assert float(place[2]) + document.LINE <= float(root.get("height", 0))


def test_a_long_name_is_cut_to_the_file() -> None:
    """In the legend; its end is kept, and so is its area."""
    name = texts(version(4)["roc.svg"]).split("dddd", 1)[1]
    assert "…" in name
    assert re.search(r"d \(area 0\.\d+\)", name)


def test_the_same_input_gives_the_same_bytes() -> None:
    """So a bundle that is made twice has one hash."""
    assert version() == version()


def test_figures_are_the_charts_of_the_pages() -> None:
    """The file has the very elements that a page shows inline."""
    chart = model_quality.roc(points(2), ["a"], title="ROC", x_label="x", y_label="y")
    assert chart.body.split('<text class="axis"')[0].encode() in version()["roc.svg"]


@pytest.mark.parametrize("name", ["roc", "precision_recall", "calibration"])
def test_one_class_only_says_why_there_is_no_curve(name: str) -> None:
    """A small test part may hold one class."""
    found = version(curves=points(2, 30, one_class=True))
    assert "No class of the test rows has rows of both kinds." in texts(found[f"{name}.svg"])


def test_nothing_to_draw_is_said_in_the_figure() -> None:
    """No finished trial, no parameter that varied, one epoch."""
    found = version(trials=[ScoredTrial(number=0, family="mlp", loss=0.1, status="pruned", params={"a": 1})])
    assert "No trial was finished." in texts(found["tuning_comparison.svg"])
    assert "No parameter varied." in texts(found["tuning_space.svg"])
    assert "One epoch gives no curve." in texts(figures.training_curves([{"epoch": 0.0, "loss": 0.5}]))


def test_what_there_is_nothing_of_has_no_figure() -> None:
    """A family that is fitted in one go, a run without a search, a table too wide for attributions."""
    found = version(history=[], trials=[], importance={})
    assert set(found) == {"confusion.svg", "roc.svg", "precision_recall.svg", "calibration.svg", "model.svg"}


def test_what_is_left_out_is_counted() -> None:
    """Failed trials, lines of the model, parameters of the search."""
    many = [
        ScoredTrial(number=i, family="mlp", loss=0.1 + i, params={f"p{j}": i * j for j in range(1, 20)})
        for i in range(10)
    ]
    found = version(trials=many, structure={f"line{i}": i for i in range(50)})
    assert "Tuning (1 failed)" in texts(found["tuning_convergence.svg"])
    assert "and 10 more" in texts(found["model.svg"])
    assert "(12 of 19)" in texts(found["tuning_space.svg"])


def test_a_blend_is_described_member_by_member() -> None:
    """Nested descriptions become one table."""
    rows = dict(figures.structure_rows({"members": [{"weight": 0.5, "family": "mlp"}, {"on": True}], "n": 1234}))
    assert rows == {"members[0].weight": "0.5", "members[0].family": "mlp", "members[1].on": "True", "n": "1,234"}


def test_a_file_has_the_colours_of_the_light_pages() -> None:
    """Two style sheets, one palette."""
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    light = dict(reversed(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", sheet)))
    assert tuple(light[f"chart-{i}"] for i in range(1, 7)) == document.PALETTE[:6]
    assert {kind: light[kind] for kind in ("good", "bad", "warn")}.items() <= document.STATES.items()
    assert (light["up"], light["down"], light["grid"]) == (document.PALETTE[1], document.PALETTE[0], document.GRID)


def test_every_class_of_a_file_has_a_colour_in_it() -> None:
    """Nothing that is drawn falls back to black for want of a rule."""
    for name, figure in version(4).items():
        style = re.search(rb"<style>(.*)</style>", figure)
        assert style
        unnamed = {"chart", "spare", "bar", "hollow"}
        used = {one for group in re.findall(rb'class="([^"]*)"', figure) for one in group.decode().split()} - unnamed
        ruled = set(re.findall(r"\.([a-z][\w-]*)", style[1].decode()))
        assert used <= ruled, name


def test_a_page_and_a_file_show_a_chart_without_a_legend_alike() -> None:
    """Inline without colours of its own, as a file with them."""
    chart = bars([("a", 1.0)], title="t")
    assert "<style" not in chart.__html__()
    assert chart.body in document.document([chart], title="t").decode()


def test_trials_that_are_not_drawn_are_counted_in_the_title() -> None:
    losses = [0.5, 0.4, 0.45, 0.42, 90.0]
    told = [
        ScoredTrial(number=i, family="mlp", loss=loss, params={}, status="ok", scores={})
        for i, loss in enumerate(losses)
    ]
    picture = figures._search(told, failed=0)["tuning_convergence"].decode()
    assert "1 of the worst not drawn" in picture
    assert "not drawn" not in figures._search(told[:1], failed=0)["tuning_convergence"].decode()
