"""`python -m ml score`, known to `ml.cli` by its name alone, as it reads tables as the service does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ml.cli import options, show
from ml.errors import DataError
from ml.messages import message

if TYPE_CHECKING:
    from ml.bundle.reader import Bundle
    from ml.settings import Settings


@click.command()
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option("--query", metavar="SELECT", help="Instead of TABLE: one SELECT on data.url.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the parts, as Parquet.")
@click.option("--version", "number", default="", help="A registered version. Default: the champion.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of the table that goes through; repeatable.")
@options.engine_option
@options.engine_address_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes. Default: as many as cores.")
@options.options()
def command(
    table: Path | None, query: str | None, output: Path, number: str, keep: Sequence[str], engine: str | None,
    engine_address: str | None, workers: int | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Score a table of any length: CSV (also compressed), a workbook, Parquet or SQL in, a folder of Parquet out.

        python -m ml score customers.parquet --output scored/

    Each row has its place in the table (`row`), the table's id columns and those of --keep, and the answer: `label`,
    `probability`, a probability a class, `warnings`. The table is read once to see that it can be scored, then scored
    in parts on all cores. Killed anywhere, the same command goes on where it was; no row comes twice.
    Answers are not logged: no labels can be sent for them, and no drift is seen in them.
    """
    from serving.batch import plan as plans
    from serving.batch import scorer

    if (table is None) == (query is None):
        raise click.UsageError("expected a TABLE or a --query, and one of them")
    settings = options.on_engine(options.settings_for(given), engine, engine_address)
    if table is not None and not table.is_file():
        raise DataError(message("files.not_there"), file=str(table))
    version, bundle = _bundle(settings, number)
    if table is None:
        from serving.batch import query as queries

        settings = options.merged(settings, {"data": {"source": "sql", "query": query}})
        table = queries.fetched(settings, bundle.schema, output)
    plan = plans.begin(
        output,
        plans.Plan(
            table=plans.content(table), name=table.name, version=version, sha256=bundle.sha256,
            columns=_columns(settings, bundle, table, keep),
        ),
    )  # fmt: skip
    notes: list[str] = []
    if plan.rows is None:
        with show.Bar(hidden=as_json) as bar:
            total: list[int] = []
            rows, upload = scorer.run(
                settings, bundle, table, output, plan, workers=workers or os.cpu_count() or 1,
                done=lambda n: bar.update("score", n, max([n, *total]), ""),
            )  # fmt: skip
        plan = plans.finish(output, plan, rows)
        notes = [f"{one.column}: {one.message}" if one.column else str(one.message) for one in upload.report.findings]
    text = "\n".join([f"{plan.rows:,} rows scored by version {plan.version}: {output}", *notes])
    show.result({**msgspec.to_builtins(plan), "output": str(output), "warnings": notes}, as_json=as_json, text=text)


def _bundle(settings: Settings, number: str) -> tuple[str, Bundle]:
    from ml import registry
    from ml.bundle.reader import Bundle

    info = registry.version(settings, number) if number else registry.champion(settings)
    if info is None:
        raise DataError(message("requests.no_champion"))
    return info.version, Bundle.open(registry.download(settings, info), sha256=info.sha256)


def _columns(settings: Settings, bundle: Bundle, table: Path, keep: Sequence[str]) -> list[str]:
    """The table's columns that go through: its ids, and those that were named, in the table's order.

    Raises
    ------
    DataError
        One that was named is not in the table.
    """
    from serving.batch import scorer

    with table.open("rb") as stream:
        names = next(iter(scorer.reader(settings, bundle, stream, table.name))).table.column_names
    for name in keep:
        if name not in names:
            raise DataError(message("files.no_column"), file=table.name, column=name)
    return [name for name in names if name in keep or name in bundle.schema.id_columns]
