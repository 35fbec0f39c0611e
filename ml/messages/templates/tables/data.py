"""Why a table cannot be learned from, or does not fit what was learned from before."""

from ml.messages.message import N_

TEMPLATES = {
    "data.names": "{names:, }",
    "data.names_more": N_("{names:, } and {n:,} more"),
    "data.did_you_mean": N_("did you mean {names}?"),
    "data.has_columns": N_("the table has {n} columns: {names}"),
    "data.has_columns_or_values": N_("the table has {n} columns: {names}; does its first line name the columns?"),
    "data.doubles": N_("two columns of one name: {columns}; give each its own name"),
    "data.reserved": N_("{columns}: names that begin with '{prefix}' are Refit's own; rename"),
    "data.too_many_columns": N_(
        "{n:,} columns are more than the limit of {limit:,} (data.max_columns); leave out what is not needed, or raise "
        "the limit"
    ),
    "data.no_rows": N_("the table has a header but no rows"),
    "data.no_such_column": N_(
        "data.{setting} names the column '{column}', which the table does not have; {suggestion}"
    ),
    "data.lacks_columns": N_("the model needs {n} columns and the table lacks {columns}; {suggestion}"),
    "data.no_number": N_("expected a number, got '{cell}'"),
    "data.no_number_in": N_("expected a number, got '{cell}' in {place}"),
    "data.no_numbers": N_("expected a number, got '{cell}' ({n:,} such cells)"),
    "data.no_numbers_in": N_("expected a number, got '{cell}' in {place} ({n:,} such cells)"),
    "data.no_date": N_("expected a date, got '{cell}'"),
    "data.no_date_in": N_("expected a date, got '{cell}' in {place}"),
    "data.no_dates": N_("expected a date, got '{cell}' ({n:,} such cells)"),
    "data.no_dates_in": N_("expected a date, got '{cell}' in {place} ({n:,} such cells)"),
    "data.only_words": N_("expected numbers, but every row says {words}"),
    "data.only_markers": N_(
        "every row says {words}, none a value; repair the export, or name the column in data.exclude"
    ),
    "data.unknown_kind": N_('data.kinds says "{kind}"; it must be "number", "category" or "date"'),
    "data.signs": N_(
        "{n:,} cells such as '{cell}' are numbers with signs in them that no setting reads, beside plain ones; write "
        "all of them alike, or name the column in data.exclude"
    ),
    "data.too_many_words": N_(
        "{n:,} of {rows:,} cells are no numbers, the first '{cell}'; at most {share:.0%} may be (data.max_bad_share)"
    ),
    "data.marks": N_("{n:,} cells such as '{cell}' are numbers with marks in them; {remedies:, or }"),
    "data.either_mark": N_("give --decimal . ('{cell}' is {one}) or --decimal , (it is {other})"),
    "data.other_marks": N_("write them with the table's own marks, {marks: and }"),
    "data.said_mark": N_(
        "'{cell}' shows that the decimal mark is '{mark}', and '{said}' was given: leave that out, or give '{mark}'"
    ),
    "data.or_names": N_("{what}; or {names}"),
    "data.mixed_marks": N_(
        "'{cell}' in {at} is written with other marks than '{first}' in {place} of column '{column}': write all "
        "numbers of the table in one way, or leave a column out"
    ),
    "data.category_of_names": N_('set data.kinds = {{"{column}" = "category"}} if they are names'),
    "data.no_input": N_("no usable input column is left beside the target '{target}'"),
    "data.no_input_because": N_("no usable input column is left beside the target '{target}': {reasons:; }"),
    "data.of_column": "'{column}' {what}",
    "data.leaks": N_(
        "suspected leaks: {columns} alone separate the classes; name them in data.exclude, or set data.leaks = "
        '"warn" if the values are known before the outcome'
    ),
    "data.positive_of_two": N_(
        "data.positive_label is '{label}', but there are {n} classes ({classes}); it is for two classes only: leave it "
        "empty"
    ),
    "data.positive_unknown": N_("data.positive_label is '{label}', but the labels are {labels}"),
    "data.no_target": N_("the table has no target column '{target}'; {hint}"),
    "data.no_class": N_(
        "'{label}' ({n:,} rows) is none of the classes {classes}; correct the labels, or set data.schema = \"infer\" "
        "to begin anew with other classes"
    ),
    "data.labels_are_markers": N_(
        "{n:,} of {rows:,} labels are {words}, a word for no value in data.missing_markers; if it is a class, take it "
        "out of that list, and if not, leave these labels empty"
    ),
    "data.no_label": N_("no row has a label"),
    "data.too_many_labels": N_(
        "{n:,} different labels in {rows:,} rows (data.max_classes is {limit}): {labels}; is this an id or a quantity? "
        "Refit predicts classes"
    ),
    "data.one_label": N_("every label is '{label}'; two classes are needed: add rows of the other"),
    "data.small_classes": N_(
        "two classes with at least {least} rows each are needed (data.min_class_rows), got {found:, }; add rows of the "
        "rare one"
    ),
    "data.class_rows": N_("'{label}' ({n:,} rows)"),
    "data.against_contract": N_(
        "the table does not fit the champion's contract:\n- {problems:\n- }\nRepair the table or the settings; or, "
        "where the change is meant, let columns, classes and positive label be found anew: data.schema = "
        "\"infer\" (--schema infer, or the field in Airflow's form), and the new version take the champion's place "
        "(--policy always)"
    ),
    "data.other_target": N_("data.target is '{got}', and the champion predicts '{expected}'"),
    "data.other_positive": N_("data.positive_label is '{got}', and the champion's is '{expected}'"),
    "data.positive_not_set": N_("data.positive_label is '{got}', and the champion's is not set"),
    "data.names_an_input": N_("column '{column}': data.{setting} names it, and the champion learns from it"),
    "data.other_kind": N_("column '{column}': data.kinds says {got}, and the champion takes a {expected}"),
    "data.lacks": N_("the table lacks {columns}; {suggestion}"),
    "data.emptied": N_(
        "column '{column}': {now:.0%} of the rows have no value, {before:.0%} had none in the champion's table"
    ),
    "data.labelled_need": N_("labelled production rows need the column '{column}'"),
    "data.named_column_lacks": N_("the table lacks this column, which the settings name"),
    "data.weight": N_("a sample weight must be a number of at least 0, got '{got}' ({n:,} such rows)"),
    "data.no_weight": N_("every sample weight is 0"),
    "data.no_iso_time": N_(
        "expected an ISO 8601 time or a number, got '{got}' ({n:,} such rows); repair them, or set data.time_format, "
        'for example "%d/%m/%Y"'
    ),
    "data.no_time": N_(
        "expected a time as {format}, got '{got}' ({n:,} such rows); repair them, or set data.time_format, for "
        'example "%d/%m/%Y"'
    ),
    "data.no_pickle": N_("not there; run: python -m ml generate"),
    "data.other_pickle": N_("is not the file that was written; run: python -m ml generate"),
    "data.not_written": N_("cannot write the snapshot: {error}"),
    "data.no_snapshot": N_("no snapshot '{snapshot}' in {folder}; run: python -m ml generate"),
    "data.snapshot_altered": N_(
        "its SHA-256 is {sha256}, which is not what its name says: it was altered or damaged; delete it and run: "
        "python -m ml generate"
    ),
    "data.other_snapshot": N_("not a snapshot of this version: {error}; run: python -m ml generate"),
    "data.no_path": N_('data.source = "file" needs data.path'),
    "data.synthetic": N_("[synthetic]: {error}"),
    "data.shares": N_(
        "data.test_share {test:g} and data.validation_share {validation:g} must be above 0 and leave something to "
        "train on"
    ),
    "data.time_split": N_('data.split = "time" needs data.time_column'),
    "data.group_split": N_('data.split = "group" needs data.id_columns'),
    "data.not_split": N_("{n:,} rows cannot be split with these shares: {error}"),
    "data.empty_part": N_("the {part} part of a split by {method} is empty; change the shares or data.split"),
    "data.part_lacks_classes": N_(
        "the {part} part of a split by {method} has {n} of {all} classes; bring more rows, or set data.split = "
        '"stratified"'
    ),
    "data.found_rows": N_("{rows:,} rows; '{target}' is {classes:, }"),
    "data.sampled": N_("read by the learners (train.max_rows), drawn at random: {parts:, }"),
    "data.pickle_sampled": N_("in data/course.pkl, drawn at random: {parts:, }"),
    "data.sampled_part": N_("{n:,} of {rows:,} rows of {part}"),
    "data.found_class": N_("'{label}' in {n:,} ({share:.1%})"),
    "data.found_more_classes": N_("{n} more classes"),
    "data.found_columns": N_("{n} columns are learned from: {names}"),
    "data.found_names": "{names:, }",
    "data.found_names_and_more": N_("{names:, } and {n} more"),
    "data.found_aside": N_("not learned from, but used for what they are (id, time, weight): {names}"),
    "data.found_left_out": N_("'{column}' is not used: {why}"),
    "data.found_doubt_of": N_("look at '{column}': {what}"),
    "data.found_doubt": N_("look at this: {what}"),
    "data.found_note_of": N_("note on '{column}': {what}"),
    "data.found_note": N_("note: {what}"),
    "data.labelled_policy": N_("labelled production rows learned from: '{policy}' (retrain.policy); {reason}"),
    "data.found_more": N_("{n} more findings are in the snapshot's manifest"),
    "data.found_command": N_("to have '{column}' otherwise: {command}"),
}
