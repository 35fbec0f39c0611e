"""The model card."""

from ml.messages.message import N_

TEMPLATES = {
    "card.verdict": N_("**Verdict.** {verdict}"),
    "card.model": N_("Model"),
    "card.data": N_("Data"),
    "card.quality": N_("How good it is"),
    "card.weakest": N_("Where it is weakest"),
    "card.importance": N_("What it goes by"),
    "card.columns": N_("Columns"),
    "card.search": N_("How it was chosen"),
    "card.limits": N_("Limits"),
    "card.limits_text": N_(
        "It was measured on held-out rows of the data above, and says nothing about others. Inputs outside of the "
        "ranges and levels below are scored and flagged. Reasons for single predictions are associations in the data, "
        "not causes. A column that stands for a protected group may be stood for by others."
    ),
    "card.family": N_("family: {family}, seed {seed}"),
    "card.parameters": N_("parameters learned: {n}"),
    "card.calibration": N_("calibration: {kind}"),
    "card.final_fit": N_(
        "fitted on {n:,} rows, those that judged it included: the recipe passed the gate fitted on {judged:,}, and all "
        "figures are of that fit"
    ),
    "card.settings": N_("settings: `{settings}`"),
    "card.snapshot": N_("snapshot `{snapshot}`, {rows:,} rows, {columns} columns"),
    "card.parts": N_("parts: {parts:, }"),
    "card.classes": N_("classes: {classes:, }"),
    "card.more": N_("{n} more"),
    "card.counted": "{name} {n:,}",
    "card.time": N_("time: {first:date} to {last:date}"),
    "card.range": N_("{low:.9g} to {high:.9g}"),
    "card.labelled_in": N_("labelled production rows: {n:,} of {given:,} are in it"),
    "card.test_rows": N_("On {n:,} test rows, with {confidence:.0%} bootstrap intervals."),
    "card.calibration_p": N_(
        "The calibration error is without its upward bias. p-value of “the probabilities are true”: {p:.3f}; a small "
        "one speaks against them."
    ),
    "card.metric": N_("metric"),
    "card.value": N_("value"),
    "card.no_skill": N_("without skill"),
    "card.at_half": N_("at ½"),
    "card.column": N_("column"),
    "card.rows_with": N_("rows with"),
    "card.rows": N_("rows"),
    "card.importance_of": N_("importance"),
    "card.kind": N_("kind"),
    "card.kind_category": N_("category"),
    "card.kind_number": N_("number"),
    "card.kind_date": N_("date"),
    "card.seen": N_("seen in training"),
    "card.missing": N_("missing"),
    "card.undefined": N_("undefined on these rows"),
    "card.figure": "{value:.4f}",
    "card.measured": N_("{value:.4f} ({low:.4f} to {high:.4f})"),
    "card.count": "{n:,}",
    "card.moved": "{value:.3f}",
    "card.share": "{share:.1%}",
    "card.levels": "{levels:, }",
    "card.more_levels": N_("{levels:, } and {n} more"),
    "card.no_slices": N_("No slice has enough rows to be measured by itself."),
    "card.no_importance": N_("Not measured: there are no test rows, no background rows, or very many columns."),
    "card.importance_text": N_(
        "How far each column moves the score of a test row from the average one: mean absolute Shapley value, in "
        "log-odds. It tells what the model uses, not what causes the outcome."
    ),
    "card.more_importance": N_("… and {n} more, in `metrics.json`."),
    "card.more_columns": N_("… and {n} more, in `schema.json`."),
    "card.trials": N_(
        "{n} trials ({done} complete) by held-out log-loss: the winner {best:.4f}, the best untuned baseline "
        "{baseline:.4f}. The test rows were not used to choose."
    ),
    "card.trials_alone": N_(
        "{n} trials ({done} complete) by held-out log-loss: the winner {best:.4f}, no untuned baseline was complete. "
        "The test rows were not used to choose."
    ),
}
