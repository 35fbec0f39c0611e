"""`python -m demo`."""

from __future__ import annotations

import sys

import demo
from ml import settings
from ml.errors import RefitError

if __name__ == "__main__":
    try:
        sys.exit(demo.run(settings.load()))
    except RefitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
