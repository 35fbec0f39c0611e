"""A replay of one's own past: what came of it, and what it needs."""

from ml.messages.message import N_

TEMPLATES = {
    "replay.needs_time": N_(
        "a replay needs a table of your own and its column of time: --data FILE --target COLUMN --time COLUMN"
    ),
    "replay.no_delay": N_("label delay: expected for instance {expected}, got {got}"),
    "replay.too_few_rows": N_("{n} rows are too few for {windows} windows of at least {least}"),
    "replay.workers_ended": N_(
        "a part of the replay ended every worker of the Dask cluster at {address} that tried it, for want of memory "
        "perhaps: give workers more of it, or play here with --engine processes"
    ),
    "replay.title": N_("What the loop would have done: {table}"),
    "replay.strategy_never": N_("never retrained"),
    "replay.strategy_schedule": N_("as many retrainings, on a schedule"),
    "replay.strategy_every": N_("retrained after every window"),
    "replay.strategy_refit": N_("Refit's loop"),
    "replay.retrained": N_(
        "Refit's loop retrained {n} times in {windows} windows; after every window would have been {every} times."
    ),
    "replay.log_loss": N_(
        "Log-loss a row: {loop:.4f} with the loop, {never:.4f} without retraining, {every:.4f} with retraining after "
        "every window."
    ),
    "replay.accuracy": N_(
        "Accuracy: {loop:.1%} with the loop, {never:.1%} without retraining, {every:.1%} with retraining after every "
        "window."
    ),
    "replay.cost": N_(
        "Cost by your table of costs: {loop:,.0f} with the loop, {never:,.0f} without retraining, {every:,.0f} with "
        "retraining after every window."
    ),
    "replay.share": N_("That is {share:.0%} of what retraining after every window would have gained in log-loss."),
    "replay.no_gain": N_("Retraining after every window would have gained nothing in log-loss on this table."),
    "replay.untuned": N_(
        "Every model here is the untuned baseline of its family ({families:, }): what is compared is when to retrain, "
        "and a tuned model is better than each of these."
    ),
    "replay.first": N_("The first model is made of the oldest {n:,} rows, which are not scored."),
    "replay.unlabelled": N_("{n:,} rows without a label are left out."),
    "replay.late": N_("Labels came {delay} after their rows."),
    "replay.marks": N_(
        "Upright lines in the charts are retrainings: a whole line where the new model took over, a dashed one where "
        "the gate kept the old one."
    ),
    "replay.clock": N_(
        "Checks come once a window; cool-down and the breaker's waiting time, which count hours, are left out."
    ),
    "replay.chart_log_loss": N_("Log-loss in each window"),
    "replay.chart_accuracy": N_("Accuracy in each window"),
    "replay.chart_cost": N_("Cost of each window"),
    "replay.axis_time": N_("end of the window"),
    "replay.axis_log_loss": N_("log-loss, nats a row"),
    "replay.axis_accuracy": N_("share of right answers"),
    "replay.axis_cost": N_("cost"),
    "replay.decisions": N_("What was decided after each window"),
    "replay.promoted": N_("retrained, and the new model took over"),
    "replay.refused": N_("retrained, and the gate kept the old model"),
    "replay.not_retrained": N_("not retrained"),
    "replay.head_strategy": N_("strategy"),
    "replay.head_retrainings": N_("retrainings"),
    "replay.head_accuracy": N_("accuracy"),
    "replay.head_log_loss": N_("log-loss"),
    "replay.head_cost": N_("cost"),
    "replay.head_until": N_("until"),
    "replay.head_retrained": N_("retraining"),
    "replay.head_why": N_("why"),
}
