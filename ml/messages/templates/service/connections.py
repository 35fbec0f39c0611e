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
    "connections.clock_leapt": N_(
        "The machine's clock has leapt by {days:+.0f} days. For a day of running nothing is deleted or decided by it; "
        "if it stays, it is taken for right. Set it right if it is wrong."
    ),
    "connections.prediction_log": N_("prediction log: {error}"),
}
