"""The sentences that the library writes, as templates: `{name}` stands for what was filled in.

Each is followed to the letter from the module that is named above it, and a test reads those modules: a sentence
that is new or worded anew there fails until it is here, with its translation. What the names mean:
`reasons` is a list joined by "; ", and `reason`, `error` and `now` are sentences again; everything else is a value.
"""

from __future__ import annotations


def N_(text: str) -> str:
    """Mark for the catalogue of translations; the text itself stays as it is."""
    return text


# ml/gate/rules.py, ml/gate/evidence.py: why a version was promoted or refused.
VERDICTS = (
    N_("Promoted: the first champion; log-loss beats the class shares by {gain} ({sure} sure of {lower}) on {n} rows."),
    N_(
        "Promoted: better than the champion on {n} rows: log-loss {loss} against {old}, lower by {gain} ({sure} "
        "sure of {lower})."
    ),
    N_(
        "Promoted: the champion is degraded, and the challenger is not worse by more than {margin} on {n} rows "
        "(log-loss gain {gain}, {sure} sure of {lower})."
    ),
    N_("Promoted: the policy is 'always', although {reasons}."),
    N_("Promoted: the policy is 'always'."),
    N_("Not promoted: the policy is 'never'."),
    N_("Not promoted: {reasons}."),
    N_("cannot be served: {reason}"),
    N_("too slow: {ms} ms a row, allowed {allowed} ms"),
    N_("too large: {mb} MB, allowed {allowed} MB"),
    N_("no labelled rows to judge on"),
    N_(
        "not shown to know more than the class shares: log-loss better by {gain}, with confidence only {lower} "
        "(asked for more than {asked}; {n} rows are few)"
    ),
    N_(
        "not shown to know more than the class shares: log-loss better by {gain}, with confidence only {lower} "
        "(asked for more than {asked})"
    ),
    N_("too few rows to judge: {n}, at least {needed} are needed; the champion stays"),
    N_(
        "may be worse than the degraded champion: log-loss gain {gain}, with confidence only {lower} (asked for "
        "more than {asked})"
    ),
    N_("worse than the champion: log-loss higher by {loss}"),
    N_(
        "indistinguishable from the champion on {n} rows: log-loss gain {gain}, with confidence between {lower} "
        "and {upper}"
    ),
    N_("accuracy is lower by {points} points"),
    N_(
        "forgets: log-loss on the {n} golden rows is worse by {loss} (at least {lower} with confidence; allowed "
        "{allowed})"
    ),
    N_("worse where {where} ({n} rows): log-loss higher by {loss}"),
    N_("worse in {n} more slices"),
    N_("{n} rows that the champion was trained on, or others of their ids, are left out"),
    N_("{n} of {all} rows may have been seen by the champion in training"),
    N_("the champion, version {version}, cannot be loaded: {error}"),
    N_("cannot be compared with the champion: {why}"),
    N_("columns gone: {names}"),
    N_("columns new: {names}"),
    N_("classes gone: {names}"),
    N_("classes new: {names}"),
    N_("the champion knows the classes {old}, the data has {new}"),
    N_("the champion cannot score these rows: {error}"),
)

# ml/registry, ml/pipeline/stages/release.py, ml/release/bake.py: what the ledger says of a move.
MOVES = (
    N_("Started because: {reason}."),
    N_("rolled back to version {version}: {reason}"),
    N_("{reason} (alias found set already)"),
    N_("interrupted before the alias moved, or after it was put back"),
    N_("version {version} was judged against version {old}, but by now {now} serves: run the evaluation again"),
    N_("version {version} was judged against no version, but by now {now} serves: run the evaluation again"),
    N_("version {version} is quarantined ({reason}); promote it with force to lift that"),
    N_("{url} refused version {version}: {error}"),
    N_("no reason given"),
    N_("{url} does not answer after {seconds} s: version {version} was not taken over"),
    N_("{url} reports {seen} and workers {workers} after {seconds} s: version {version} was not taken over"),
    N_(
        "On {n} labelled rows that version {version} answered it is right on {accuracy}, and version {old} would "
        "have been on {before}: worse by at least {worse} ({sure} sure)"
    ),
    N_("version {version} has no tag {tag}: it was not registered by Refit"),
    N_("version {version}: its artifact is not there any more: {error}"),
)

# ml/release/shadow_slot.py, ml/release/shadow_test.py, ml/drift/verdict.py: a challenger in shadow.
SHADOW = (
    N_("Version {version} waits in shadow: {n} of {needed} labelled rows have come."),
    N_(
        "Version {version} waits in shadow: {n} of {needed} labelled rows have come; it is right on {accuracy} of "
        "them, and version {old}, which answered them, on {before}."
    ),
    N_("Judged in shadow, on rows that version {version} answered."),
    N_("version {version} waits in shadow already and is judged first"),
    N_("version {version} waits in shadow and is judged first"),
    N_("version {version} takes its place in shadow: the champion has degraded since"),
    N_("version {version} serves by now: judged against that one instead"),
    N_("alias found set already, while it waited in shadow"),
    N_("only {n} of {needed} labelled rows came in the {days} days that it waited in shadow"),
    N_("it cannot be judged in shadow: {error}"),
    N_("it was not taken over: {error}"),
    N_("it has other columns or classes than version {version}, whose answers are logged"),
    N_("version {version} is quarantined ({reason})"),
)

# ml/drift: what a check found, and why it asks for a retraining or not.
DRIFT = (
    N_("nothing that matters has changed since the champion was judged"),
    N_("no model has been promoted yet"),
    N_("{n} new predictions of version {version}, {needed} are needed"),
    N_("column '{column}': the distribution changed (distance {distance})"),
    N_("column '{column}': the distribution changed (share moved {share})"),
    N_("the predictions: the distribution changed (distance {distance})"),
    N_("the predictions: the distribution changed (share moved {share})"),
    N_("column '{column}': missing values went from {before} to {now}"),
    N_("column '{column}': {share} of the rows have a value never seen before"),
    N_("column '{column}': {reason}"),
    N_("the reference has no such column"),
    N_("the column is not in the data any more"),
    N_("{share} of the values are not numbers, for example {example}"),
    N_("values are missing that were there: the feed is broken"),
    N_("every value is {value}, which {share} of the reference rows had: the feed is stuck"),
    N_("{n} labels are none of the model's classes and were left out"),
    N_("accuracy fell from {before} to {now} on {n} labelled rows (by at least {least}, {sure} sure)"),
    N_("log-loss rose from {before} to {now} on {n} labelled rows (by at least {least}, {sure} sure)"),
    N_("estimate, not a measurement: from the scores alone, accuracy fell by at least {least}"),
    N_("no retraining on broken data: mend the feed first"),
    N_("no reason to retrain"),
    N_("too little drifted to retrain for"),
    N_("the inputs drifted, but labels are coming and show no loss of performance so far"),
    N_("seen in {n} of the {needed} windows that confirm it: waiting for the next"),
    N_("the drop in labelled performance is confirmed, but {reason}"),
    N_("the drop in labelled performance is confirmed"),
    N_("the drop in labelled performance is large, but {reason}"),
    N_("the drop in labelled performance is large"),
    N_("the gain of a newer model is confirmed, but {reason}"),
    N_("the gain of a newer model is confirmed"),
    N_("the gain of a newer model is large, but {reason}"),
    N_("the gain of a newer model is large"),
    N_("the inputs drifted, but labels are coming and show no loss, and no newer model would do better"),
    N_(
        "a quick model of newer rows does better on labels that came after them: log-loss lower by {gain} over "
        "{n} rows (by at least {least}, {sure} sure)"
    ),
    N_("the budget of one retraining in {n} windows is spent for {more} more"),
    N_("the gain of a newer model is small: it waits until the budget of retrainings is full"),
    N_("drift persists and enough labelled rows have come to learn it, but {reason}"),
    N_("drift persists and enough labelled rows have come to learn it"),
    N_("drift persists and labels do not come, but {reason}"),
    N_("drift persists and labels do not come"),
    N_(
        "the last {n} challengers were refused: the breaker is open, a person should look (it closes by itself "
        "after {hours} h, or with the next promotion)"
    ),
    N_("a retraining that was asked for is still under way"),
    N_("the last retraining ended {ago} s ago and the cool-down is {seconds} s"),
)

# ml/schema/rows.py, ml/schema/warnings.py, ml/schema/validation.py: what is wrong or unusual in a row.
ROWS = (
    N_("{value} is outside of {low} to {high}, the range in training"),
    N_("'{value}' was not seen in training"),
    N_("'{value}' is no number: taken as missing"),
    N_("a finite number or null"),
    N_("a text or null"),
    N_("an object of column: value"),
    N_("a number, or null where it is missing"),
    N_("a category, or null where it is missing"),
    N_("a number"),
    N_("no such column"),
    N_("no such column in the row"),
    N_("an unknown column"),
    N_("one of the model's columns"),
    N_("one of the model's columns (did you mean {columns}?)"),
    N_("columns of one length"),
    N_("lengths {lengths}"),
    N_("the text '{value}'"),
    N_("the number {value}"),
    N_("the boolean {value}"),
    N_("a number too large for a double"),
    N_("null"),
    N_("one of {values}"),
)

# ml/data/sources (csv_reader, csv_header, csv_diagnosis, decompress), serving/scoring/upload.py: what is wrong with an
# uploaded file.
FILES = (
    N_("Rows do not fit the model"),
    N_("The table does not fit"),
    N_("{file}, line {line}, column '{column}': {error}"),
    N_("{file}, line {line}: {error}"),
    N_("{file}, column '{column}': {error}"),
    N_("the file is empty"),
    N_("the file is empty, unpacked"),
    N_("the file has no header and no rows"),
    N_("the file has a header but no rows"),
    N_("the file has columns but no rows"),
    N_("the content is {found}, but the name says {said}; rename it or pack it again"),
    N_("the content is Parquet; give the file a name that ends in .parquet"),
    N_("expected a CSV table, got a file that is packed twice"),
    N_("expected a CSV table, got JSON"),
    N_("expected a CSV table, got HTML or XML"),
    N_("expected a CSV table, got {kind}"),
    N_("a ZIP archive or an Excel workbook; save the one table in it as CSV"),
    N_("an empty ZIP archive"),
    N_("a PNG image"),
    N_("a JPEG image"),
    N_("a GIF image"),
    N_("a PDF document"),
    N_("an old Excel or Word document; save the table as CSV"),
    N_("an HDF5 file"),
    N_("an Arrow file; save it as Parquet"),
    N_("an SQLite database; use the sql source with a query"),
    N_("a 7z archive"),
    N_("a RAR archive"),
    N_("a program"),
    N_("not packed"),
    N_("larger than the limit of {limit} bytes, unpacked; raise data.max_bytes or send less"),
    N_("texts of more than {limit} bytes, unpacked"),
    N_("expected plain values, got lists or groups of texts"),
    N_("a cell over data.max_cell_chars"),
    N_("{size} bytes, unpacked, are over the limit of {limit}"),
    N_("broken compressed file: {error}"),
    N_("not {encoding} text: {error}"),
    N_("not a readable Parquet file: {error}"),
    N_("the header has NUL bytes: not a text file"),
    N_("{n} columns are more than the limit of {limit} (data.max_columns)"),
    N_("{n} columns are over the limit of {limit}"),
    N_("two columns of one name: {columns}; give each its own name, or add the header if the file has none"),
    N_("two columns of one name: {columns}; give each its own name"),
    N_("two columns of one name"),
    N_("expected a header with column names, got numbers ('{value}' …); add a header line"),
    N_("the header names no column"),
    N_("the header cannot be read: {error}"),
    N_("the header comes a second time; remove this line"),
    N_("a cell of {size} bytes is over the limit of {limit} (data.max_cell_chars)"),
    N_("a NUL byte: this is not a text file, or it is damaged"),
    N_('byte {byte} is no UTF-8; save the file as UTF-8, or set data.encoding (often "cp1252" or "latin-1")'),
    N_("expected {n} fields as in the header, got {got}"),
    N_("no end of this record in sight: is a quote not closed?"),
    N_("the quotes of the record that begins here do not match ({error})"),
    N_("expected numbers, but every row has a word for missing"),
    N_("the model needs {n} columns and the table lacks {columns}; it has {found}"),
    N_("columns that the model does not know are ignored: {columns}"),
    N_("expected an id in every row, got an empty cell"),
    N_("the table cannot be read: {error}"),
    N_("expected column names in UTF-8, got other bytes"),
)

# serving: why a request is not answered.
SERVICE = (
    N_("there is no model to answer with: no version has been promoted yet"),
    N_("there is no model to answer with: version {version} was refused: {error}"),
    N_("the prediction log cannot take the answer: {error}"),
    N_("the label cannot be written: {error}"),
    N_("the disk is full: send it again when there is room"),
    N_("{error}: nothing was lost; try again in a moment"),
    N_("a fault of the service, which is in its log; the request may be sent again"),
    N_("rows[{row}]: the model gives no finite probability for it; nothing was answered"),
    N_("Bad Request"),
    N_("Not Found"),
    N_("Method Not Allowed"),
    N_("Service Unavailable"),
    N_("Unprocessable Entity"),
    N_("Unprocessable Content"),
    N_("Request Entity Too Large"),
    N_("Content Too Large"),
    N_("Internal Server Error"),
)

# ml/pipeline/model_card.py: the model card.
CARD = (
    N_("**Verdict.** {reason}"),
    N_("Model"),
    N_("Data"),
    N_("How good it is"),
    N_(
        "The calibration error is without its upward bias. p-value of “the probabilities are true”: {p}; a small one "
        "speaks against them."
    ),
    N_("Where it is weakest"),
    N_("What it goes by"),
    N_("Columns"),
    N_("How it was chosen"),
    N_("Limits"),
    N_(
        "It was measured on held-out rows of the data above, and says nothing about others. Inputs outside of "
        "the ranges and levels below are scored and flagged. Reasons for single predictions are associations in "
        "the data, not causes. A column that stands for a protected group may be stood for by others."
    ),
    N_("family: {family}, seed {seed}"),
    N_("parameters learned: {n}"),
    N_("calibration: {kind}; label: the most probable class, chosen for {objective}"),
    N_("calibration: {kind}; label: threshold {threshold}, chosen for {objective}"),
    N_("settings: `{settings}`"),
    N_("snapshot `{snapshot}`, {rows} rows, {columns} columns"),
    N_("parts: {parts}"),
    N_("classes: {classes}"),
    N_("time: {first} to {last}"),
    N_("labelled production rows: {n}"),
    N_("On {n} test rows, with {confidence} bootstrap intervals."),
    N_("metric"),
    N_("value"),
    N_("column"),
    N_("rows with"),
    N_("rows"),
    N_("importance"),
    N_("kind"),
    N_("category"),
    N_("number"),
    N_("seen in training"),
    N_("missing"),
    N_("{value} ({low} to {high})"),
    N_("{low} to {high}"),
    N_("{levels} and {n} more"),
    N_("No slice has enough rows to be measured by itself."),
    N_("Not measured: there are no test rows, no background rows, or very many columns."),
    N_(
        "How far each column moves the score of a test row from the average one: mean absolute Shapley value, in "
        "log-odds. It tells what the model uses, not what causes the outcome."
    ),
    N_("… and {n} more, in `metrics.json`."),
    N_("… and {n} more, in `schema.json`."),
    N_(
        "{n} trials ({done} complete) by held-out log-loss: the winner {best}, the best untuned baseline "
        "{baseline}. The test rows were not used to choose."
    ),
    N_(
        "{n} trials ({done} complete) by held-out log-loss: the winner {best}, no untuned baseline was complete. "
        "The test rows were not used to choose."
    ),
)

# ml/evaluation/slices.py, ml/gate/evidence.py: where a slice lies.
PLACES = (
    N_("{column} is missing"),
    N_("{column} is {low} to {high}"),
    N_("{column} is {value}"),
)
