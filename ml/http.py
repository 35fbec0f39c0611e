"""Get and post JSON with the standard library: one request, a time limit, and an error that names address and status.

A connection a call. What is asked at a high rate keeps a connection of its own.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from ml.errors import Transient
from ml.messages import Message, message

TIMEOUT_S = 30.0  # without an answer; our choice
MAX_ANSWER_BYTES = 64_000_000  # of an answer's body; our choice: no address that is asked has so much to say
SHOWN_CHARACTERS = 500  # of what an answer says, in the error


class HttpError(Transient):
    """Raised when an address does not answer, or answers with another status than 2xx, or with what is no JSON.

    Attributes
    ----------
    status
        The answer's status; 0 where none came.
    content
        The answer's body, bytes; empty where none came.
    reason
        What is wrong, without the address, which may hold a token; a server that answers may repeat it.
    refused
        Nothing listens there.
    """

    def __init__(self, address: str, reason: Message, *, status: int = 0, content: bytes = b"", refused: bool = False):
        super().__init__(message("connections.at", address=address, what=reason))
        self.code = reason.code
        self.address, self.reason = address, reason
        self.status, self.content, self.refused = status, content, refused


def get(address: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON at an address; None where the answer is empty.

    Raises
    ------
    HttpError
        See there.
    """
    return request("GET", address, headers=headers, timeout_s=timeout_s)


def post(address: str, body: Any, *, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """Post a JSON-able value; returns the JSON of the answer, None where that is empty.

    Parameters
    ----------
    body
        Sent as JSON; None sends no body.

    Raises
    ------
    HttpError
        See there.
    """
    return request("POST", address, body, headers=headers, timeout_s=timeout_s)


def request(
    method: str,
    address: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """One request, with a JSON body where `body` is not None; returns the JSON of the answer.

    Parameters
    ----------
    timeout_s
        Seconds that connecting, and each wait for bytes, may take.

    Raises
    ------
    HttpError
        The address is not http(s), does not answer in time, or answers with another status than 2xx or no JSON.
    """
    _, content = exchange(method, address, body, headers=headers, timeout_s=timeout_s)
    return parsed(address, content)


def answers(address: str, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether a GET is answered with 200, whatever it says."""
    try:
        return exchange("GET", address, timeout_s=timeout_s)[0] == 200
    except HttpError:
        return False


def exchange(
    method: str,
    address: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, bytes]:
    """One request; returns status and body of a 2xx answer as they came, the body up to `MAX_ANSWER_BYTES`.

    Parameters
    ----------
    body
        Sent as JSON; None sends no body.

    Raises
    ------
    HttpError
        As `request`, but for what the body holds.
    """
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise HttpError(address, message("connections.no_http"))
    sent = {"Accept": "application/json", **(headers or {})}
    content = None if body is None else json.dumps(body).encode("utf-8")
    if content is not None:
        sent["Content-Type"] = "application/json"
    asked = urllib.request.Request(address, data=content, headers=sent, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=timeout_s) as answer:
            content = answer.read(MAX_ANSWER_BYTES)
            if answer.length:  # broken off, or longer than what is taken
                raise http.client.IncompleteRead(content, answer.length)
            return int(answer.status), content
    except urllib.error.HTTPError as error:
        with error:
            found = _rest_of(error)
        raise HttpError(address, _answered(error.code, method, found), status=error.code, content=found) from error
    except (ValueError, http.client.InvalidURL) as error:  # whose text repeats the address
        raise HttpError(address, message("connections.cannot_be_asked", error=type(error).__name__)) from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        refused = isinstance(why, ConnectionRefusedError)
        silent = message("connections.silent", method=method, error=str(why))
        raise HttpError(address, silent, refused=refused) from error


def parsed(address: str, content: bytes) -> Any:
    """The JSON of an answer; None where it is empty.

    Raises
    ------
    HttpError
        It is no JSON.

    >>> parsed("http://127.0.0.1:8000/model", b'{"model_version": "3"}')
    {'model_version': '3'}
    """
    try:
        return json.loads(content) if content.strip() else None
    except ValueError as error:
        shown = content[:SHOWN_CHARACTERS].decode("utf-8", "replace")
        what = message("connections.no_json", content=repr(shown))
        raise HttpError(address, what, status=200, content=content) from error


def _rest_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):  # broken off: the status is known all the same
        return b""


def _answered(status: int, method: str, content: bytes) -> Message:
    """What a refusal says: the `detail` of a problem, else its first bytes."""
    try:
        detail = str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = content[:SHOWN_CHARACTERS].decode("utf-8", "replace").strip()
    if not detail:
        return message("connections.status", status=status, method=method)
    return message("connections.status_saying", status=status, method=method, answer=detail[:SHOWN_CHARACTERS])
