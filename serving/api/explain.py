"""`POST /explain`: why each row gets its score, and what would change the answer. Nothing is logged."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ml.errors import BundleError
from ml.explain.counterfactuals import Counterfactual, counterfactuals
from ml.explain.explainer import Explainer, Explanation
from ml.messages import message
from ml.schema.cells import iso, shortest
from ml.schema.rows import Rows
from serving.api import guard, operations, predict, schemas
from serving.model.store import Served
from serving.problems import Problem
from serving.scoring import score
from serving.scoring.score import VERSION_HEADER, Scored
from serving.service import current_service, read_body

MAX_ROWS = 100  # one row costs some milliseconds, so a request stays well below a second

bp = Blueprint("explain", __name__)


class Shown(msgspec.Struct, frozen=True):
    """What a page shows of one row: of each column, the largest first, its contribution in log-odds of the class
    `toward`, and the same as a share of its probability; `errors` are the standard errors of the log-odds, 0 where the
    method is exact."""

    toward: str
    columns: list[str]
    contributions: list[float]
    probability_shares: list[float]
    errors: list[float]
    changes: list[Counterfactual]


@bp.post("/explain")
@guard.opens("predict")
@operations.describe(
    f"Why each of up to {MAX_ROWS} rows got its score.",
    {operations.JSON: schemas.Explanations},
    (*operations.BODY, 409),
    operations.ROWS,
    query={"changes": ["true", "false"]},
    tag="predict",
)
def explain_rows() -> Response:
    """Attributions that add up to the score; the nearest changes that flip the label, unless `?changes=false`."""
    predict.check_content_type(request.content_type)
    with_changes = request.args.get("changes", "true")
    if with_changes not in ("true", "false"):
        raise Problem(422, message("requests.changes", got=with_changes[:80]))
    served = current_service().served()
    rows, ids = score.predict_body(served, current_service().settings.serving).read(read_body())
    if len(rows) > MAX_ROWS:
        raise Problem(413, message("requests.too_many_to_explain", limit=MAX_ROWS, got=len(rows)))
    scored = score.score(served, rows, ids)
    explanations = explainer(served).explain(rows) if len(rows) else []
    alternatives = counterfactuals(served.bundle, rows) if with_changes == "true" else [[] for _ in explanations]
    content = {
        "model_version": served.version,
        "explanations": [
            _content(scored, i, *pair) for i, pair in enumerate(zip(explanations, alternatives, strict=True))
        ],
    }
    return Response(msgspec.json.encode(content), mimetype="application/json", headers={VERSION_HEADER: served.version})


def explainer(served: Served) -> Explainer:
    """The explainer of a served version, made once.

    Raises
    ------
    Problem
        409: the version carries no background rows to explain against, or its own graphs disagree.
    """
    cached: Explainer | None = served.derived.get("explainer")
    if cached is None:
        if not len(served.bundle.background):
            raise Problem(409, message("requests.no_background", version=served.version))
        try:
            cached = served.derived.setdefault("explainer", Explainer.of(served.bundle))
        except BundleError as error:
            why = message("requests.cannot_explain", version=served.version, error=error.explanation)
            raise Problem(409, why) from error
    return cached


def of_row(served: Served, rows: Rows) -> Shown:
    """What the page shows of the only row of `rows`."""
    local_explainer = explainer(served)
    (explanation,) = local_explainer.explain(rows)
    order = sorted(range(len(local_explainer.columns)), key=lambda j: -abs(float(explanation.attributions[j])))
    return Shown(
        toward=explanation.explained_class,
        columns=[local_explainer.columns[j] for j in order],
        contributions=explanation.attributions[order].tolist(),
        probability_shares=explanation.probability_shares[order].tolist(),
        errors=explanation.standard_errors[order].tolist(),
        changes=counterfactuals(served.bundle, rows)[0],
    )


def _content(scored: Scored, i: int, explanation: Explanation, flips: list[Counterfactual]) -> dict[str, Any]:
    columns = [column.name for column in scored.schema.columns]
    values = row_values(scored.rows, i, scored)
    order = sorted(range(len(columns)), key=lambda j: -abs(float(explanation.attributions[j])))
    shares = explanation.probability_shares
    return {
        "label": scored.labels[i],
        "probability": float(scored.chosen[i]),
        "explained_class": explanation.explained_class,
        "score": explanation.score,
        "baseline": explanation.baseline,
        "method": explanation.method,
        "background_rows": explanation.background_rows,
        "attributions": [
            {
                "column": columns[j],
                "value": values[columns[j]],
                "attribution": float(explanation.attributions[j]),
                "probability_share": float(shares[j]),
                "standard_error": float(explanation.standard_errors[j]),
            }
            for j in order
        ],
        "changes": flips,
        "warnings": [warning.to_dict() for warning in scored.rows.warnings_of(i)],
    }


def row_values(rows: Rows, i: int, scored: Scored) -> dict[str, float | str | None]:
    """The values that the model saw, by column; None where one is missing.

    Parameters
    ----------
    i
        Row, from 0.
    """
    numbers = dict(zip(scored.schema.numbers, rows.numbers[i].tolist(), strict=True))
    texts = dict(zip(scored.schema.categories, rows.categories[i].tolist(), strict=True))
    return {
        **{name: None if value != value else shortest(value) for name, value in numbers.items()},
        **{name: iso(numbers[name]) for name in scored.schema.dates if numbers[name] == numbers[name]},
        **{name: value or None for name, value in texts.items()},
    }
