"""`./run_pipeline.sh`: arguments, and which of the actions they ask for.

Nothing but the standard library is imported here, so that `--help` works before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ml.commands import INSTALLED, spoken

ACTIONS = {  # without one: start, and run
    "--status": "say what runs, and end",
    "--stop": "stop everything",
    "--cancel": "end the runs of retrain that are active or wait",
    "--start": "start everything and run nothing",
    "--demo-drift": "show the closed loop under simulated live traffic",
}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    command_parser = argparse.ArgumentParser(
        prog=spoken("./run_pipeline.sh"),
        description="Set up what is missing, start Airflow, MLflow and the service on this machine, run the retraining "
        "loop on Airflow, and end when the service answers with the champion. Running it again is safe.",
        epilog="Settings: refit.toml, then REFIT_* variables (REFIT_SERVING_PORT, REFIT_AIRFLOW_PORT, "
        "REFIT_MLFLOW_PORT, REFIT_HOME, …). A choice made by --data stays until --data default. Exit codes: 0 the "
        "service answers with the champion; 1 an error; 3 --status: nothing runs; 4 the run ended and nothing serves.",
    )
    action = command_parser.add_mutually_exclusive_group()
    for name, about in ACTIONS.items():
        # Installed by name, each is a word of its own, which hands it on.
        action.add_argument(name, action="store_true", help=argparse.SUPPRESS if INSTALLED else about)
    data = command_parser.add_argument_group("own data")
    data.add_argument(
        "--data",
        metavar="FILE",
        help="table to learn from: CSV, workbook (.xlsx, .ods) or Parquet; 'default': as in refit.toml again",
    )
    data.add_argument("--target", metavar="COLUMN", help="the column to predict")
    data.add_argument("--positive", metavar="LABEL", help="the label that counts as positive (default: the rarer)")
    data.add_argument("--id", metavar="COLUMN", action="append", help="a column that names the row; may be repeated")
    data.add_argument("--time", metavar="COLUMN", help="a column to order and split by")
    data.add_argument("--exclude", metavar="COLUMN", action="append", help="a column to leave out; may be repeated")
    data.add_argument(
        "--decimal",
        metavar="MARK",
        choices=(".", ","),
        help="the decimal mark of numbers, . or , (default: found in the table)",
    )
    data.add_argument("--dates", choices=("day-first", "month-first"), help="how 03/04/2026 is read (default: found)")
    run = command_parser.add_argument_group("this run")
    run.add_argument("--evals", metavar="N", type=_positive, help="evaluations of the search, for this run alone")
    run.add_argument("--seed", metavar="N", type=int, help="seed, for this run alone")
    run.add_argument("--schema", choices=("keep", "infer"), help="infer: find columns and classes anew, in this run")
    run.add_argument("--policy", choices=("gate", "always", "never"), help="when it may replace the champion")
    run.add_argument("--reason", metavar="TEXT", help="why; kept in the ledger")
    return command_parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def check(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """What argparse cannot say; ends the program with a sentence."""
    own = {"--target": arguments.target, "--positive": arguments.positive, "--id": arguments.id,
           "--time": arguments.time, "--exclude": arguments.exclude, "--decimal": arguments.decimal,
           "--dates": arguments.dates}  # fmt: skip
    action = next((name for name in ACTIONS if getattr(arguments, name.removeprefix("--").replace("-", "_"))), "")
    run = {name: getattr(arguments, name.removeprefix("--")) for name in ("--evals", "--seed", "--policy", "--reason")}
    ignored = run if action == "--start" else {**run, "--data": arguments.data, "--schema": arguments.schema}
    if action and (given := [name for name, value in ignored.items() if value is not None]):
        parser.error(f"{given[0]} does nothing with {action}: leave one of them out")
    if arguments.data is None or arguments.data == "default":
        if given := [name for name, value in own.items() if value]:
            parser.error(f"{given[0]} goes with --data FILE")
        return
    if not arguments.target:
        parser.error("--data FILE needs --target COLUMN: which column is to be predicted?")
    if "://" not in arguments.data:
        path = Path(arguments.data).expanduser()
        if not path.is_file():
            parser.error(f"--data: {path} is not a file")
        arguments.data = str(path.resolve())


def main(argv: list[str] | None = None) -> int:
    command_line = parser()
    arguments = command_line.parse_args(argv)
    check(arguments, command_line)

    from ml.errors import RefitError
    from ops import Interrupted, NoChampion, RunFailed, StackError, command

    try:
        return command.perform(arguments)
    except NoChampion as error:
        print(spoken(f"\n{error}"), file=sys.stderr)
        return 4
    except (RefitError, StackError, RunFailed) as error:
        print(spoken(f"\n{error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, `head` for example, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Interrupted as error:
        print(spoken(f"\n{error}"), file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(spoken("\nInterrupted. What runs is said by ./run_pipeline.sh --status"), file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
