"""`python -m ml`: the pipeline, its stages, and the registry by hand. Imports nothing heavy until a command runs.

| module | what is in it |
|---|---|
| `clean` | clean: delete old runs and the snapshots that nothing needs |
| `loop` | drift-check: the loop's watching side as a command |
| `options` | Options that several commands share, and the way from them to settings |
| `release` | promote and rollback: the alias by hand, with a reason |
| `replay` | replay: what the loop would have done over a table of one's own past |
| `show` | What commands print: progress on a terminal's stderr, results on stdout |
| `stages` | The pipeline and its stages as commands |
| `status` | status: what serves, what served before, what was decided lately |
"""

from __future__ import annotations

import click

from ml.commands import spoken

EPILOG = """
Settings come from refit.toml, then REFIT_* variables, then options. Exit codes: 0 done (a challenger that the
gate refuses is a result, see --fail-if-refused), 1 an error told in one sentence, 2 wrong usage, 3 refused and
--fail-if-refused was given, 4 the pipeline ended and no champion serves (but for the policy "never"), 5 verify found
something altered, 130 interrupted.
"""

# Command → module and attribute; a module is imported when its command is called.
COMMANDS = {
    "pipeline": ("ml.cli.stages", "pipeline"),
    "generate": ("ml.cli.stages", "generate"),
    "train": ("ml.cli.stages", "train"),
    "tune": ("ml.cli.stages", "tune"),
    "evaluate": ("ml.cli.stages", "evaluate"),
    "register": ("ml.cli.stages", "register"),
    "promote": ("ml.cli.release", "promote"),
    "rollback": ("ml.cli.release", "rollback"),
    "drift-check": ("ml.cli.loop", "drift_check"),
    "replay": ("ml.cli.replay", "replay"),
    "send": ("demo.send", "command"),  # the demonstration's: known here by its name alone
    "status": ("ml.cli.status", "status"),
    "clean": ("ml.cli.clean", "clean"),
    "score": ("serving.batch.command", "command"),  # by its name alone: it reads tables as the service does
    "verify": ("serving.integrity.command", "command"),  # by its name alone, too: it reads the service's segments
}


class Commands(click.Group):
    """The commands in the order of the pipeline, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As in `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's module."""
        if name not in COMMANDS:
            return None
        import importlib

        module, attribute = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        command.help = spoken(command.help or "")
        return command


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Refit keeps a tabular classifier fresh.

    `python -m ml pipeline` does everything, from the configured table to a promoted version. The stages can be
    run one by one on one run: each goes on with the run that was started last, or with --run KEY.
    """
