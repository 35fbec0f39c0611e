"""`refit init`: a folder becomes a project, with its own refit.toml."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ml import settings as settings_module
from ml.errors import RefitError
from ml.settings import Settings, toml
from ml.settings.options import CHOICE_OF_DATA
from ml.storage.files import write_bytes

# What is told of a table beside where it lies.
NAMED = tuple(option for option in CHOICE_OF_DATA if option.name != "data")

# What is made at run time: no repository should keep it.
IGNORED = "/data/\n/models/\n/var/\n"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    init = argparse.ArgumentParser(
        prog="refit init",
        description="Make this folder a project: write refit.toml, every setting with its default and its meaning. "
        "With a table, it is read and checked first; without one, rows are generated, to try things on.",
    )
    init.add_argument("table", nargs="?", help="CSV, .xlsx, .xls, .ods or Parquet, a path or a URL")
    for option in NAMED:
        many = option.kind == "texts"
        init.add_argument(
            option.stack,
            dest=option.name,
            metavar=option.metavar,
            choices=option.choices or None,
            action="append" if many else "store",
            default=[] if many else "",
            help=option.help,
        )
    return init


def configured(arguments: argparse.Namespace, home: Path) -> Settings:
    """The settings of a new project in `home`."""
    data: dict[str, object] = {}
    if arguments.table:
        table = arguments.table if "://" in arguments.table else str(Path(arguments.table).expanduser().resolve())
        data = {"source": "file", "path": table}
        data |= {option.settings[0].removeprefix("data."): getattr(arguments, option.name) for option in NAMED}
    return settings_module.from_values({"home": str(home), "data": data})


def make(home: Path, settings: Settings) -> None:
    """Write the project's files; what is there already stays as it is."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / ".gitignore").exists():
        write_bytes(home / ".gitignore", IGNORED.encode())
    write_bytes(home / "refit.toml", toml.render(settings).encode())


def main(argv: list[str] | None = None) -> int:
    init = parser()
    arguments = init.parse_args(argv)
    if bool(arguments.table) != bool(arguments.target):
        init.error("a table and --target COLUMN go together: which column of it is to be predicted?")
    home = Path(os.environ.get("REFIT_HOME") or ".").expanduser().resolve()
    if (home / "refit.toml").exists():
        print(f"{home / 'refit.toml'} is there already: change it, or remove it first.", file=sys.stderr)
        return 1
    settings = configured(arguments, home)
    try:
        if arguments.table:
            from ml.data import ingestion  # pandas, for a table alone

            ingestion.check(settings, None)
    except RefitError as error:
        print(error, file=sys.stderr)
        return 1
    make(home, settings)
    print(f"{home} is a project now. Next: refit up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
