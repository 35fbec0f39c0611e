"""Drift verdicts: what a check found, column by column and in performance."""

from ml.messages.message import N_

TEMPLATES = {
    "drift.nothing_changed": N_("nothing that matters has changed since the champion was judged"),
    "drift.no_model": N_("no model has been promoted yet"),
    "drift.too_few_predictions": N_("{n} new predictions of version {version}, {needed} are needed"),
    "drift.alert": "{verdict}: {reasons:; }",
    "drift.column": N_("column '{column}': {reason}"),
    "drift.predictions": N_("the predictions: {reason}"),
    "drift.distance": N_("the distribution changed (distance {distance:.2f})"),
    "drift.days_between": N_("the days to another date changed (distance {distance:.2f})"),
    "drift.weekdays": N_("the weekdays changed (share moved {share:.2f})"),
    "drift.share_moved": N_("the distribution changed (share moved {share:.2f})"),
    "drift.missing": N_("missing values went from {before:.1%} to {now:.1%}"),
    "drift.new_values": N_("{share:.1%} of the rows have a value never seen before"),
    "drift.not_in_reference": N_("the reference has no such column"),
    "drift.column_gone": N_("the column is not in the data any more"),
    "drift.not_numbers": N_("{share:.1%} of the values are not numbers, for example '{example}'"),
    "drift.feed_broken": N_("values are missing that were there: the feed is broken"),
    "drift.feed_stuck": N_(
        "every value is {value:.6g}, which {share:.1%} of the reference rows had: the feed is stuck"
    ),
    "drift.unknown_labels": N_("{n} labels are none of the model's classes and were left out"),
    "drift.accuracy_fell": N_(
        "accuracy fell from {before:.1%} to {now:.1%} on {n} labelled rows (by at least {least:.1%}, {sure:.0%} sure)"
    ),
    "drift.log_loss_rose": N_(
        "log-loss rose from {before:.3f} to {now:.3f} on {n} labelled rows (by at least {least:.3f}, {sure:.0%} sure)"
    ),
    "drift.estimated_drop": N_(
        "estimate, not a measurement: from the scores alone, accuracy fell by at least {least:.1%}"
    ),
    "drift.champion_not_readable": N_("the champion's reference cannot be read, so nothing was compared: {error}"),
    "drift.probe_not_compared": N_("whether a newer model would do better could not be compared: {why}"),
    "drift.backtest_here": N_("the quick models of the drift check are fitted on this machine instead: {why}"),
    "drift.backtest_workers_ended": N_(
        "every worker of the Dask cluster at {address} that tried a quick model was ended, for want of memory perhaps"
    ),
    "drift.probe_no_snapshot": N_("the snapshot that the champion was made from is not known"),
    "drift.probe_other_classes": N_("the champion's snapshot has other classes than the champion"),
    "drift.probe_other_question": N_(
        "{n} older labelled rows answer another question (target, columns, classes), {left} are left and {needed} are "
        "needed"
    ),
    "drift.probe_labels_late": N_(
        "labels come {late:,} rows late, so as many lie between the rows that newer models may learn from and those "
        "that they are judged on: {left} older ones are left and {needed} are needed"
    ),
    "drift.newer_model_better": N_(
        "models of newer rows explain the labels since the promotion better: evidence {evidence:.1f} nats ({asked:g} "
        "are asked for; {n} labels, best '{model}')"
    ),
}
