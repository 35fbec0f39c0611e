"""The containers' health check: `python -E -S ops/probe.py URL` ends with 0 when the URL answers 200, else with 1.

With a fragment it is Airflow's health page, `…/monitor/health#triggerer`, and the part must be healthy there: for
processes that have no port of their own. Imports little, because nine containers ask it twice a minute: 0.02 CPU s a
call; with `ml.http` it was 0.12, and `airflow jobs check` takes 3.
"""

import socket
import sys

TIMEOUT_S = 8.0  # below the 10 s of the compose file, so that it can say why


def probe(address: str) -> str:
    """What is wrong with an http:// address; empty where nothing is."""
    address, _, part = address.partition("#")
    host, _, path = address.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port)), timeout=TIMEOUT_S) as connection:
            connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except (OSError, ValueError) as error:
        return f"{address}: {error}"
    status = answer[9:12].decode("latin-1")
    if status != "200":
        return f"{address} answers {status}"
    return "" if not part or _healthy(answer, part) else f"{address}: {part} is not healthy"


def _healthy(answer: bytes, part: str) -> bool:
    import json

    try:
        return bool(json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])[part]["status"] == "healthy")
    except (ValueError, KeyError, TypeError):
        return False


def main(arguments: list[str]) -> int:
    """One address."""
    if len(arguments) != 1:
        print("usage: python ops/probe.py URL", file=sys.stderr)
        return 2
    wrong = probe(arguments[0])
    if wrong:
        print(wrong, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
