"""`python -m demo`: against the stack that runs; `--own-stack`: on one of its own, as `--demo-drift` asks."""

from __future__ import annotations

import argparse
import sys

import demo
from ml import settings
from ml.errors import RefitError
from ops import StackError


def main(argv: list[str] | None = None) -> int:
    """Play it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--own-stack", action="store_true", help="start a stack of its own, and stop it afterwards")
    arguments = parser.parse_args(argv)
    try:
        if arguments.own_stack:
            from demo import own_stack

            return own_stack.run()
        return demo.run(settings.load())
    except (RefitError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
