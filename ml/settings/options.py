"""What a run may be told, declared once for the four places that ask.

`python -m ml` and the form of Airflow's `retrain` are made from this table; `./run_pipeline.sh`, which has to answer
`--help` before anything is installed, and `MLproject` are compared with it by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from ml.settings.sections import Source


class RunOption(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a run may be told.

    Parameters
    ----------
    name
        By which a command hands its value on.
    settings
        What it overrides, as `section.key`; none for what is only kept with the run.
    kind
        "texts" is given several times on a command line, "list" once, separated by commas.
    minimum, maximum
        Of a whole number; the form alone refuses what is above the maximum, since it is filled in by hand.
    once
        For the run at hand alone: not kept with a choice of data.
    command, stack, field, parameter
        Its name in `python -m ml`, in `./run_pipeline.sh`, in Airflow's form, and in `MLproject`; empty where it
        cannot be told there.
    """

    name: str
    help: str
    group: Literal["Data", "Learning", "Promotion"]
    settings: tuple[str, ...] = ()
    kind: Literal["text", "texts", "list", "whole", "choice"] = "text"
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    title: str = ""
    note: str = ""
    once: bool = False
    command: str = ""
    stack: str = ""
    field: str = ""
    parameter: str = ""


RUN_OPTIONS = (
    RunOption(
        name="source", settings=("data.source",), group="Data", kind="choice", command="--source", field="source",
        choices=get_args(Source), help="Where rows come from.",
        title="Source", note="'file' and 'sql' use the fields below or what is configured.",
    ),
    RunOption(
        name="data", settings=("data.path",), group="Data", metavar="FILE",
        command="--data", stack="--data", field="path", parameter="data",
        help="Own table: CSV (also compressed), .xlsx, .xlsb, .xls, .ods or Parquet, a path or a URL.",
        title="File", note="The path is one on the worker; for the source 'file'.",
    ),
    RunOption(
        name="target", settings=("data.target",), group="Data", metavar="COLUMN",
        command="--target", stack="--target", field="target", parameter="target",
        help="The column to predict.", title="Target column",
    ),
    RunOption(
        name="positive", settings=("data.positive_label",), group="Data", metavar="LABEL",
        command="--positive", stack="--positive", parameter="positive",
        help="The class of interest, of two. Default: the rarer one.",
    ),
    RunOption(
        name="ids", settings=("data.id_columns",), group="Data", kind="texts", metavar="COLUMN",
        command="--id", stack="--id", help="A column that names individuals; repeatable.",
    ),
    RunOption(
        name="time_column", settings=("data.time_column",), group="Data", metavar="COLUMN",
        command="--time", stack="--time", help="The column that orders rows in time.",
    ),
    RunOption(
        name="exclude", settings=("data.exclude",), group="Data", kind="texts", metavar="COLUMN",
        command="--exclude", stack="--exclude", help="A column not to learn from; repeatable.",
    ),
    RunOption(
        name="decimal", settings=("data.decimal",), group="Data", kind="choice", command="--decimal",
        stack="--decimal", choices=(".", ","),
        help="The decimal mark of numbers written as text. Default: found in the table.",
    ),
    RunOption(
        name="dates", settings=("data.dates",), group="Data", kind="choice", command="--dates", stack="--dates",
        choices=("day-first", "month-first"), help="How 03/04/2026 is read. Default: found in the table.",
    ),
    RunOption(
        name="schema", settings=("data.schema",), group="Data", kind="choice", command="--schema", stack="--schema",
        field="schema", choices=("keep", "infer"),
        help="'infer' finds columns, kinds, classes and the positive label anew; 'keep' holds the table against the "
        "champion's.",
        once=True, title="Columns and classes", note="For this run.",
    ),
    RunOption(
        name="rows", settings=("synthetic.n_samples", "customers.n_samples"), group="Data", kind="whole",
        minimum=50, maximum=10_000_000, command="--rows", field="rows",
        help="Size of a generated table (synthetic, customers).",
        title="Rows", note="Files and queries give what they hold.",
    ),
    RunOption(
        name="families", settings=("train.families",), group="Learning", kind="list", metavar="A,B",
        command="--families", field="families", parameter="families",
        help="Model families to search.", title="Model families",
    ),
    RunOption(
        name="max_evals", settings=("tune.max_evals",), group="Learning", kind="whole", minimum=1, maximum=10_000,
        command="--max-evals", stack="--evals", field="max_evals", parameter="max_evals",
        help="Trials of the search, baselines included.", title="Tuning evaluations",
    ),
    RunOption(
        name="seed", settings=("train.seed", "tune.seed"), group="Learning", kind="whole", minimum=0,
        maximum=2**31 - 1, command="--seed", stack="--seed", field="seed", parameter="seed",
        help="Seed of training and tuning.", title="Seed", note="Same data and same seed give the same model.",
    ),
    RunOption(
        name="policy", settings=("gate.policy",), group="Promotion", kind="choice", field="policy",
        command="--policy", stack="--policy",
        choices=("gate", "always", "never"), help="When the new version may replace the champion.",
        title="Promotion policy",
    ),
    RunOption(
        name="reason", group="Promotion", command="--reason", stack="--reason", field="reason", parameter="reason",
        help="Why; kept with the run and in the ledger.", title="Reason",
    ),
)  # fmt: skip

# What names a table and says how it is read: kept together, as one choice.
CHOICE_OF_DATA = tuple(o for o in RUN_OPTIONS if o.group == "Data" and o.stack and not o.once)


def overrides(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was told, by `RunOption.name`, as a nested mapping of settings; what is empty was not told.

    >>> overrides({"max_evals": 5, "seed": 0, "target": "", "ids": ()})
    {'tune': {'max_evals': 5, 'seed': 0}, 'train': {'seed': 0}}
    """
    nested: dict[str, dict[str, Any]] = {}
    for option in RUN_OPTIONS:
        value = told.get(option.name)
        if value is None or value in ("", (), []):
            continue
        for place in option.settings:
            section, _, key = place.partition(".")
            nested.setdefault(section, {})[key] = list(value) if option.kind in ("texts", "list") else value
    return nested
