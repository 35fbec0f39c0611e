"""A past of our own: what a label means turns around in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import settings as settings_module
from ml.replay.loop import Stream
from ml.settings import Settings

ROWS, WINDOWS = 2_000, 10


def turning(rows: int = ROWS) -> pd.DataFrame:
    """A row an hour, in no order; `x` tells the label, and from the middle on its opposite."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2)).round(3)
    late = np.arange(rows) >= rows // 2
    yes = (x[:, 0] > 0) ^ late ^ (rng.random(rows) < 0.05)
    moments = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    frame = pd.DataFrame({"t": moments, "x": x[:, 0], "z": x[:, 1], "y": np.where(yes, "yes", "no")})
    return frame.sample(frac=1, random_state=1)


def as_excel_writes_it(frame: pd.DataFrame) -> str:
    """In Vietnam: semicolons, decimal commas, dates with the day first, a second date among the columns."""
    earlier = (frame["t"] - pd.to_timedelta(frame["z"].rank().astype(int) % 90, unit="D")).dt.strftime("%d/%m/%Y")
    written = frame.assign(since=earlier, t=frame["t"].dt.strftime("%d/%m/%Y %H:%M"))
    return written.to_csv(index=False, sep=";", decimal=",")


def settings_of(file: Path, **more: Any) -> Settings:
    """Of a replay of a file, in a home that is not there."""
    data = {"source": "file", "path": str(file), "target": "y", "time_column": "t", "split": "stratified"}
    values = {"home": str(file.parent / "home"), "data": data, "train": {"families": ["logistic"]}}
    return settings_module.from_values(values | more)


def stream(home: Path, *, arrives: list[int] | None = None, **values: object) -> Stream:
    """The same in windows, whose labels have come at the end of each or as `arrives` says."""
    frame = turning().sort_values("t").drop(columns="t").astype(str).reset_index(drop=True)
    data = {"target": "y", "split": "stratified"}
    return Stream(frame, WINDOWS, home, data=data, families=["logistic"], arrives=arrives, values=values)
