"""A worker's memory has a bound: every entrance with its worst body, four at once, by the kernel's own peak."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.auth import limits
from tests.serving import tiny
from tests.serving.running import Server, serving, wait_for

BOUND_MB = 400
VALUES = 390_000  # just below serving.max_json_values
# Of four columns with a warning each: just beyond what is kept in memory between checking and scoring. Held at 250 MB
# with 80,000 rows as with 150,000: from there on parts are let go as they come.
ROWS = 80_000
INFER = "/v2/models/One_Customer_Classifier/infer"
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
HEADER = b"f0,f1,f2,f3"


def keys() -> bytes:
    """An object of as many keys as are let in: what takes most of any JSON."""
    return b"{" + b",".join(b'"key number %06d":0' % i for i in range(VALUES)) + b"}"


def long_text() -> bytes:
    """One sign beyond the basic plane makes Python keep four bytes a letter."""
    return json.dumps({"rows": [], "x": "\U0001f600" + "a" * 15_900_000}, ensure_ascii=False).encode()


def parquet(rows: int, more: int = 0) -> bytes:
    table = {f"f{i}": np.full(rows, 9e9) for i in range(4)} | {f"x{i}": np.zeros(rows, "i1") for i in range(more)}
    out = io.BytesIO()
    pq.write_table(pa.table(table), out, compression="zstd")
    return out.getvalue()


def form() -> bytes:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return head + csv() + b"\r\n--B--\r\n"


def csv() -> bytes:
    return HEADER + b"\n" + b"".join(b"%d,9e9,9e9,9e9\n" % i for i in range(9_000_000, 9_000_000 + ROWS))


def wide() -> bytes:
    names = HEADER + b"".join(b",x%d" % i for i in range(1_990))
    return names + b"\n" + (b"1,2,3,4" + b"," * 1_990 + b"\n") * 9_000


def tensors() -> bytes:
    n = VALUES // 4
    return json.dumps(
        {"inputs": [{"name": f"f{i}", "shape": [n], "datatype": "FP64", "data": [1.5] * n} for i in range(4)]}
    ).encode()


WORST: dict[str, tuple[str, Callable[[], bytes], dict[str, str]]] = {
    "predict, keys": ("/predict", lambda: b'{"rows":[' + keys() + b"]}", JSON),
    "predict, text": ("/predict", long_text, JSON),
    "predict, warnings": ("/predict", lambda: json.dumps({"rows": [tiny.row(f0=9e9, f1=9e9)] * 10_000}).encode(), JSON),
    "explain": ("/explain", lambda: b'{"rows":[' + keys() + b"]}", JSON),
    "feedback": ("/feedback", keys, JSON),
    "feedback, CSV": ("/feedback", lambda: b"prediction_id,label\n" + b"aaaaaaa,1\n" * 1_400_000, CSV),
    "invocations": ("/invocations", lambda: b'{"inputs":' + keys() + b"}", JSON),
    "invocations, CSV": ("/invocations", csv, CSV),
    "invocations, Parquet": ("/invocations", lambda: parquet(ROWS), PARQUET),
    "infer": (INFER, tensors, JSON),
    "infer, keys": (INFER, lambda: b'{"inputs":[' + keys() + b"]}", JSON),
    "file, CSV": ("/predict/file", csv, CSV),
    "file, JSON": ("/predict/file?format=json", csv, CSV),
    "form": (
        "/",
        lambda: b"&".join(b"c%d=1" % i for i in range(100_000)),
        {"Content-Type": "application/x-www-form-urlencoded"},
    ),
    "file, wide": ("/predict/file", wide, CSV),
    "file, Parquet": ("/predict/file", lambda: parquet(9_000, 1_990), PARQUET),
    "page": ("/file", form, {"Content-Type": "multipart/form-data; boundary=B"}),
}


# Of these four of the same are worked at once; of the others one after the other (`limits.is_heavy`), so that four
# different ones, each with its own way through the code, leave more behind than four of the same.
LIGHT = ("predict, warnings", "form")
HEAVY = [name for name in WORST if name not in LIGHT]
ROUNDS = [*([name] * 4 for name in LIGHT), *((HEAVY * 2)[i:16:4] for i in range(4))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("memory")
    tiny.publish(tiny.settings_for(home), "1")
    with serving(home, SERVING__WORKERS="1", LOG__MAX_BACKLOG_BYTES="100000000000") as server:
        wait_for(lambda: server.ready()["workers"], what="the worker")
        yield server


def send(server: Server, path: str, body: bytes, headers: dict[str, str], statuses: list[int]) -> None:
    """Send it and read the answer without keeping it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=900)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        while answer.read(1 << 20):
            pass
        statuses.append(answer.status)
    finally:
        connection.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", ROUNDS, ids=" + ".join)
def test_four_of_the_worst_stay_below_the_bound(server: Server, names: list[str]) -> None:
    """In one worker, round after round: what one leaves behind counts in the next."""
    asks = [(path, made(), headers) for path, made, headers in map(WORST.__getitem__, names)]
    for name, (path, body, headers) in zip(names, asks, strict=True):
        assert limits.is_heavy(path, headers["Content-Type"], False, len(body)) != (name in LIGHT), name
    [worker] = server.workers()
    Path(f"/proc/{worker}/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    statuses: list[int] = []
    senders = [threading.Thread(target=send, args=(server, *ask, statuses)) for ask in asks]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) // 1024
    assert len(statuses) == 4
    assert max(statuses) < 500
    assert server.workers() == [worker]
    assert peak < BOUND_MB, f"{names}: {peak} MB, answered {statuses}"
    print(f"{names}: {peak} MB, {statuses}")
