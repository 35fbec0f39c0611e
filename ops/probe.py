"""Exit 0 when an address answers 200: `python -m ops.probe URL`, the containers' health check."""

from __future__ import annotations

import sys
import urllib.request


def main(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=8) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
