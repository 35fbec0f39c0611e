"""What is wrong with a request of MLflow's protocol (in the words of its own server) or the Open Inference Protocol."""

from ml.messages.message import N_

TEMPLATES = {
    "protocols.invalid": N_("Invalid input. {what}"),
    "protocols.signature": N_("Data is not compatible with model signature. {what}"),
    "protocols.schema": N_("Failed to enforce schema of data: {what}"),
    "protocols.no_table": N_("Failed to parse input as a table: {what}"),
    "protocols.no_json": N_("Ensure that input is a valid JSON formatted string. Error: '{error}'"),
    "protocols.one_field": N_(
        "The input must be a JSON dictionary with exactly one of the input fields {fields}. Received {got}."
    ),
    "protocols.dictionary": N_("dictionary with input fields: {fields}"),
    "protocols.a_list": N_("a list"),
    "protocols.another_type": N_("another type"),
    "protocols.missing_inputs": N_("Model is missing inputs {names}."),
    "protocols.missing_inputs_but": N_("Model is missing inputs {names}. Note that there were extra inputs: {extra}."),
    "protocols.rows_without_names": N_("Model is missing inputs {names}; rows without names need {n} values"),
    "protocols.lengths": N_("The length of values for each input/column name are not the same"),
    "protocols.split_type": N_("Dataframe split format must be a dictionary. Got type {type}."),
    "protocols.split_fields": N_(
        "Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got {got}."
    ),
    "protocols.split_rows": N_(
        "Provided dataframe_split field is not a valid dataframe representation in 'split' format. Error: 'expected "
        "data to be rows of {n} values'"
    ),
    "protocols.split_doubles": N_("Provided dataframe_split field names these columns more than once: {columns}."),
    "protocols.split_index": N_("Provided dataframe_split field has {n} rows; expected an index as long, got {got}."),
    "protocols.values": N_("{n} values"),
    "protocols.records_type": N_("Dataframe records format must be a list of records. Got type {type}."),
    "protocols.records": N_(
        "Provided dataframe_records field is not a valid dataframe representation in 'records' format."
    ),
    "protocols.tensors_type": N_("Failed to parse input data. Got type {type}."),
    "protocols.only_utf8": N_("The scoring server only supports UTF-8"),
    "protocols.content_type_parameters": N_("Unrecognized content type parameters: {names:, }."),
    "protocols.content_type": N_(
        "This predictor only supports the following content types: Types: {kinds}. Got '{got}'."
    ),
    "protocols.input": N_("input '{name}': {what}"),
    "protocols.expected": N_("expected {expected}, got {got}"),
    "protocols.shape": N_("expected the shape [n] or [n, 1], got {got}"),
    "protocols.values_of_shape": N_("expected {n} values as its shape says, got {got}"),
    "protocols.values_of_type": N_("expected {datatype} values, got {got}"),
    "protocols.bytes_of_type": N_("expected {size} bytes of {datatype}, got {got}"),
    "protocols.texts": N_("expected {n} texts, each with its length before it, got other bytes"),
    "protocols.no_utf8": N_("expected UTF-8 text in value {n}"),
    "protocols.data": N_("expected the data of an input to be a list, got {got}"),
    "protocols.header_length": N_("expected {header} to be at most the body's {size} bytes, got {got}"),
    "protocols.no_object": N_("expected a JSON object, got something else: {error}"),
    "protocols.other_json": N_("expected a JSON object, got another JSON value"),
    "protocols.inputs": N_('expected "inputs", a list of tensors'),
    "protocols.twice": N_("it came twice"),
    "protocols.binary_size": N_("expected {size} bytes of tensor data after the JSON, got {got}"),
    "protocols.one_length": N_("expected inputs of one length, got {lengths:, }"),
    "protocols.errors": "{errors:; }",
    "protocols.name": N_("expected every input to have a name, got {got}"),
    "protocols.datatype": N_("expected a datatype of {kinds:, }, got {got}"),
    "protocols.binary_data_size": N_("expected binary_data_size to be a number of bytes, got {got}"),
    "protocols.numeric": N_("expected a numeric datatype such as FP64, got BYTES"),
    "protocols.id": N_("expected an id that can be answered, got {got}"),
    "protocols.outputs": N_('expected "outputs" to be a list of objects'),
    "protocols.output": N_("expected an output of {kinds:, }, got '{got}'"),
}
