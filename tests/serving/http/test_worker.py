"""The fast worker as a server: framing, limits, slow clients, graceful end, the same bytes as Flask."""

from __future__ import annotations

import gzip
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import tiny
from tests.serving.running import Server, serving, wait_for

BODY = json.dumps({"rows": [tiny.row()]}).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIMITS = {
    "SERVING__WORKERS": "1",
    "SERVING__HEADER_TIMEOUT_S": "1",
    "SERVING__BODY_TIMEOUT_S": "1",
    "SERVING__KEEPALIVE_S": "30",
    "SERVING__MAX_BODY_BYTES": "300000",
    "SERVING__MAX_CONNECTIONS": "50",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("worker")
    tiny.publish(tiny.settings_for(home), "1")
    with serving(home, **LIMITS) as running:
        yield running


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end
    return HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body


@pytest.mark.parametrize("body", [BODY, b"{", b'{"rows": []}', b'{"rows": [{"f0": "x"}]}'], ids=lambda b: b[:12])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/json; charset=utf-8"])
def test_fast_path_answers_as_flask_does(tmp_path: Path, server: Server, body: bytes, kind: str) -> None:
    """Same status, same headers, same bytes, but for what differs between any two requests."""
    from serving.app import create_app

    settings = tiny.settings_for(tmp_path)
    tiny.publish(settings, "1")
    app = create_app(settings)
    ids = {"prediction_ids": ["mine"]} if body == BODY else {}
    sent = json.dumps(json.loads(body) | ids).encode() if ids else body
    headers = {"X-Request-ID": "r-1", "Content-Type": kind}
    flask = app.test_client().post("/predict", data=sent, headers=headers)
    fast = server.request("POST", "/predict", sent, headers)
    app.extensions["refit"].close()
    assert fast[0] == flask.status_code
    assert fast[2] == flask.data
    own = {k: v for k, v in fast[1].items() if k not in ("date", "server", "connection")}
    assert own == {k.lower(): v for k, v in flask.headers.items()}


def test_answer_is_the_same_through_flask_in_the_same_worker(server: Server) -> None:
    """A query string sends the request past the fast path."""
    body = json.dumps({"rows": [tiny.row()], "prediction_ids": ["same"]}).encode()
    headers = {"Content-Type": "application/json", "X-Request-ID": "r"}
    fast, slow = (server.request("POST", path, body, headers) for path in ("/predict", "/predict?flask"))
    assert fast[::2] == slow[::2]
    assert {k: v for k, v in fast[1].items() if k != "date"} == {k: v for k, v in slow[1].items() if k != "date"}


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    requests = b""
    for i in range(5):
        body = json.dumps({"rows": [tiny.row()], "prediction_ids": [f"p{i}"]}).encode()
        requests += HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        requests += b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = server.raw(requests + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [200] * 11
    assert re.findall(rb'"prediction_id":"(p\d)"', answer) == [b"p0", b"p1", b"p2", b"p3", b"p4"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_request_split_anywhere_is_answered(server: Server, size: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        for at in range(0, len(REQUEST), size):
            sock.sendall(REQUEST[at : at + size])
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_head_that_comes_again_is_not_taken_for_another(server: Server) -> None:
    """A repeated head is not parsed again on its connection; one that only begins like it is."""
    other = HEAD.replace(b"application/json", b"text/plain") + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    shorter = HEAD + b"Content-Length: 2\r\n\r\n{}"
    named = HEAD + b"X-Request-ID: mine\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    final = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    answer = server.raw(b"".join([REQUEST, REQUEST, other, REQUEST, shorter, shorter, named, REQUEST, final]))
    assert statuses(answer) == [200, 200, 415, 200, 422, 422, 200, 200, 200]
    ids = re.findall(rb"X-Request-ID: (\S+)", answer)
    assert ids.count(b"mine") == 1
    assert len(set(ids)) == 9


def test_expectation_is_met_each_time_it_comes(server: Server) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        for _ in range(3):
            sock.sendall(head)
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(BODY)
            assert status(sock.recv(65536)) == 200


def test_chunked_body_is_read(server: Server) -> None:
    middle = len(BODY) // 2
    assert status(server.raw(chunked(BODY[:middle], BODY[middle:]))) == 200


def test_chunk_extension_and_trailer_are_passed_over(server: Server) -> None:
    body = b"%x;a=b\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY)
    assert status(server.raw(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body)) == 200


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    {
        "length and chunks": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        "two lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n12345", 400),
        "the same length twice": (HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\n1234", 400),
        "length list": (HEAD + b"Content-Length: 4, 4\r\n\r\n1234", 400),
        "signed length": (HEAD + b"Content-Length: +4\r\n\r\n1234", 400),
        "length that overflows": (HEAD + b"Content-Length: 18446744073709551620\r\n\r\n1234", 400),
        "the longest length": (HEAD + b"Content-Length: 9223372036854775807\r\n\r\n1234", 413),
        "empty length": (HEAD + b"Content-Length:\r\n\r\n", 400),
        "two keys": (HEAD + b"X-API-Key: a\r\nx-api-key: b\r\nContent-Length: 4\r\n\r\n1234", 400),
        "two authorizations": (HEAD + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
        "two origins": (HEAD + b"Origin: http://localhost\r\nOrigin: http://evil\r\n\r\n", 400),
        "bare line feed": (HEAD + b"Content-Length: 4\nX: y\r\n\r\n1234", 400),
        "only line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        "folded header": (HEAD + b"X: a\r\n b\r\nContent-Length: 4\r\n\r\n1234", 400),
        "folded transfer coding": (HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
        "space before the colon": (HEAD + b"Content-Length : 4\r\n\r\n1234", 400),
        "unknown coding": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        "coding without chunks": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        "stacked codings": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        "identity": (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 501),
        "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        "chunk size with sign": (chunked(end=b"+4\r\n1234\r\n0\r\n\r\n"), 400),
        "chunk size in 0x": (chunked(end=b"0x4\r\n1234\r\n0\r\n\r\n"), 400),
        "chunk size that overflows": (chunked(end=b"10000000000000004\r\n1234\r\n0\r\n\r\n"), 400),
        "chunk size with a trailing blank": (chunked(end=b"4 \r\n1234\r\n0\r\n\r\n"), 400),
        "chunk size with a trailing tab": (chunked(end=b"4\t\r\n1234\r\n0\r\n\r\n"), 400),
        "empty chunk size": (chunked(end=b"\r\n"), 400),
        "chunk longer than it says": (chunked(end=b"3\r\n1234\r\n0\r\n\r\n"), 400),
        "chunk line with a bare line feed": (chunked(end=b"4\n1234\r\n0\r\n\r\n"), 400),
        "chunk extension with a line feed": (chunked(end=b"4;a\nb\r\n1234\r\n0\r\n\r\n"), 400),
        "chunk line without end": (chunked(end=b"4;" + b"a" * 10_000), 400),
        "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n", 400),
        "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
        "NUL in a header": (b"GET / HTTP/1.1\r\nHost: localhost\0y\r\n\r\n", 400),
        "other version": (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 400),
        "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64, 400),
        "other expectation": (HEAD + b"Content-Length: 4\r\nExpect: tea\r\n\r\n1234", 417),
        "long request line": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        "long header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", 431),
        "many headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 120 + b"\r\n", 431),
        "head without end": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000, 431),
        "body beyond the limit": (HEAD + b"Content-Length: 300001\r\n\r\n", 413),
        "chunks beyond the limit": (chunked(*[b"a" * 50_000] * 7), 413),
    }.values(),
    ids=lambda value: None,
)
def test_ambiguous_or_oversized_request_is_refused_and_closed(
    server: Server, request_bytes: bytes, expected: int
) -> None:
    """One 4xx or 5xx as problem+json, and what follows on the connection is never taken for a request."""
    answer = server.raw(request_bytes + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert statuses(answer) in ([expected], [505] if expected == 400 and b"HTTP/3" in request_bytes else [expected])
    assert b"application/problem+json" in answer
    assert b"Connection: close" in answer


def test_expect_continue_is_answered_before_the_body(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_too_large_body_is_refused_before_it_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_http_1_0_is_closed_unless_it_asks(server: Server) -> None:
    head = b"POST /predict HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)
    assert b"Connection: close" in server.raw(head + b"\r\n" + BODY)
    kept = server.raw(head + b"Connection: keep-alive\r\n\r\n" + BODY, then=b"}]}")
    assert b"Connection: keep-alive" in kept


def test_http_1_0_without_a_host_is_answered(server: Server) -> None:
    """No browser, so no other site's page either; HTTP/1.0 knows no Host."""
    assert status(server.raw(b"GET /health/live HTTP/1.0\r\n\r\n")) == 200
    head = b"POST /predict HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    assert status(server.raw(head + BODY)) == 200


def test_packed_body_is_unpacked(server: Server) -> None:
    """The fast path leaves it to Flask; the same on both."""
    kind = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.request("POST", "/predict", gzip.compress(BODY), kind)[0] == 200


def test_what_the_worker_refuses_has_the_protocols_form(server: Server) -> None:
    """Too large a body under /v2 and /invocations, told before it has come."""
    for path, key in ((b"/v2/models/m/infer", "error"), (b"/invocations", "error_code"), (b"/predict", "detail")):
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n" % path
        answer = server.raw(head)
        assert status(answer) == 413
        assert key in json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("path", [b"/file", b"/labels", b"/predict?lang=vi"])
def test_what_the_worker_refuses_is_a_page_where_a_browser_asks(server: Server, path: bytes) -> None:
    """In the reader's language, with the policy of a page; the connection ends, and it is counted once."""
    before = server.request("GET", "/metrics")[2]
    head = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\nContent-Length: 999999999\r\n\r\n"
        % path
    )
    answer = server.raw(head)
    top, _, page = answer.partition(b"\r\n\r\n")
    assert status(answer) == 413
    assert b"text/html" in top
    assert b"Connection: close" in top
    assert b"default-src 'none'" in top
    assert (b'<html lang="vi"' in page) == (b"lang=vi" in path)
    assert b'role="alert"' in page
    after = server.request("GET", "/metrics")[2]
    counts = [sum(float(line.split()[-1]) for line in text.decode().splitlines()
                  if line.startswith("refit_problems_total") and "http.body_too_large" in line)
              for text in (before, after)]  # fmt: skip
    assert counts[1] - counts[0] == 1
    assert status(server.raw(head.replace(path, b"/v2/models/m/infer"))) == 413
    assert b"application/json" in server.raw(head.replace(path, b"/v2/models/m/infer"))


def test_head_has_no_body_and_underscored_headers_are_dropped(server: Server) -> None:
    answer = server.raw(b"HEAD /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX_Api_Key: k\r\n\r\n")
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("sent", [b"POST /pre", REQUEST[:-3]], ids=["head", "body"])
def test_slow_request_is_timed_out(server: Server, sent: bytes) -> None:
    assert status(server.raw(sent, seconds=10)) == 408


def test_trickled_head_is_timed_out_although_bytes_keep_coming(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")

        def answered() -> bytes:
            try:
                sock.sendall(b"X: y\r\n")
                sock.settimeout(0.05)
                return sock.recv(65536)
            except TimeoutError:
                return b""

        assert wait_for(answered, what="an answer").startswith(b"HTTP/1.1 408 ")


def test_an_answer_is_not_cut_while_its_reader_takes_bytes(tmp_path: Path) -> None:
    """The deadline is for silence, not for size: this one takes three times as long to be read."""
    row = tiny.row()
    line = ",".join(str(value) for value in row.values()) + "\n"
    body = gzip.compress((",".join(row) + "\n" + line * 150_000).encode())
    head = "POST /predict/file HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Encoding: gzip\r\n"
    tiny.publish(tiny.settings_for(tmp_path), "1")
    with serving(tmp_path, **LIMITS | {"SERVING__MAX_BODY_BYTES": "100000000"}) as server, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = sock.recv(65_536)
        assert status(answer) == 200
        size = int(re.search(rb"Content-Length: (\d+)", answer)[1])  # type: ignore[index]
        whole = answer.index(b"\r\n\r\n") + 4 + size
        began, received = time.monotonic(), len(answer)
        while received < whole:
            time.sleep(max(0.0, began + 3.0 * received / whole - time.monotonic()))
            part = sock.recv(65_536)
            assert part, f"cut after {received:,} of {whole:,} bytes"
            received += len(part)


def test_connections_beyond_the_cap_push_out_the_most_silent(server: Server) -> None:
    socks = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(80)]
    try:
        assert status(server.predict([tiny.row()]) and server.raw(REQUEST, then=b"}]}")) == 200
        assert socks[0].recv(10) == b""
    finally:
        for sock in socks:
            sock.close()


def test_large_body_does_not_go_through_the_loop(server: Server) -> None:
    rows = [tiny.row() for _ in range(1500)]
    code, _, body = server.predict(rows)
    assert code == 200
    assert len(json.loads(body)["predictions"]) == 1500


def test_large_answer_reaches_a_reader_that_dawdles(server: Server) -> None:
    body = json.dumps({"rows": [tiny.row() for _ in range(3000)]}).encode()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = b""
        while chunk := sock.recv(20_000):
            got += chunk
            if len(got) < 100_000:
                time.sleep(0.002)
    head, _, content = got.partition(b"\r\n\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(content)
    assert len(json.loads(content)["predictions"]) == 3000


def test_worker_imports_nothing_heavy(server: Server) -> None:
    """What it has mapped shows what it has imported, whoever did it."""
    server.predict([tiny.row()])
    for pid in server.workers():
        maps = Path(f"/proc/{pid}/maps").read_text()
        for name in ("torch", "sklearn", "pandas", "scipy", "sqlalchemy", "psycopg2", "matplotlib"):
            assert f"/site-packages/{name}/" not in maps, name


def test_worker_stays_below_100_megabytes(server: Server) -> None:
    for _ in range(200):
        server.predict([tiny.row()])
    for pid in server.workers():
        kilobytes = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
        assert kilobytes < 100_000


@pytest.mark.parametrize("worker_class", ["fast", "gthread"])
def test_terminate_answers_everything_that_was_sent(tmp_path: Path, worker_class: str) -> None:
    """Clients that keep sending see whole answers until the connection is closed, never a broken one."""
    tiny.publish(tiny.settings_for(tmp_path), "1")
    broken: list[str] = []
    answered = [0] * 4
    closed = threading.Event()

    def client(number: int) -> None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
                while True:
                    sock.sendall(REQUEST)
                    got = b""
                    while not got.endswith(b"}]}"):
                        chunk = sock.recv(65536)
                        if not chunk:
                            broken.append(f"closed after {got[:40]!r}")
                            return
                        got += chunk
                    answered[number] += 1
                    if b"Connection: close" in got:
                        return
        except OSError as error:
            broken.append(str(error))
        finally:
            closed.set()

    with serving(tmp_path, SERVING__WORKER_CLASS=worker_class) as server:
        threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(answered) > 50, what="traffic")
        assert server.stop(signal.SIGTERM) == 0
        for thread in threads:
            thread.join(timeout=10)
    if worker_class == "fast":  # gthread closes kept connections at once: the stock behaviour
        assert broken == []
    assert min(answered) > 0
