"""One JSON client: what came is returned, what did not is told with address and status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from ml import http
from ml.http import HttpError
from tests import fake_http


class Echo(fake_http.Handler):
    """Answers with what `answers` says of the path; `/echo` with method, headers and body."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {
        "/empty": (204, b""),
        "/text": (200, b"hello"),
        "/problem": (422, b'{"detail": "row 0: missing"}'),
        "/broken": (500, b"<h1>oh</h1>"),
    }

    def do_GET(self) -> None:
        echo = {"method": self.command, "body": self.body(), "key": self.headers.get("Authorization")}
        self.answer(*self.answers.get(self.path, (200, json.dumps(echo).encode())))

    do_POST = do_PATCH = do_GET


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fake_http.serving(Echo) as port:
        yield f"http://127.0.0.1:{port}"


def test_json_goes_and_comes(url: str) -> None:
    assert http.get(f"{url}/echo") == {"method": "GET", "body": None, "key": None}
    sent = {"rows": [{"Tên": "Hà Nội", "x": 1.5}]}
    assert http.post(f"{url}/echo", sent, headers={"Authorization": "Bearer k"}) == {
        "method": "POST", "body": sent, "key": "Bearer k",
    }  # fmt: skip
    assert http.request("PATCH", f"{url}/echo", {})["method"] == "PATCH"


def test_an_empty_answer_is_none(url: str) -> None:
    assert http.post(f"{url}/empty", {}) is None


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/problem", 422, "answers 422 to GET: row 0: missing"),
        ("/broken", 500, "answers 500 to GET: <h1>oh</h1>"),
        ("/text", 200, "answers with what is no JSON: 'hello'"),
    ],
    ids=["problem", "page", "no json"],
)
def test_an_answer_that_is_no_good_is_told(url: str, path: str, status: int, words: str) -> None:
    """With the address, the status and what the server says; the body is kept."""
    with pytest.raises(HttpError) as raised:
        http.get(f"{url}{path}")
    assert str(raised.value) == f"{url}{path} {words}"
    assert (raised.value.status, raised.value.content) == (status, Echo.answers[path][1])
    assert not raised.value.refused


def test_nobody_there_is_told() -> None:
    """Apart from somebody who does not answer: a caller may pass over what was never started."""
    with pytest.raises(HttpError, match=r"http://127\.0\.0\.1:9/x does not answer GET: .*refused") as raised:
        http.get("http://127.0.0.1:9/x")
    assert raised.value.refused
    assert raised.value.status == 0


def test_only_http_is_opened() -> None:
    """`urllib` would read files too."""
    with pytest.raises(HttpError, match="is not an http"):
        http.get("file:///etc/passwd")


def test_the_reason_holds_no_address() -> None:
    """A webhook's address is its password."""
    for address in ("http://127.0.0.1:9/token", "ftp://127.0.0.1/token", "http://127.0.0.1:9/token \n"):
        with pytest.raises(HttpError) as raised:
            http.post(address, {})
        assert "token" not in str(raised.value.reason)


@pytest.mark.parametrize(
    ("path", "good"),
    [("/text", True), ("/echo", True), ("/empty", False), ("/broken", False)],
    ids=["text", "json", "204", "500"],
)
def test_an_address_answers_with_200_or_not(url: str, path: str, good: bool) -> None:
    assert http.answers(f"{url}{path}") is good
    assert not http.answers("http://127.0.0.1:9")


def test_an_answer_that_breaks_off_is_told() -> None:
    """`http.client` raises an error of its own kind for it, which is no OSError."""
    with (
        fake_http.breaking_off() as port,
        pytest.raises(HttpError, match="does not answer GET: IncompleteRead"),
    ):
        http.get(f"http://127.0.0.1:{port}/")
