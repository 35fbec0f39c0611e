"""What was noticed in a table that is learned from or scored all the same: data-quality findings."""

from ml.messages.message import N_

TEMPLATES = {
    "findings.of_column": "{column}: {what}",
    "findings.no_row_of_class": N_("no row of the class '{label}', which the champion knows"),
    "findings.only_judged_on": N_(
        "the configured source is only judged on: labelled production rows alone are trained on"
    ),
    "findings.copies": N_("{n:,} of {rows:,} rows are exact copies of a row before"),
    "findings.leak_left_out": N_(
        "suspected leak: alone it separates the classes (AUC {auc:.4f}); is it known before the outcome? left out"
    ),
    "findings.leak_kept": N_(
        "suspected leak: alone it separates the classes (AUC {auc:.4f}); is it known before the outcome? kept; "
        'data.leaks = "exclude" leaves it out'
    ),
    "findings.kept_together": N_("rows that share a value of it are kept in one part, as with data.id_columns"),
    "findings.no_value_left_out": N_("no value in any row: left out"),
    "findings.no_value": N_("no value in any row"),
    "findings.leading_zeros": N_("codes with leading zeros: a category"),
    "findings.markers": N_("{n:,} of {rows:,} rows say {words}: taken as missing"),
    "findings.markers_in_category": N_(
        "{n:,} of {rows:,} rows say {words}: taken as missing; if that is a value, leave it out of data.missing_markers"
    ),
    "findings.infinite": N_("{n:,} infinite values are taken as missing"),
    "findings.cut": N_("{n:,} values beyond ±3.4e38 are cut to that"),
    "findings.constant": N_("constant ({value:g}): left out"),
    "findings.constant_text": N_("constant ('{value}'): left out"),
    "findings.row_numbers": N_("whole numbers that identify rows, like an id: left out"),
    "findings.maybe_row_numbers": N_(
        "whole numbers, all different, with gaps: a feature, as nothing proves that they name rows. If they do, add "
        "'{column}' to data.id_columns"
    ),
    "findings.dates": N_(
        "dates: their days, seasons and weekdays are learned from, and the days to other columns of dates; if it says "
        "when a row was known, name it as the time instead (--time): then it orders the rows, and nothing is learned "
        "from it or from the days to it"
    ),
    "findings.dates_learned": N_(
        "dates: their days, seasons and weekdays are learned from, and the days to other columns of dates"
    ),
    "findings.dates_doubtful": N_(
        "holds dates such as '{cell}' that may have the day or the month first: left out; say --dates day-first or "
        "--dates month-first (data.dates)"
    ),
    "findings.dates_unread": N_(
        "holds dates such as '{cell}' that are not written in one way with a year of four digits: left out; write them "
        "as 2026-11-27"
    ),
    "findings.times": N_("holds times of day or durations: left out; bring them as plain numbers"),
    "findings.unit": N_(
        'cells such as \'{cell}\' are read as numbers of {unit}; set data.kinds = {{"{column}" = "category"}} if '
        "they are names"
    ),
    "findings.free_text": N_("{n:,} different texts in {rows:,} rows, like an identifier or free text: left out"),
    "findings.many_levels": N_(
        "{n:,} levels; the commonest {kept} (data.max_categories) are kept, the rest is 'other'"
    ),
    "findings.too_close": N_(
        "the values lie so close together for their size that the model sees {seen:,} of {there:,} different ones; "
        'subtract a constant, or set data.kinds = {{"{column}" = "category"}} if they are codes'
    ),
    "findings.measures": N_(
        "cells such as '{cell}' are numbers with a unit, or times: a category, without their order. Bring them as "
        'plain numbers, or set data.kinds = {{"{column}" = "category"}} if they are names'
    ),
    "findings.case_variants": N_(
        "{n} of the levels are written in upper and lower case, such as {levels}: each is a level of its own"
    ),
    "findings.points_before_three": N_(
        "every point stands before three digits: '{cell}' is read as {cell}; if it is {other}, give --decimal , "
        "(data.decimal; decimal=, with a request)"
    ),
    "findings.marks": N_(
        "numbers are read with '{decimal}' as the decimal mark, as '{cell}' in column '{column}' says"
    ),
    "findings.marks_with_thousands": N_(
        "numbers are read with '{decimal}' as the decimal mark and '{thousands}' between thousands, as '{cell}' in "
        "column '{column}' says"
    ),
    "findings.no_dates": N_("{n:,} cells are no dates and are taken as missing, the first '{cell}' in {place}"),
    "findings.words": N_("{n:,} cells are no numbers and are taken as missing, the first '{cell}' in {place}"),
    "findings.zeros": N_(
        "{n:,} cells begin with a zero, the first '{cell}' in {place}; they are read as numbers. If these are codes, "
        'set data.kinds = {{"{column}" = "category"}}'
    ),
    "findings.category_of_numbers": N_(
        "{n:,} of {rows:,} cells are no numbers ({words}), the first in {place}: a category, not a number. If they "
        "mean no value, add them to data.missing_markers"
    ),
    "findings.decorated": N_(
        "{n:,} cells such as '{cell}' are {what}: left out; bring them as plain numbers, or set data.kinds = "
        '{{"{column}" = "category"}} if they are names'
    ),
    "findings.currency": N_("amounts with a currency sign"),
    "findings.percentages": N_("percentages"),
    "findings.brackets": N_("numbers in brackets, as accounts write what is negative"),
    "findings.merged_labels": N_("labels that differ only in case are one class: {merged:; }"),
    "findings.no_label": N_("{n:,} of {rows:,} rows have no label and are left out"),
    "findings.no_class": N_("label '{label}' ({n:,} rows) is none of the classes: left out"),
    "findings.other_question": N_(
        "labelled production rows that answer another question (target, columns, classes) are left out: {n:,}"
    ),
    "findings.labelled_added": N_("{n:,} labelled production rows added, {kept:,} of them kept for the gate"),
    "findings.same_ids": N_("{n:,} rows are not trained on: other rows of the same ids are judged on"),
    "findings.unnamed_column": N_("1 column without a name: ignored"),
    "findings.unnamed_columns": N_("{n} columns without a name: ignored"),
    "findings.spaces": N_("spaces around column names are left out"),
    "findings.delimiter": N_("the delimiter is {name}"),
    "findings.comma": N_("comma"),
    "findings.semicolon": N_("semicolon"),
    "findings.tab": N_("tab"),
    "findings.sheet": N_("of the {n} sheets with cells the first one, “{sheet}”, was read"),
    "findings.bar": N_("bar"),
    "findings.header_with_hash": N_("the header begins with '#'"),
    "findings.comment_line": N_("1 comment line at the top: skipped"),
    "findings.comment_lines": N_("{n} comment lines at the top: skipped"),
    "findings.few_ids": N_("only {n} different ids in {rows:,} rows: they are not used to keep rows together"),
    "findings.repeated_ids": N_("{n:,} rows repeat an id that came before; rows of one id stay in one part"),
    "findings.opposite_labels": N_("{n:,} ids come with more than one label: which one is right?"),
    "findings.part_lacks_classes": N_("the {part} part has {n} of {all} classes"),
    "findings.unknown_columns": N_("columns that the model does not know are ignored: {columns}"),
    "findings.uncommon": N_("{n:,} rows have a value that was not common in training: {values}"),
}
