"""Send a table in time order through the running service: predict, then send the labels late.

    python -m ml send --data stream.csv --target class --speed 200 --label-delay 5

shows accuracy window by window with the version that answered, while the loop (drift check, retraining,
promotion) does its work. Rows are sent as a client would send them, as JSON by `POST /predict`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from demo.traffic import Client, Delayed
from ml.cli import show
from ml.cli.options import options, settings_for
from ml.errors import DataError
from ml.schema.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

Sleep = Callable[[float], None]


class WindowResult(msgspec.Struct, frozen=True, kw_only=True):
    """One window of the table. `accuracy` in [0, 1]; `versions` are those that answered, in order."""

    window: int
    rows: int
    accuracy: float
    versions: tuple[str, ...]
    seconds: float


def read(file: Path, *, target: str = "", time_column: str = "") -> tuple[pd.DataFrame, str]:
    """A CSV or Parquet table in time order, as text, and its target column.

    What is not given is taken from a JSON beside the file (`target`, `time_column`, `missing_markers`), where there
    is one. Without a time column the rows come in the file's order.

    Raises
    ------
    DataError
        No such file, column, or target.
    """
    import pandas as pd

    beside = file.with_suffix(".json")
    facts = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    target, time_column = target or facts.get("target", ""), time_column or facts.get("time_column") or ""
    if not file.is_file():
        raise DataError("there is no such file", file=str(file))
    if file.suffix == ".parquet":
        frame = pd.read_parquet(file)
    else:
        frame = pd.read_csv(file, dtype=object, keep_default_na=False, na_values=facts.get("missing_markers", [""]))
    for name in filter(None, (target, time_column)):
        if name not in frame:
            raise DataError("there is no such column", file=str(file), column=name)
    if not target:
        raise DataError("name the column that holds the labels: --target", file=str(file))
    return (_in_time_order(frame, time_column) if time_column else frame), target


def send(
    client: Client,
    frame: pd.DataFrame,
    target: str,
    *,
    speed: float = 0.0,
    label_delay_s: float = 0.0,
    windows: int = 30,
    batch: int = 20,
    sleep: Sleep = time.sleep,
) -> Iterator[WindowResult]:
    """Send the rows; yield a result as each window ends.

    Parameters
    ----------
    speed
        Rows a second; 0 sends as fast as the service answers.
    label_delay_s
        Seconds from an answer to its label. Labels that still wait at the end are sent then.
    windows
        How many windows the table is cut into.
    batch
        Rows of one request.
    """
    import numpy as np

    schema = client.schema()
    labels = Delayed(client, label_delay_s)
    started, sent = time.monotonic(), 0
    for number, window in enumerate(np.array_split(np.arange(len(frame)), min(windows, max(1, len(frame))))):
        began, right, versions = time.monotonic(), 0, []
        for first in range(0, len(window), batch):
            part = frame.iloc[window[first : first + batch]]
            answers = client.predict(records(part, schema))
            actual = [_label(value) for value in part[target].tolist()]
            now = time.monotonic()
            labels.later([(a.prediction_id, label) for a, label in zip(answers, actual, strict=True)], now)
            right += sum(a.label == label for a, label in zip(answers, actual, strict=True))
            versions += [a.model_version for a in answers[:1]]
            labels.send(now)
            sent += len(part)
            if speed > 0:
                sleep(max(0.0, started + sent / speed - time.monotonic()))
        yield WindowResult(
            window=number + 1,
            rows=len(window),
            accuracy=right / len(window) if len(window) else 0.0,
            versions=tuple(dict.fromkeys(versions)),
            seconds=time.monotonic() - began,
        )
    labels.flush()


def records(frame: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """Rows as JSON values: numbers where the model takes numbers, text elsewhere, None for missing.

    Raises
    ------
    DataError
        The table lacks a column that the model takes, or has a text where it takes a number.
    """
    columns: dict[str, list[Any]] = {}
    for column in schema.columns:
        if column.name not in frame:
            raise DataError("the service's model takes a column that the table does not have", column=column.name)
        convert = _number if column.kind == "number" else str
        markers = {"", *schema.missing_markers}
        columns[column.name] = [
            None if value is None or value != value or value in markers else convert(value)
            for value in frame[column.name].tolist()
        ]
    names = list(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _label(value: Any) -> str:
    """A label as the service knows it: a whole number without decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected a number, got {str(value)[:40]!r}") from error


def _in_time_order(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    import pandas as pd

    moments = pd.to_numeric(frame[column], errors="coerce")
    if moments.isna().any():
        moments = pd.to_datetime(frame[column], errors="coerce", format="mixed", utc=True)
    return frame.iloc[moments.argsort(kind="stable")].reset_index(drop=True)


@click.command("send")
@click.option("--data", "file", type=click.Path(path_type=Path), required=True, help="CSV or Parquet table.")
@click.option("--target", default="", help="The column that holds the labels. Default: as the JSON beside FILE says.")
@click.option("--time", "time_column", default="", help="The column that orders rows. Default: the file's order.")
@click.option("--url", default="", help="The service. Default: the local one.")
@click.option("--key", default="", envvar="REFIT_API_KEY", help="API key, where the service asks for one.")
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Rows a second; 0: as fast as it answers.")
@click.option("--label-delay", type=click.FloatRange(min=0), default=0.0, help="Seconds from an answer to its label.")
@click.option("--windows", type=click.IntRange(min=1), default=30, help="Windows to show accuracy for.")
@click.option("--batch", type=click.IntRange(min=1), default=20, help="Rows of one request.")
@options()
def command(
    file: Path, target: str, time_column: str, url: str, key: str, speed: float, label_delay: float, windows: int,
    batch: int, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Replay a table in time order through the running service: predict, then send the labels late.

    Shows accuracy window by window with the versions that answered.
    """
    from ml.registry import rollout  # MLflow's client: not for --help

    client = Client(url or rollout.urls(settings_for(given))[0], key=key)
    frame, label = read(file, target=target, time_column=time_column)
    results = []
    for found in send(client, frame, label, speed=speed, label_delay_s=label_delay, windows=windows, batch=batch):
        results.append(msgspec.to_builtins(found))
        if not as_json:
            versions = ", ".join(found.versions)
            click.echo(
                f"window {found.window:>3}: accuracy {found.accuracy:6.1%} of {found.rows} rows, version {versions}"
            )
    if as_json:
        show.result(
            {"windows": results, "requests": client.requests, "sent_again": client.retried}, as_json=True, text=""
        )
