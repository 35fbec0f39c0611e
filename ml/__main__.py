"""Entry point of `python -m ml`."""

from __future__ import annotations

import sys

from ml.cli import main
from ml.commands import spoken
from ml.errors import RefitError


def run() -> int:
    """Run the command line. An error of ours is one sentence on stderr, without a trace."""
    import click

    try:
        code = main(prog_name=spoken("python -m ml"), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except RefitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except click.exceptions.ClickException as error:
        error.show()
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("interrupted: what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
