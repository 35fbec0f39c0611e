"""Rows a second and CPU a row of the log shipper's way from segments into PostgreSQL, beside a bare COPY.

Each round writes segments of `--rows` answers, one row a request, of `--columns` numbers and `--categories`
categories, and takes them into a new database of a PostgreSQL server of its own (as installed: fsync on). Compared are:

- this version: `LogShipper.step`, in a process of its own, from its first look to the last segment's deletion;
- the version in `--against FOLDER`, another checkout, in turns with it;
- bare COPY: the same values as bytes, made before, into a table without an index: what the server can take at most.

Counted are the CPU microseconds a row of the shipper's process (what it imports left out) and of all of PostgreSQL's
processes. `--writers 1 2 4`: so many shippers at once, each with a folder of its own, as on so many machines.
`--labels SHARE`: so many of the answers get a label, logged by another writer than the answer where there are several.

    python -m bench.log_writers [--rows 60000] [--rounds 3] [--writers 1] [--labels 0.2] [--against FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from bench import harness

HERE = Path(__file__).resolve().parent.parent
SHA256 = "ab" * 32
SEGMENT_BYTES = 16_000_000  # as `log.segment_bytes`
CLASSES = ("0", "1")


def main() -> None:
    """Measure and tell."""
    parser = harness.options(__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="answers of each writer and round")
    parser.add_argument("--columns", type=int, default=20, help="number columns")
    parser.add_argument("--categories", type=int, default=0, help="category columns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writers", type=int, nargs="+", default=[1], help="shippers at once")
    parser.add_argument("--labels", type=float, default=0.0, help="share of the answers that get a label")
    parser.add_argument("--against", type=Path, help="another checkout of Refit, measured in turns")
    parser.add_argument("--move", nargs=2, metavar=("HOME", "URL"), help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=4, metavar=("HOME", "NUMBER", "BEGUN", "WRITERS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.move:
        print(json.dumps(move(*asked.move)))
        return
    if asked.write:
        home, number, begun, writers = asked.write
        written(Path(home), int(number), float(begun), int(writers), asked)
        return
    found = {}
    with server() as url, tempfile.TemporaryDirectory() as temporary:
        for writers in asked.writers:
            begun = time.time() - 60.0
            checkouts = {"this version": HERE} | ({"the other version": asked.against} if asked.against else {})
            contenders = {}
            for name, checkout in checkouts.items():  # each reads what its own writer's format is
                homes = [Path(temporary) / f"{writers}-{name[:9]}-{i}" for i in range(writers)]
                for i, home in enumerate(homes):
                    options = ["--write", str(home), str(i), repr(begun), str(writers)]
                    options += [f"--{n}={getattr(asked, n)}" for n in ("rows", "columns", "categories", "labels")]
                    program(checkout, *options)
                contenders[name] = partial(shipped, checkout, homes, url, asked)
            contenders["bare COPY"] = partial(copied, homes, url, asked)
            found[f"{writers} writers"] = harness.in_turns(contenders, asked.rounds)
    harness.show(found, lambda: told(found), as_json=asked.json, indent=2)


def told(found: dict[str, dict[str, harness.Figures]]) -> str:
    """The table for people."""
    rows = [
        [
            writers,
            name,
            f"{f['rows_per_s']:,.0f}",
            f"{f['shipper_us']:.1f}",
            f"{f['server_us']:.1f}",
            f"{f['bytes']:.0f}",
        ]
        for writers, contenders in found.items()
        for name, f in contenders.items()
    ]
    head = [
        "shippers",
        "",
        "rows/s",
        "CPU µs a row, shipper",
        "CPU µs a row, PostgreSQL",
        "bytes a row in the database",
    ]
    return harness.table(head, rows)


def written(home: Path, number: int, begun: float, writers: int, asked: argparse.Namespace) -> Path:
    """A home with sealed segments as a service worker leaves them: one row a request, labels now and then."""
    from ml.schema.schema import Column, Schema
    from serving.prediction_log import records
    from serving.prediction_log.records import Feedback, Label, Model, Predictions

    chance, rng = random.Random(number), np.random.default_rng(number)
    numbers = tuple(f"f{i}" for i in range(asked.columns))
    categories = tuple(f"c{i}" for i in range(asked.categories))
    kinds = [(name, "number") for name in numbers] + [(name, "category") for name in categories]
    schema = Schema(
        target="target", classes=CLASSES, positive_label="1", columns=tuple(Column(name=n, kind=k) for n, k in kinds)
    )
    model = Model("1", numbers, categories, CLASSES, (), SHA256, schema.to_json())
    folder = home / "var" / "serving" / "segments"
    folder.mkdir(parents=True)
    values = rng.normal(size=(asked.rows, asked.columns)).astype("<f4")
    positive = rng.uniform(size=asked.rows).astype("<f4")
    words = [f"word {i}" for i in range(50)]
    ids = [key(i, number, begun) for i in range(asked.rows)]
    content: list[bytes] = []
    place, size = records.Position(b"", 0, 0), SEGMENT_BYTES

    def put(record: records.Record) -> None:
        nonlocal place, size
        if size >= SEGMENT_BYTES:
            flush()
            head, place = records.begin(os.urandom(16))
            content.append(head)
            size = 0
            put(model)
        payload = records.encode(record)
        fields, place = records.frame(payload, place)
        content.extend((fields, payload))
        size += len(fields) + len(payload)

    def flush() -> None:
        if content:
            (folder / f"{time.time_ns():x}-1-{os.urandom(4).hex()}.seg").write_bytes(b"".join(content))
            content.clear()

    for i in range(asked.rows):
        p = positive[i]
        chosen = np.array([max(p, 1 - p)], "<f4").tobytes()
        both = np.array([1 - p, p], "<f4").tobytes()
        mine = [[chance.choice(words) for _ in categories]] if categories else []
        moment = begun + 60.0 * i / asked.rows
        put(Predictions(moment, "1", [ids[i]], values[i].tobytes(), mine, [str(int(p > 0.5))], chosen, both, [[]]))
        if i > 100 and chance.random() < asked.labels:
            other = chance.randrange(writers)  # its answer is in the log of this machine
            which = key(i - 100, other, begun)
            put(Feedback([Label(f"{i:08x}{chance.getrandbits(80):020x}", which, chance.choice("01"), moment)]))
    flush()
    return home


def key(i: int, number: int, begun: float) -> str:
    """A prediction id as the service makes them: milliseconds, then what looks like randomness."""
    tail = random.Random(i * 1_000 + number).getrandbits(80)
    return f"{int(begun * 1_000) + i // 15:012x}{tail:020x}"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL server of its own, with the defaults of its package; yields a URL that ends before the database."""
    from tests import postgresql

    with postgresql.running("-c listen_addresses=") as server:
        yield server.url


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    """A new database, whose URL is yielded; dropped afterwards."""
    import sqlalchemy as sa

    name = f"bench_{os.urandom(4).hex()}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CHECKPOINT"))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        try:
            yield url.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def server_cpu_s(url: str) -> float:
    """CPU seconds of the server's processes, those that have ended included."""
    note = Path(url.partition("host=")[2]).parent / "data" / "postmaster.pid"
    first = psutil.Process(int(note.read_text().split()[0]))
    total = 0.0
    for process in [first, *first.children()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def shipped(checkout: Path, homes: list[Path], url: str, asked: argparse.Namespace) -> harness.Figures:
    """One round of a version's shippers."""
    with database(url) as own, tempfile.TemporaryDirectory(dir=homes[0].parent) as temporary:
        copies = [shutil.copytree(home, Path(temporary) / home.name) for home in homes]
        warm(checkout, Path(temporary) / "warm", own)
        before = server_cpu_s(url)
        with ThreadPoolExecutor(len(copies)) as pool:
            runs = list(pool.map(lambda home: run(checkout, home, own), copies))
        rows = len(homes) * asked.rows
        return {
            "rows_per_s": rows / (max(r["ended"] for r in runs) - min(r["began"] for r in runs)),
            "shipper_us": 1e6 * sum(r["cpu_s"] for r in runs) / rows,
            "server_us": 1e6 * (server_cpu_s(url) - before) / rows,
            "bytes": in_database(own, "predictions", rows),
        }


def warm(checkout: Path, home: Path, url: str) -> None:
    """Make the tables before."""
    home.mkdir(parents=True)
    run(checkout, home, url)


def run(checkout: Path, home: Path, url: str) -> dict[str, float]:
    """A shipper's process."""
    found: dict[str, float] = json.loads(program(checkout, "--move", str(home), url).splitlines()[-1])
    return found


def program(checkout: Path, *options: str) -> str:
    """This program with the library of a checkout; returns what it prints."""
    command = [sys.executable, "-P", str(HERE / "bench" / "log_writers.py"), *options]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(command, env=environment, cwd=checkout, check=True, capture_output=True, text=True).stdout


def move(home: str, url: str) -> dict[str, float]:
    """In the shipper's process: all segments into the database."""
    from ml.settings import from_values
    from ml.storage import database as databases
    from serving.prediction_log.shipper import LogShipper

    settings = from_values({"home": home, "database_url": url})
    databases.engine(settings)
    shipper = LogShipper(settings)
    began, cpu_s = time.time(), time.process_time()
    shipper.step()
    return {"began": began, "ended": time.time(), "cpu_s": time.process_time() - cpu_s}


def in_database(url: str, table: str, rows: int) -> float:
    """Bytes a row of the database, indexes included; all rows must be there."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()
        empty = connection.execute(sa.text("SELECT pg_database_size('template0')")).scalar()
        size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar()
    engine.dispose()
    if found != rows:
        raise SystemExit(f"{found} rows of {rows} are in the database")
    return float((size or 0) - (empty or 0)) / rows


def copied(homes: list[Path], url: str, asked: argparse.Namespace) -> harness.Figures:
    """One round of bare COPY: each writer's rows in one go, no index, no check."""
    import psycopg2

    rng = np.random.default_rng(0)
    raw = rng.normal(size=(asked.rows, asked.columns)).astype("<f4")
    lines = "".join(
        f"{key(i, 0, 0.0)}\t{1.5e9 + i}\t1\t\\\\x{raw[i].tobytes().hex()}\t1\t0.75\t\\\\x{'3f400000' * 2}"
        f"\t[]\t{SHA256}\t\n"
        for i in range(asked.rows)
    )
    with database(url) as own:
        dsn = own.replace("postgresql+psycopg2", "postgresql")
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bare (prediction_id text, time float8, model_version text, inputs bytea, label text,"
                " probability float8, probabilities bytea, flags text, model_sha256 text, row_id text)"
            )

        def one(_: Path) -> None:
            import io

            connection = psycopg2.connect(dsn)
            with connection, connection.cursor() as cursor:
                cursor.copy_expert("COPY bare FROM STDIN", io.StringIO(lines))
            connection.close()

        before, mine, began = server_cpu_s(url), time.process_time(), time.time()
        with ThreadPoolExecutor(len(homes)) as pool:
            list(pool.map(one, homes))
        took, cpu_s, rows = time.time() - began, time.process_time() - mine, len(homes) * asked.rows
        return {
            "rows_per_s": rows / took,
            "shipper_us": 1e6 * cpu_s / rows,
            "server_us": 1e6 * (server_cpu_s(url) - before) / rows,
            "bytes": in_database(own, "bare", rows),
        }


if __name__ == "__main__":
    main()
