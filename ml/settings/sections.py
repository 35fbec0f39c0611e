"""Everything that can be set: each value once, with its default, type and unit.

The comment beside a field is its comment in `refit.toml` too (`ml.settings.toml`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

CHECKOUT = Path(__file__).resolve().parents[2]
ENGINE_ADDRESSES = ("tcp://", "tls://", "ws://", "wss://")  # Dask's protocols
MAX_ACTION_CHARS = 100  # of an action's name; our choice


Source = Literal["synthetic", "customers", "file", "sql"]  # as `ml.data.sources.registry` has them


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: immutable, and a key that is not declared is an error."""


class Data(Section, frozen=True):
    """Where rows come from and what their columns mean."""

    source: Source = "synthetic"
    path: str = ""  # file: local path or fsspec URL
    url: str = ""  # sql: SQLAlchemy URL
    query: str = ""  # sql: SELECT …
    target: str = "target"  # the column to predict
    positive_label: str = ""  # binary only; empty: the rarer class
    id_columns: tuple[str, ...] = ()  # not used as input; rows of one id stay in one part
    time_column: str = ""  # not used as input; orders the rows for the split
    time_format: str = ""  # strptime format of time_column; empty: ISO 8601, 26/11/2026 or a number
    exclude: tuple[str, ...] = ()  # columns that are not used
    weight_column: str = ""  # sample weights, at least 0
    missing_markers: tuple[str, ...] = (
        "",
        " ",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "<NA>",
        "nan",
        "NaN",
        "null",
        "NULL",
        "None",
        "\\N",  # MySQL, Hive
    )  # texts that mean an empty cell
    kinds: dict[str, str] = {}  # column → "number" | "category" | "date"; overrides what is inferred
    schema: Literal["keep", "infer"] = "keep"  # keep: a table must fit the champion's columns and classes
    delimiter: str = ""  # CSV; empty: found among , ; tab |
    encoding: str = ""  # CSV; empty: UTF-8, or UTF-16 with a byte order mark
    decimal: Literal["", ".", ","] = ""  # of numbers written as text: the decimal mark; empty: found in the table
    thousands: str = ""  # of numbers written as text: the mark between thousands; empty: found in the table
    dates: Literal["", "day-first", "month-first"] = ""  # how 03/04/2026 is read; empty: found in the table
    split: Literal["auto", "stratified", "time", "group"] = "auto"
    test_share: float = 0.2  # of all rows
    validation_share: float = 0.2  # of all rows
    seed: int = 42  # of the split
    recent_share: float = 0.3  # of the labelled production rows: the newest, kept for the gate, never trained on
    recent_max_rows: int = 500  # enough to judge on; holding out more would keep the newest rows from training
    recent_min_rows: int = 100  # at least so many are kept (as gate.min_rows), or none if they were more than half
    leaks: Literal["warn", "exclude", "reject"] = "warn"  # a column that alone separates the classes
    leak_auc: float = 0.999  # single-column ROC AUC from which a leak is suspected
    max_bad_share: float = 0.05  # words in a number column up to this share become missing, above it is an error
    max_bytes: int = 2_000_000_000  # of the unpacked table
    max_columns: int = 2_000  # a wider table is refused
    max_cell_chars: int = 100_000  # a longer cell is refused
    max_categories: int = 100  # a category column with more levels keeps the commonest, the rest is "other"
    max_classes: int = 100  # a target with more is refused
    min_class_rows: int = 5  # a class with fewer rows cannot be split, trained and judged

    def __post_init__(self) -> None:
        """Refuse what no run could begin with."""
        if not self.target.strip():
            raise ValueError("data.target is empty; it names the column to predict")
        if self.decimal and self.decimal == self.thousands:
            raise ValueError(f"data.decimal and data.thousands are both '{self.decimal}'; set data.decimal as well")


class Synthetic(Section, frozen=True):
    """Every parameter of scikit-learn's make_classification."""

    n_samples: int = 1_000  # rows
    n_features: int = 20  # columns
    n_informative: int = 2  # columns that carry the class
    n_redundant: int = 2  # mixtures of them
    n_repeated: int = 0  # copies of them
    n_classes: int = 2  # classes
    n_clusters_per_class: int = 2  # groups of rows within a class
    weights: tuple[float, ...] | None = None  # share of each class, for example [0.9, 0.1]; not set: equal
    flip_y: float = 0.01  # share of labels drawn anew at random
    class_sep: float = 1.0  # larger: easier
    hypercube: bool = True  # group centres on the corners of a cube; false: anywhere
    shift: float = 0.0  # added to every value
    scale: float = 1.0  # multiplies every value
    shuffle: bool = True  # rows and columns in random order
    random_state: int = 42  # seed


class Customers(Section, frozen=True):
    """The generated churn-like table: named mixed-type columns, missing values, an id, a time."""

    n_samples: int = 5_000  # rows
    random_state: int = 42  # seed


class Train(Section, frozen=True):
    """Fitting one candidate."""

    families: tuple[str, ...] = ("logistic", "mlp", "hist_gradient_boosting")  # model families that compete
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    seed: int = 42  # of splits and fits
    max_rows: int = 1_000_000  # of the training part, and of the validation part: of more, so many are drawn at random


class Tune(Section, frozen=True):
    """The hyperopt search, and what the winner's probabilities and labels are chosen for."""

    max_evals: int = 50  # with the families' baselines
    timeout_s: float = 0.0  # 0: no limit; trials that run then are finished
    engine: Literal["processes", "dask"] = "processes"  # of trials, large tables, replays: here, or a Dask cluster
    engine_address: str = ""  # of the cluster's scheduler: tcp://HOST:8786, or tls://; whoever can reach it runs code
    workers: int = 0  # processes; 0: one a core; 1: in this process; a Dask cluster has as many as it has
    outstanding: int = 6  # trials that a suggestion does not wait for, more on many Dask workers; decides the result
    seed: int = 42  # of the search
    small_rows: int = 5_000  # fewer training and validation rows: cross-validation; else the validation part
    folds: int = 5  # of the cross-validation
    max_rows: int = 100_000  # that a trial trains on; the winner is fitted on all
    blend: int = 4  # most members of a weighted blend of the best candidates; 1: the single best
    objective: Literal["auto", "accuracy", "balanced_accuracy", "f1", "cost"] = "auto"  # of the threshold
    costs: tuple[tuple[float, ...], ...] = ()  # costs[true class][answered class]; for objective "cost"
    n_bootstrap: int = 1_000  # resamples behind each metric's interval

    def __post_init__(self) -> None:
        """Refuse an engine without its address, and an address that nothing would use."""
        if self.engine == "dask" and not self.engine_address.startswith(ENGINE_ADDRESSES):
            raise ValueError(
                f"tune.engine is dask: expected its scheduler in tune.engine_address, as tcp://HOST:8786 or "
                f"tls://HOST:8786, got '{self.engine_address}'"
            )
        if self.engine != "dask" and self.engine_address:
            raise ValueError(
                f"tune.engine_address is '{self.engine_address}', and tune.engine is {self.engine}: set tune.engine "
                "to dask, or leave the address out"
            )


class Gate(Section, frozen=True):
    """When a challenger may replace the champion. Losses are log-losses in nats."""

    policy: Literal["gate", "always", "never"] = "gate"
    floor_gain: float = 0.0  # log-loss must beat the class shares' by more than this
    confidence: float = 0.95  # of every bound, one-sided
    n_bootstrap: int = 2_000  # resamples behind each bound
    min_rows: int = 100  # with fewer recent rows a champion is not replaced
    margin: float = 0.02  # how much worse is not worse, where the champion is degraded or outdone
    regression_rows: Literal["keep", "renew"] = "keep"  # renew: where they are lost, begin anew with this run's
    golden_margin: float = 0.05  # how much may be lost on the old, fixed rows
    accuracy_margin: float = 0.01  # how much accuracy may be lost
    slice_margin: float = 0.05  # how much one slice may lose
    slice_min_rows: int = 100  # smaller slices are not guarded
    max_latency_ms: float = 50.0  # one row through the bundle, median
    max_bundle_mb: float = 200.0  # a larger version is not servable
    refit: bool = True  # serve the recipe fitted again on all rows, once the gate has passed; false: the judged fit
    shadow_rows: int = 0  # labelled live rows a challenger is judged on in shadow before it may serve; 0: no shadow
    shadow_s: float = 7 * 86_400.0  # how long it waits for them; refused after that
    shadow_degraded: bool = False  # also where the champion is degraded; else its successor does not wait


class Registry(Section, frozen=True):
    """MLflow."""

    tracking_uri: str = ""  # empty: the local server on mlflow_port where it runs, else SQLite under REFIT_HOME
    public_url: str = ""  # where people open MLflow, for links to it; empty: tracking_uri, else mlflow_port here
    model_name: str = "One_Customer_Classifier"  # of the registered model in MLflow
    experiment: str = "refit"  # of the runs in MLflow
    signatures: Literal["required", "off"] = "required"  # required: only bundles signed by a trusted key are served
    signing_key: str = ""  # private key (PEM, P-256) or its file; empty: var/secrets/signing_key.pem, made when needed
    trusted_keys: tuple[str, ...] = ()  # public keys, or their files, that count beside those in var/trusted_keys
    confirm: Literal["auto", "required", "never"] = "auto"  # must services report the new version? required: every one
    confirm_timeout_s: float = 30.0  # how long a promotion waits for every worker to report the version


class Serving(Section, frozen=True):
    """The gunicorn-hosted Flask service."""

    host: str = "127.0.0.1"  # address that the service binds
    allowed_hosts: tuple[
        str, ...
    ] = ()  # names in Host beside localhost; checked on loopback, without keys, or where any is listed
    public_url: str = ""  # where people reach the service, for links to it: https://…; empty: this machine's loopback
    urls: tuple[
        str, ...
    ] = ()  # services that must confirm a promotion where none is registered in PostgreSQL; empty: the local one
    workers: int = 2  # processes that answer
    worker_class: Literal["fast", "gthread", "sync"] = "fast"
    reload_interval_s: float = 0.5  # how often the follower asks the registry
    heartbeat_s: float = 2.0  # how often the follower tells PostgreSQL that this service lives; dead after five missed
    max_body_bytes: int = 100_000_000  # a longer body is refused with 413
    max_json_bytes: int = 16_000_000  # of a JSON body, a form, or labels; what is larger goes to /predict/file
    max_json_values: int = 400_000  # commas and brackets of one JSON body, counted before it is read
    max_rows: int = 10_000  # of one JSON request
    max_file_rows: int = 1_000_000  # of one file or tensor request
    max_file_cells: int = 20_000_000  # rows × columns of one file or tensor request
    max_tensor_cells: int = 5_000_000  # rows × columns, in and out, of tensors or JSON, which are held as wholes
    big_body_bytes: int = 65_536  # fast worker: a larger body is answered by the executor, not by the event loop
    executor_threads: int = 4  # fast worker: for every route but the fast path, and for large bodies
    threads: int = 4  # gthread worker
    max_connections: int = 16_384  # a worker; beyond it the connection that has been silent longest is closed
    header_timeout_s: float = 10.0  # from the first byte of a request to the end of its headers
    body_timeout_s: float = 30.0  # without a byte of the body coming in, or of the answer going out
    keepalive_s: float = 75.0  # without a request
    graceful_timeout_s: float = 30.0  # after SIGTERM, for what has been accepted
    require_keys: Literal["auto", "always", "never"] = "auto"  # auto: as soon as the bind is not loopback
    rate_limit_per_s: float = 0.0  # requests a second of one key or address and worker; 0: no limit
    rate_burst: int = 100  # requests a key or address may send at once
    access_log: Literal["all", "errors", "none"] = "errors"  # JSON lines; predictions have a log of their own


class Log(Section, frozen=True):
    """The prediction log."""

    durability: Literal["process", "machine"] = "process"  # survives kill -9, or also a power cut
    on_failure: Literal["refuse", "answer"] = "refuse"  # disk full: 503, or answer and keep it in memory until it fits
    sync_interval_s: float = 0.1  # fdatasync of what was appended (durability "process")
    segment_bytes: int = 16_000_000  # a segment is closed beyond it
    max_backlog_bytes: int = 2_000_000_000  # segments the database has not taken; beyond it on_failure applies
    max_memory_bytes: int = 64_000_000  # a worker's spool under on_failure "answer"; beyond it 503
    move_interval_s: float = 0.5  # how often the log shipper looks for records
    retention_days: float = 365.0  # older answers and labels are deleted
    archive_after_days: float = 0.0  # answers older than it go to Parquet files, and their windows read these; 0: never
    archive_url: str = ""  # where to: a folder, any Arrow file system; empty: on storage.url, else var/archive
    drop_columns: tuple[str, ...] = ()  # inputs that are not logged
    hash_columns: tuple[str, ...] = ()  # inputs that are logged as a keyed hash
    hash_key_file: str = ""  # of its key, the same on all services; empty: var/secrets/log_hash_key, made when needed


class Storage(Section, frozen=True):
    """What machines share where they share no disk, and how many runs are kept."""

    url: str = ""  # file:///…, s3://bucket/prefix or another Arrow file system; empty: below REFIT_HOME
    wait_s: float = 120.0  # how long a stage waits for a storage that does not answer, before its task is tried again
    keep_runs: int = 0  # a new run deletes older ones than so many, and snapshots that nothing needs; 0: all are kept

    def __post_init__(self) -> None:
        """Refuse what would keep less than nothing."""
        if self.keep_runs < 0:
            raise ValueError(f"storage.keep_runs is {self.keep_runs}; 0 keeps all runs")


class Explore(Section, frozen=True):
    """What follows an answer: an action by policy, a share of them drawn at random, and what that makes of labels."""

    policy: dict[str, str] = {}  # answered label → the action that follows: {"no" = "approve", "yes" = "decline"}
    share: float = 0.0  # of the rows, whose action is drawn at random instead; from 0 up to 1, needs a policy
    actions: tuple[str, ...] = ()  # what is drawn from, each as likely; empty: every action of the policy
    labelled: tuple[str, ...] = ()  # the actions after which a label can come; empty: after every one
    seed: int = 42  # of the draw, together with the prediction's id
    max_weight: float = 50.0  # a labelled row counts as one over the chance of its label, and at most as so many rows

    def __post_init__(self) -> None:
        """Refuse what no row could follow."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"explore.share is {self.share:g}; a share is between 0 and 1")
        if self.share and not self.policy:
            raise ValueError("explore.share is set without explore.policy; it names the action that follows an answer")
        if not self.max_weight >= 1:
            raise ValueError(f"explore.max_weight is {self.max_weight:g}; a row counts at least once")
        known = set(self.policy.values()) | set(self.actions)
        for name in sorted(known | set(self.labelled)):
            if not (0 < len(name) <= MAX_ACTION_CHARS and name.isprintable()):
                raise ValueError(f"explore: an action is printable text of 1 to {MAX_ACTION_CHARS} characters")
        if self.actions and not self.policy:
            raise ValueError("explore.actions is set without explore.policy; nothing would be drawn")
        if unknown := sorted(set(self.labelled) - known) if known else []:
            raise ValueError(f"explore.labelled names '{unknown[0]}', which explore.policy never gives")


class Drift(Section, frozen=True):
    """The drift check. Measured error rates of these defaults: docs/drift.md."""

    min_rows: int = 200  # fewer new predictions: "insufficient data"
    window_rows: int = 5_000  # the newest of those since the last window
    min_reference: int = 200  # held-out labelled production rows to become a new champion's reference
    min_labels: int = 100  # labelled rows of the champion, and of its reference, to judge performance
    label_rows: int = 2_000  # the newest labelled rows of the champion that performance is measured on
    false_discovery_rate: float = 0.0075  # over all columns of one check
    material_effect: float = 0.1  # Kolmogorov-Smirnov distance or total variation, [0, 1]
    material_missing: float = 0.05  # change of the missing share, [0, 1]
    material_new: float = 0.02  # share of rows with a category never seen before, [0, 1]
    drifted_share: float = 0.2  # of the columns, to stand in for missing labels
    broken_missing: float = 0.5  # rise of the missing share that means a broken feed
    stuck_share: float = 0.2  # a column stuck at a value that fewer reference rows had is a broken feed
    confidence: float = 0.99  # one-sided, of a drop in performance
    accuracy_margin: float = 0.02  # a smaller drop does not matter
    log_loss_margin: float = 0.05  # nats; a smaller rise does not matter
    evidence_nats: float = 4.6  # for newer models, to retrain; chance reaches x with a probability of exp(-x)
    evidence_large_nats: float = 46.0  # of it, to retrain though the budget is spent
    large_drop: float = 0.05  # of accuracy: retrain without waiting for confirmation
    confirm_hits: int = 2  # m: windows that must agree …
    confirm_windows: int = 3  # n: … of the last n
    cooldown_s: float = 60.0  # after a retraining ended; at least one label delay, up to cooldown_max_s
    budget_windows: int = 3  # windows that earn one retraining by drift
    budget_saved: int = 2  # earned and not spent, at most; what it starts with
    cooldown_max_s: float = 7 * 86_400.0  # the longest that the cool-down grows to
    baking_s: float = 7 * 86_400.0  # how long a new champion is watched for being worse than its predecessor
    retrain_timeout_s: float = 2 * 3_600.0  # a retraining asked for and not answered by then is given up
    breaker_refusals: int = 3  # challengers refused in a row that stop retraining by drift
    breaker_reset_s: float = 86_400.0  # after so long an open breaker lets a retraining through
    history: int = 50  # earlier checks that are looked at
    report_rows: int = 5_000  # drawn in the Evidently report, of each side; 0: no report
    keep_reports: int = 100  # newest reports of Evidently's that are kept
    track: bool = True  # figures to MLflow
    seed: int = 42  # of the report's sample
    webhook_url: str = ""  # alerts are posted there as JSON
    webhook_timeout_s: float = 5.0  # of one try to send an alert


class Retrain(Section, frozen=True):
    """Which labelled production rows a retraining learns from."""

    policy: Literal["auto", "all", "sliding", "since drift"] = "auto"
    sliding_rows: int = 5_000  # the newest labelled rows that the policy "sliding" learns from
    min_rows: int = 200  # a window with fewer labelled rows is not trained on alone
    max_rows: int = 1_000_000  # the newest
    backtest_rows: int = 20_000  # of each fit of the backtest


class Schedule(Section, frozen=True):
    """Airflow's side."""

    retrain_cron: str = "0 3 * * *"  # when a retraining starts by itself, UTC
    drift_cron: str = "*/15 * * * *"  # when the drift check runs, UTC
    watch_interval_s: float = 10.0  # between looks for drift.min_rows new rows or a new champion; 0: drift_cron alone
    public_url: str = ""  # where people open Airflow, for links to it; empty: airflow_port here
    notifiers: dict[str, dict[str, Any]] = {}  # Airflow's, for each alert: class → its arguments, with "{{ alert }}"


class Settings(Section, frozen=True):
    """Everything that can be set. `home` holds `data/`, `models/` and `var/`."""

    home: Path = CHECKOUT
    serving_port: int = 8000  # of the service: API and pages
    airflow_port: int = 8080  # of Airflow's UI and API; the next one is for its tasks
    mlflow_port: int = 5000  # of MLflow's server
    approval: Literal["none", "required"] = "none"
    database_url: str = ""  # predictions, labels, checks, ledger; empty: SQLite under REFIT_HOME
    data: Data = Data()
    synthetic: Synthetic = Synthetic()
    customers: Customers = Customers()
    train: Train = Train()
    tune: Tune = Tune()
    gate: Gate = Gate()
    registry: Registry = Registry()
    serving: Serving = Serving()
    log: Log = Log()
    storage: Storage = Storage()
    explore: Explore = Explore()
    drift: Drift = Drift()
    retrain: Retrain = Retrain()
    schedule: Schedule = Schedule()

    @property
    def var(self) -> Path:
        """Databases, logs, reports, run workspaces."""
        return self.home / "var"

    @property
    def data_dir(self) -> Path:
        """Snapshots and the course-format pickle."""
        return self.home / "data"

    @property
    def models_dir(self) -> Path:
        """Saved models."""
        return self.home / "models"
