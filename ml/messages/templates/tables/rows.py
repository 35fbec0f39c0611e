"""What is wrong or unusual in a row."""

from ml.messages.message import N_

TEMPLATES = {
    "rows.do_not_fit": N_("Rows do not fit the model"),
    "rows.more": N_("{error} (and {more} more)"),
    "rows.too_many_words": N_(
        "{error}; up to {share:.0%} of the cells of a number column may be words, here {words} of {cells} are"
    ),
    "rows.expected": N_("expected {expected}, got {got}"),
    "rows.finite_number": N_("a finite number or null"),
    "rows.text": N_("a text or null"),
    "rows.object": N_("an object of column: value"),
    "rows.number_or_missing": N_("a number, or null where it is missing"),
    "rows.date_or_missing": N_("a date as text, such as 2026-11-27, or null where it is missing"),
    "rows.a_date": N_("a date such as 2026-11-27"),
    "rows.date": N_("a date such as 2026-11-27, or null"),
    "rows.category_or_missing": N_("a category, or null where it is missing"),
    "rows.number": N_("a number"),
    "rows.no_such_column": N_("no such column in the row"),
    "rows.model_column": N_("one of the model's columns"),
    "rows.model_column_near": N_("one of the model's columns (did you mean {columns: or }?)"),
    "rows.unknown_column": N_("an unknown column"),
    "rows.printable": N_("a printable text of 1 to {limit} characters"),
    "rows.one_of": N_("one of {values}"),
    "rows.propensity": N_("a number above 0, at most 1"),
    "rows.only_keys": N_("the keys {names: and } only"),
    "rows.another_key": N_("another key"),
    "rows.the_text": N_("the text '{value}'"),
    "rows.the_number": N_("the number {value}"),
    "rows.the_boolean": N_("the boolean {value}"),
    "rows.too_large": N_("a number too large for a double"),
    "rows.an_object": N_("an object"),
    "rows.a_list": N_("a list"),
    "rows.null": N_("null"),
    "rows.of_type": N_("a value of the type {type}"),
    "rows.out_of_range": N_("{value:.9g} is outside of {low:.9g} to {high:.9g}, the range in training"),
    "rows.unseen": N_("'{value}' was not seen in training"),
    "rows.not_a_number": N_("'{value}' is no number: taken as missing"),
    "rows.doubtful_marks": N_(
        "a number that can be read in one way: {one} with the decimal mark '.', {other} with ',' (say decimal=. or "
        "decimal=,)"
    ),
    "rows.written_here": N_("a number as this page writes it: {ways: or }"),
    "rows.one_reading": N_("a number that can be read in one way: {ways: or }"),
}
