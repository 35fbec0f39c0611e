"""The gate's verdicts and reasons: why a version was promoted or refused."""

from ml.messages.message import N_

TEMPLATES = {
    "gate.first": N_(
        "Passed: the first champion; log-loss beats the class shares by {gain:.4f} ({sure:.0%} sure of {lower:.4f}) "
        "on {n} rows."
    ),
    "gate.better": N_(
        "Passed: better than the champion on {n} rows: log-loss {loss:.4f} against {old:.4f}, lower by {gain:.4f} "
        "({sure:.0%} sure of {lower:.4f})."
    ),
    "gate.not_worse_than_degraded": N_(
        "Passed: the champion is degraded, and the challenger is not worse by more than {margin:g} on {n} rows "
        "(log-loss gain {gain:.4f}, {sure:.0%} sure of {lower:.4f})."
    ),
    "gate.not_worse_than_outdone": N_(
        "Passed: the labels since the champion's promotion speak against it, and the challenger is not worse by more "
        "than {margin:g} on {n} rows (log-loss gain {gain:.4f}, {sure:.0%} sure of {lower:.4f})."
    ),
    "gate.always_although": N_("Passed, as the policy is 'always'; the gate by itself refuses: {reasons:; }."),
    "gate.always": N_("Passed: the policy is 'always'."),
    "gate.never": N_("Not promoted: the policy is 'never'."),
    "gate.refused": N_("Not promoted: {reasons:; }."),
    "gate.with_notes": "{verdict} ({notes:; })",
    "gate.not_servable": N_("cannot be served: {reason}"),
    "gate.too_slow": N_("too slow: {ms:.1f} ms a row, allowed {allowed:g} ms"),
    "gate.too_large": N_("too large: {mb:.1f} MB, allowed {allowed:g} MB"),
    "gate.no_rows": N_("no labelled rows to judge on"),
    "gate.below_floor_few": N_(
        "not shown to know more than the class shares: log-loss better by {gain:.4f}, with confidence only {lower:.4f} "
        "(asked for more than {asked:g}; {n} rows are few)"
    ),
    "gate.below_floor": N_(
        "not shown to know more than the class shares: log-loss better by {gain:.4f}, with confidence only {lower:.4f} "
        "(asked for more than {asked:g})"
    ),
    "gate.too_few_rows": N_("too few rows to judge: {n}, at least {needed} are needed; the champion stays"),
    "gate.worse_than_degraded": N_(
        "worse than the degraded champion: log-loss gain {gain:.4f}, with confidence only {lower:.4f} (asked for more "
        "than {asked:g})"
    ),
    "gate.worse_than_outdone": N_(
        "worse than the champion, though the labels speak against it: log-loss gain {gain:.4f}, with confidence only "
        "{lower:.4f} (asked for more than {asked:g})"
    ),
    "gate.not_shown_as_good": N_(
        "not shown to be as good as the champion: log-loss gain {gain:.4f}, with confidence only {lower:.4f} (asked "
        "for more than {asked:g})"
    ),
    "gate.final_fit": N_("served is the recipe that was judged, with the {n} rows that were held back from it"),
    "gate.final_fit_not_kept": N_("served is the judged fit, not the one on all rows: {reason}"),
    "gate.final_fit_not_servable": N_("that cannot be served: {reason}"),
    "gate.final_fit_worse": N_("that is worse on {n} rows: log-loss higher by {loss:.4f}"),
    "gate.floor_of_all": N_(
        "the newest rows are few to show knowledge beyond the class shares: it may be shown on them or on all {n} "
        "held-out rows"
    ),
    "gate.floor_known": N_(
        "knowledge beyond the class shares is not asked for again: the rows are too few to tell, and the champion, of "
        "the same family, has shown it"
    ),
    "gate.worse": N_("worse than the champion: log-loss higher by {loss:.4f}"),
    "gate.indistinguishable": N_(
        "indistinguishable from the champion on {n} rows: log-loss gain {gain:.4f}, with confidence between "
        "{lower:.4f} and {upper:.4f}"
    ),
    "gate.accuracy_lower": N_("accuracy is lower by {points:.1f} points"),
    "gate.forgets": N_(
        "forgets: log-loss on the {n} regression rows is worse by {loss:.4f} (at least {lower:.4f} with confidence; "
        "allowed {allowed:g})"
    ),
    "gate.worse_slice": N_("worse where {where} ({n} rows): log-loss higher by {loss:.4f}"),
    "gate.more_worse_slices": N_("worse in {n} more slices"),
    "gate.slice": N_("{column} is {value}"),
    "gate.trained_on_left_out": N_("{n} rows that the champion was trained on, or others of their ids, are left out"),
    "gate.trained_on_maybe": N_("{n} of {all} rows may have been seen by the champion in training"),
    "gate.champion_not_loaded": N_("the champion, version {version}, cannot be loaded: {error}"),
    "gate.incomparable": N_("cannot be compared with the champion: {why:; }"),
    "gate.columns_gone": N_("columns gone: {names}"),
    "gate.columns_new": N_("columns new: {names}"),
    "gate.columns_of_another_kind": N_("columns of another kind: {names}"),
    "gate.another_target": N_("another target: {old} → {new}"),
    "gate.another_positive_label": N_("positive label '{old}' → '{new}'"),
    "gate.another_order_of_classes": N_("another order of classes: {old} → {new}"),
    "gate.classes_gone": N_("classes gone: {names}"),
    "gate.classes_new": N_("classes new: {names}"),
    "gate.other_classes": N_("the champion knows the classes {old:, }, the data has {new:, }"),
    "gate.champion_cannot_score": N_("the champion cannot score these rows: {error}"),
    "gate.regression_rows_lost": N_(
        "the regression rows {file} were kept before and are lost, and cannot be drawn again from snapshot {snapshot} "
        "({error}). Put the file or the snapshot back from a backup or another machine, or set "
        'gate.regression_rows to "renew" to begin anew with this run\'s; what was learned of older rows is not guarded '
        "then"
    ),
    "gate.other_rows": N_("it gives other rows than were kept"),
}
