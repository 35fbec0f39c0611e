"""Why nothing could be learned: fits, searches, candidates, and the records of a run."""

from ml.messages.message import N_

TEMPLATES = {
    "training.family_not_installed": N_(
        "family '{family}' is not installed here: .venv/bin/pip install {family}, then ./run_pipeline.sh, which starts "
        "anew what runs; there are {families:, }"
    ),
    "training.unknown_family": N_("unknown family '{family}'; there are {families:, }"),
    "training.parameters": N_("parameters of {family}: {error}"),
    "training.no_candidate": N_("{folder}: expected a saved candidate, got {error}"),
    "training.too_few_rows": N_("expected two rows or more to train on, got {n} sample(s): n_samples={n}"),
    "training.nothing_varies": N_(
        "no column varies: nothing can be learned; check the columns and the missing markers"
    ),
    "training.one_class": N_(
        "expected two classes or more among the training labels, got 1 class; check target and filter"
    ),
    "training.blend": N_(
        "a blend: expected one weight a member, none negative, got {members} members and the weights [{weights:, }]"
    ),
    "training.scaling": N_("expected scaling 'robust' or 'zscore' for a network, got 'none'"),
    "training.network_parameters": N_("parameters of the network: {error}"),
    "training.class_weight": N_("expected class_weight None, 'balanced' or a mapping, got {got}"),
    "training.loss": N_(
        "the training loss became {loss} in epoch {epoch}: expected a finite number; lower learning_rate (now {rate:g})"
    ),
    "training.columns_absent": N_("expected the columns the model was fitted with, and {columns:, } did not come"),
    "training.other_columns": N_(
        "the model was fitted on numbers [{numbers:, }] and categories [{categories:, }], the schema has "
        "[{other_numbers:, }] and [{other_categories:, }]"
    ),
    "training.no_trial": N_("every trial failed: {errors:; }"),
    "training.no_trial_run": N_("no trial was run"),
    "training.nothing_fitted": N_("nothing could be fitted: {error}"),
    "training.file_gone": N_("{file} is not there any more; next: python -m ml evaluate --force --run {run}"),
    "training.run_key": N_("run key: expected letters, digits, '.', '_', '-', got {got}"),
    "training.no_stage": N_("run '{run}' has no {stage} yet; next: python -m ml {stage} --run {run}"),
    "training.disk_full": N_(
        "{stage}: the disk is full ({error}). Make room under {folder} (python -m ml clean --keep 20 deletes old "
        "runs); then clear the task, or run the command again: it goes on where it was"
    ),
    "training.old_runs_deleted": N_(
        "storage.keep_runs: {runs} old runs and {snapshots} snapshots were deleted, {megabytes:,.1f} MB; {kept} runs "
        "are kept"
    ),
    "training.old_runs_left": N_("storage.keep_runs: old runs were not deleted: {error}"),
    "training.other_record": N_(
        "{file}: expected the record of {stage} as this version of Refit writes it, got: {error}; next: python -m ml "
        "{stage} --force --run {run}"
    ),
    "training.task_failed": "{task}: {error}. {run}",
    "training.ended_outside": N_("it was ended from outside"),
    "training.no_run": N_("there is no run yet; next: python -m ml generate, or python -m ml pipeline for all stages"),
}
