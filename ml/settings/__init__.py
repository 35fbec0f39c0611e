"""Settings: what can be set (`sections`), and where it is read from (`loading`).

`refit.toml` comes first, `var/settings.json` over it, `REFIT_*` of the environment over both.
`var/settings.json` is what `./run_pipeline.sh --data …` chose; it stays until `--data default`.

A nested value is `REFIT_<SECTION>__<KEY>`, for example `REFIT_DATA__TARGET=Churn`; a top-level one is
`REFIT_<KEY>`. Lists are comma-separated or JSON, mappings are JSON. An unknown key is an error that
names it. Only entry points (command line, DAG tasks, gunicorn's configuration) call `load()`;
everything else is handed a `Settings`.

| module | what is in it |
|---|---|
| `addresses` | Where people open what runs: links to MLflow's pages |
| `faults` | What is wrong with settings, for people: which place says it, what was expected, what came |
| `loading` | Where settings come from: `refit.toml`, then `var/settings.json`, then `REFIT_*` |
| `options` | What a run may be told, declared once for the four places that ask |
| `sections` | Everything that can be set: each value once, with its default, type and unit |
| `toml` | refit.toml from the declarations in `ml.settings`: `python -m ml.settings.toml > refit.toml` |
"""

from ml.settings.loading import chosen_file, from_environment, from_values, load, to_values
from ml.settings.sections import (
    CHECKOUT,
    Customers,
    Data,
    Drift,
    Gate,
    Log,
    Registry,
    Retrain,
    Schedule,
    Section,
    Serving,
    Settings,
    Storage,
    Synthetic,
    Train,
    Tune,
)

__all__ = [
    "CHECKOUT",
    "Customers",
    "Data",
    "Drift",
    "Gate",
    "Log",
    "Registry",
    "Retrain",
    "Schedule",
    "Section",
    "Serving",
    "Settings",
    "Storage",
    "Synthetic",
    "Train",
    "Tune",
    "chosen_file",
    "from_environment",
    "from_values",
    "load",
    "to_values",
]
