"""Registration, promotion and rollback: what was done, and why."""

from ml.messages.message import N_

TEMPLATES = {
    "release.because": "{parts: }",
    "release.started_because": N_("Started because: {reason}."),
    "release.declined": N_("{who} declined it."),
    "release.declined_because": N_("{who} declined it: {reason}"),
    "release.serves": N_("Version {version} is the champion."),
    "release.serves_noted": N_("Version {version} is the champion ({note})."),
    "release.in_shadow": N_("Version {version} waits in shadow: {needed} labelled live rows decide."),
    "release.judged_in_shadow": N_("{verdict} Judged in shadow, on rows that version {version} answered."),
    "release.shadow_not_judged": N_("it cannot be judged in shadow: {error}"),
    "release.shadow_too_few_labels": N_(
        "only {n} of {needed} labelled rows came in the {days:.3g} days that it waited in shadow"
    ),
    "release.shadow_not_taken_over": N_("it was not taken over: {error}"),
    "release.shadow_other_columns": N_(
        "it has other columns or classes than version {version}, whose answers are logged"
    ),
    "release.shadow_other_champion": N_("version {version} serves by now: judged against that one instead"),
    "release.shadow_alias_found_set": N_("alias found set already, while it waited in shadow"),
    "release.shadow_taken": N_("version {version} waits in shadow already and is judged first"),
    "release.shadow_replaced": N_("version {version} takes its place in shadow: the champion has degraded since"),
    "release.quarantined": N_("version {version} is quarantined ({reason})"),
    "release.changes_contract": N_(
        "version {version} would change what callers send and get: {changes:; }; do it with force (--force) if that is "
        "meant"
    ),
    "release.contract": "{changes:; }",
    "release.contract_not_known": N_("not known: {error}"),
    "release.contract_lost": N_(
        "version {version} cannot be loaded, and so its columns and classes are not known ({error}); restore it, go "
        "back to another version, or begin anew with --schema infer"
    ),
    "release.nothing_within_contract": N_(
        "no version of the same columns and classes served before version {version}; version {other} did, and would "
        "change what callers send and get: {changes:; }; name it with force (--to {other} --force) if that is meant"
    ),
    "release.moved_in_mlflow": N_("the alias was moved in MLflow's registry"),
    "release.moved_with_doubts": N_("the alias was moved in MLflow's registry; {doubts:; }"),
    "release.was_quarantined": N_("it was quarantined ({reason})"),
    "release.was_refused": N_("the gate had refused it: {verdict}"),
    "release.never_judged": N_("it was never judged"),
    "release.alters": N_("it changes what callers send and get: {changes:; }"),
    "release.alias_deleted": N_("the alias was deleted in MLflow's registry; version {version} serves on"),
    "release.other_bundle": N_(
        "version {version} of this registry is another model than the version {version} that is known here"
    ),
    "release.serving_deleted": N_("version {version} was deleted in MLflow's registry; the service serves it on"),
    "release.bake_not_compared": N_(
        "version {version} is not watched: version {old}, which it replaced, cannot be compared with it ({why})"
    ),
    "release.version": N_("version {number}"),
    "release.no_version": N_("no version"),
    "release.champion_changed": N_(
        "version {version} was judged against {old}, but by now {now} serves: run the evaluation again"
    ),
    "release.champion_another": N_(
        "version {version} was judged against another model than the version {old} that serves by now: "
        "run the evaluation again"
    ),
    "release.quarantined_needs_force": N_(
        "version {version} is quarantined ({reason}); promote it with force to lift that"
    ),
    "release.no_champion": N_("there is no champion to roll back from"),
    "release.champion_already": N_("version {version} is the champion already"),
    "release.nothing_to_go_back_to": N_("no version served before version {version}: there is nothing to go back to"),
    "release.interrupted": N_("interrupted before the alias moved, or after it was put back"),
    "release.failed": "{why}: {error}",
    "release.serves_on": N_("{error}; {old} serves on"),
    "release.rolled_back": N_("rolled back to version {version}: {reason}"),
    "release.alias_found_set": N_("{reason} (alias found set already)"),
    "release.confirmation": "{parts:; }",
    "release.confirmed": N_("confirmed by {n} workers at {urls:, }"),
    "release.not_confirmed": N_("not confirmed"),
    "release.not_asked": N_("not confirmed: registry.confirm is 'never'"),
    "release.absent": N_("no service listens at {urls:, }"),
    "release.service_named": N_("{host} at {address}"),
    "release.fleet_service": "{name}: {reason}",
    "release.fleet_elsewhere": N_("it reports version {seen:, } after {seconds:g} s"),
    "release.fleet_gone_meanwhile": N_("it has not reported any more"),
    "release.fleet_confirmed": N_("{workers} workers of {n} services serve it: {services:, }"),
    "release.fleet_without": N_("out of rotation, as it does not serve version {version}: {services:; }"),
    "release.fleet_gone": N_("died meanwhile: {services:, }"),
    "release.fleet_not_confirmed": N_(
        "{n} of {of} services took over version {version}, which is too few: {services:; }"
    ),
    "release.no_reason": N_("no reason given"),
    "release.service_refused": N_("{url} refused version {version}: {reason}"),
    "release.of_version": N_("Version {version}: {reason}"),
    "release.service_silent": N_("{url} does not answer after {seconds:g} s: version {version} was not taken over"),
    "release.service_elsewhere": N_(
        "{url} reports '{seen}' and workers [{workers:, }] after {seconds:g} s: version {version} was not taken over"
    ),
    "release.registry_stale": N_(
        "MLflow still answers with what was true before, after {seconds:.1f} s: there may be a cache or a replica "
        "before it that lags. Nothing is moved by old answers; try again."
    ),
    "release.baked": N_(
        "On {n} labelled rows that version {version} answered it is right on {accuracy:.1%}, and version {old} would "
        "have been on {before:.1%}"
    ),
    "release.baked_worse": N_("{found}: worse by at least {worse:.1%} ({sure:.0%} sure)"),
    "release.stays": "{found}.",
    "release.went_back": N_("{found}: it went back."),
    "release.nothing_to_watch": N_("no release to decide on"),
    "release.waits": N_("Version {version} waits in shadow: {progress}."),
    "release.left_shadow": N_("Version {version} left the shadow to serve: {progress}."),
    "release.refused_in_shadow": N_("Version {version} was refused in shadow: {progress}."),
    "release.labels_came": N_("{n} of {needed} labelled rows have come"),
    "release.labels_came_right_on": N_(
        "{n} of {needed} labelled rows have come; it is right on {accuracy:.1%} of them, and version {old}, which "
        "answered them, on {before:.1%}"
    ),
}
