"""What is wrong with a request, and why one is not answered."""

from ml.messages.message import N_

TEMPLATES = {
    "requests.no_model_yet": N_("there is no model to answer with: no version has been promoted yet"),
    "requests.model_refused": N_("there is no model to answer with: version {version} was refused: {error}"),
    "requests.log_unavailable": N_("the prediction log cannot take the answer: {error}"),
    "requests.backlog_full": N_("the database has not taken more than {limit} bytes of it"),
    "requests.label_not_written": N_("the label cannot be written: {error}"),
    "requests.labels_not_written": N_("the labels cannot be written: {error}"),
    "requests.nothing_lost": N_("{error}: nothing was lost; try again in a moment"),
    "requests.database_newer": N_(
        "the database was written by a newer version of Refit (prediction log of layout {found}, this version knows"
        " {known}); start that version, or name another database in database_url"
    ),
    "requests.archive_silent": N_(
        "the archive of predictions does not answer: {name}: {error}; see log.archive_url, it is tried again later"
    ),
    "requests.database_silent": N_("the database does not answer: {error}; it is tried again later"),
    "requests.disk_full": N_("the disk is full: send it again when there is room"),
    "requests.partly_logged": N_(
        "{why}. {n:,} of {rows:,} rows are in the prediction log, under ids that were not answered: the answer grew "
        "beyond what its first rows foretold, or the log took no more. Send the whole table again."
    ),
    "requests.tables_waiting": N_("the database has not taken the rows of earlier tables; send it again in a while"),
    "requests.fault": N_("a fault of the service, which is in its log; the request may be sent again"),
    "requests.no_champion": N_("no version is the champion yet: name one with --version, or run python -m ml pipeline"),
    "requests.no_scores": N_("this folder has other files in it: name a new one"),
    "requests.other_scores": N_(
        "{name} was scored into this folder by version {version}, with the columns [{columns:, }]: another table, "
        "version or choice of columns needs a folder of its own"
    ),
    "requests.scorer_ended": N_(
        "a process that scored was ended from outside, for want of memory perhaps: the same command goes on where it "
        "was"
    ),
    "requests.no_finite_probability": N_(
        "rows[{row}]: the model gives no finite probability for it; nothing was answered"
    ),
    "requests.changes": N_("expected changes=true or changes=false, got '{got}'"),
    "requests.too_many_to_explain": N_("expected at most {limit} rows to explain in one request, got {got}"),
    "requests.no_background": N_("version {version} carries no background rows to explain against"),
    "requests.cannot_explain": N_("version {version} cannot explain: {error}"),
    "requests.key_missing": N_(
        "expected an API key in the header Authorization: Bearer KEY or X-API-Key (a browser: as password)"
    ),
    "requests.keys_twice": N_("expected one API key, got several"),
    "requests.key_unknown": N_("the API key is not known"),
    "requests.key_scope": N_("expected a key with the scope {scope}, got one with {scopes:, }"),
    "requests.too_many": N_("expected at most {rate:g} requests a second; try again in {wait:.1f} s"),
    "requests.foreign_host": N_(
        "the Host header names another machine; names that may come are listed in serving.allowed_hosts"
    ),
    "requests.foreign_origin": N_("a page of another origin may not send this"),
    "requests.foreign_site": N_("a page of another site may not send this"),
    "requests.one_file": N_("expected one file in the form's field 'file', got {n}"),
    "requests.content_type": N_("expected Content-Type {expected}, got {got}"),
    "requests.content_type_json": N_("expected Content-Type {expected}, got {got}; files go to /predict/file"),
    "requests.content_encoding": N_("expected Content-Encoding gzip or none, got {got}"),
    "requests.format": N_("expected format=csv, parquet or json, got '{got}'"),
    "requests.parameter": N_("expected {name}={one} or {name}={other}, got '{got}'"),
    "requests.accept": N_("expected Accept to allow one of {kinds:, }, got {got}"),
    "requests.too_many_labels": N_("expected at most {limit} labels in one request, got {got}"),
    "requests.too_many_actions": N_("expected at most {limit} actions in one request, got {got}"),
    "requests.feedback_form": N_("expected {expected}, a list of them, or {wrapped}"),
    "requests.feedback_no_columns": N_("line 1: expected the columns {columns: and }, got none"),
    "requests.feedback_columns": N_("line {line}: expected the columns {columns: and }, got {got}"),
    "requests.no_truth": N_("no row has a label in the column {column} yet"),
    "requests.no_utf8_csv": N_("expected CSV in UTF-8, got something else: {error}"),
    "requests.no_gzip": N_("expected a gzip-packed body: {error}"),
    "requests.empty": N_("expected a JSON body, got an empty one"),
    "requests.no_json": N_("expected JSON in UTF-8, got something else: {error}"),
    "requests.too_deep": N_("expected JSON nested a few levels deep, got hundreds of levels"),
    "requests.key_twice": N_("expected each key once in an object, got '{key}' twice"),
    "requests.rows_form": N_("expected {expected}, got {got}"),
    "requests.unknown_key": N_("expected the keys {keys: and }, got '{got}' too"),
    "requests.too_many_rows": N_(
        "expected at most {limit} rows in one request, got {got}; send a file to /predict/file"
    ),
    "requests.a_list_of": N_("a list of {n}"),
    "requests.ids": N_("expected {key} to be a list as long as rows ({n}), got {got}"),
    "requests.object_with_keys": N_("an object with the keys {keys:, }"),
    "requests.empty_object": N_("an empty object"),
    "requests.a_text": N_("a text"),
    "requests.too_many_values": N_(
        "expected at most {limit} values in one JSON body, got about {got}; send a file to /predict/file"
    ),
    "requests.too_many_file_rows": N_("expected at most {limit} rows in one request, got {got}; send it in parts"),
    "requests.too_many_cells": N_(
        "expected at most {limit} cells in one request, got {rows} rows of {columns} columns; send it in parts"
    ),
    "requests.too_many_tensor_cells": N_(
        "expected at most {limit} cells in one request, got {rows} rows of {columns} columns in and out; send it in "
        "parts, or as a file to /predict/file"
    ),
    "requests.too_many_label_lines": N_("expected at most {limit} labels in one request, got about {got}"),
    "requests.choose_file": N_("Choose a file first."),
    "requests.model": N_("expected the model {expected}, got '{got}'"),
    "requests.version": N_("version {got} is not in service; version {serves} is"),
    "requests.body_too_large": N_("the body is larger than {limit} bytes, unpacked"),
}
