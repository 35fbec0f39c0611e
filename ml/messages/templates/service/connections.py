"""What others answer: an address of the network, MLflow, another process."""

from ml.messages.message import N_

TEMPLATES = {
    "connections.at": "{address} {what}",
    "connections.no_http": N_("is not an http(s) address"),
    "connections.status": N_("answers {status} to {method}"),
    "connections.status_saying": N_("answers {status} to {method}: {answer}"),
    "connections.cannot_be_asked": N_("cannot be asked: {error}"),
    "connections.silent": N_("does not answer {method}: {error}"),
    "connections.no_json": N_("answers with what is no JSON: {content}"),
    "connections.mlflow_refuses": N_("MLflow at {address}: {error}"),
    "connections.mlflow_silent": N_("MLflow at {address} does not answer: {error}"),
    "connections.mlflow_status": N_("MLflow at {address} answers {status} to {call}"),
    "connections.no_mlflow": N_("{address} does not answer as MLflow does to {call}"),
    "connections.another_process": N_("another process is at '{name}' and does not finish; try again when it is done"),
    "connections.no_model": N_("no model version is loaded"),
    "connections.out_refused": N_("version {version} is the champion, and this service cannot take it over: {reason}"),
    "connections.out_behind": N_("version {version} is the champion, and this service serves version {seen:, }"),
    "connections.out_hash_key": N_(
        "the key that log.hash_columns are hashed with is another than that of {name}: give every service the same "
        "one, by log.hash_key_file or a copy of var/secrets/log_hash_key"
    ),
    "connections.not_registered_yet": N_("this service is not registered among the others yet"),
    "connections.hash_key_not_compared": N_(
        "the key that log.hash_columns are hashed with has not been compared with that of the other services yet"
    ),
    "connections.clock_leapt": N_(
        "The machine's clock has leapt by {days:+.0f} days. For a day of running nothing is deleted or decided by it; "
        "if it stays, it is taken for right. Set it right if it is wrong."
    ),
    "connections.storage_silent": N_(
        "the storage {address} (storage.url) does not answer: {error}; once it does, the same call goes on where it was"
    ),
    "connections.storage_refuses": N_(
        "the storage {address} (storage.url) refuses: {error}; check the bucket and the keys in the environment"
    ),
    "connections.storage_no_bucket": N_("{address} (storage.url): there is no bucket '{bucket}'; make it first"),
    "connections.storage_no_set": N_(
        "{name}: expected a list of files as this version of Refit writes it, got: {error}"
    ),
    "connections.storage_altered": N_(
        "{name}, from which {file} is fetched, has another content (SHA-256 {got}…) than its name says and was not "
        "used; delete it, and do again the stage that made it (--force)"
    ),
    "connections.storage_object_gone": N_(
        "{name}, from which {file} is fetched, is not there; put it back from a backup, or do again the stage that "
        "made it (--force)"
    ),
    "connections.storage_outside": N_("{name} lists the file {file}, which is outside of the home; it was not fetched"),
    "connections.prediction_log": N_("prediction log: {error}"),
}
