"""Retraining: why a check asks for one or not, what forbids it, and which rows it learns from."""

from ml.messages.message import N_

TEMPLATES = {
    "retraining.broken_data": N_("no retraining on broken data: mend the feed first"),
    "retraining.no_reason": N_("no reason to retrain"),
    "retraining.too_little_drift": N_("too little drifted to retrain for"),
    "retraining.labels_show_no_loss": N_(
        "the inputs drifted, but labels are coming, and show neither a loss nor enough evidence for newer models"
    ),
    "retraining.not_confirmed_yet": N_("seen in {n} of the {needed} windows that confirm it: waiting for the next"),
    "retraining.drop_confirmed": N_("the drop in labelled performance is confirmed"),
    "retraining.drop_large": N_("the drop in labelled performance is large"),
    "retraining.gain_confirmed": N_("the evidence for newer models is enough"),
    "retraining.gain_large": N_("the evidence for newer models is so large that the budget does not count"),
    "retraining.drift_persists": N_("drift persists and labels do not come"),
    "retraining.blocked": N_("{why}, but {reason}"),
    "retraining.breaker": N_(
        "the last {n} challengers were refused: the breaker is open, a person should look (it closes by itself after "
        "{hours:.0f} h, or with the next promotion)"
    ),
    "retraining.shadow_first": N_("version {version} waits in shadow and is judged first"),
    "retraining.under_way": N_("a retraining that was asked for is still under way"),
    "retraining.budget_spent": N_("the budget of one retraining in {n} windows is spent for {more} more"),
    "retraining.cooldown": N_("the last retraining ended {ago:.0f} s ago and the cool-down is {seconds:.0f} s"),
    "retraining.no_labelled_rows": N_("no labelled production rows yet"),
    "retraining.found_anew": N_("columns and classes are found anew: the labelled rows that fit them are used"),
    "retraining.other_question": N_("all {n} labelled rows answer another question"),
    "retraining.configured": N_("configured: {policy}"),
    "retraining.too_few_for_policy": N_("{reason}; too few labelled rows for it, so all are used"),
    "retraining.no_window_better": N_(
        "no other window is better than all rows by {errors:g} standard errors over all checks since the promotion"
    ),
    "retraining.window_lost": N_(
        "'{policy}' was worse than all rows over the {n:,} labels that came while both were rehearsed, under whichever "
        "champion"
    ),
    "retraining.window_by_sums": N_(
        "'{policy}' is better than all rows by {errors:g} standard errors over {n} labels since the promotion"
    ),
    "retraining.window_of_evidence": N_(
        "the evidence ({evidence:.1f} nats over {n} labels since the promotion) is for '{model}'"
    ),
    "retraining.drift_too_young": N_(
        "{reason}; the {n:,} labelled rows since the newest drift began are no more than the {late:,} that labels are "
        "late by, so whether to learn from these rows alone is not asked yet"
    ),
    "retraining.backtest": N_("backtest on the newest {n} labelled rows, log-loss: {scores:, }"),
    "retraining.backtest_score": "{policy} {loss:.3f}",
}
