"""Bodies in chunks: the same however they are cut, and with a bound on what the cutting costs."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest

from serving.http.http1 import MAX_FRAMING_BYTES, Body, Refused

AFTER = b"GET / HTTP/1.1\r\n"


def encoded(parts: list[bytes], extension: bytes = b"") -> bytes:
    """As a client sends them; parts are not empty."""
    return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n\r\n"


def read(body: Body, fed: list[bytes]) -> tuple[bytes, bytes]:
    """(the body, what came after it)."""
    with contextlib.closing(body):
        rest = b"".join([body.feed(piece) for piece in fed])
        assert body.complete
        return body.open().read(), rest


@pytest.mark.parametrize("extension", [b"", b";a=b", b" ; a"])
def test_a_body_is_the_same_wherever_the_network_cuts_it(extension: bytes) -> None:
    chance = random.Random(7)
    for _ in range(300):
        parts = [chance.randbytes(chance.randint(1, 40)) for _ in range(chance.randint(0, 20))]
        whole = encoded(parts, extension) + AFTER
        places = [0, *sorted(chance.choices(range(len(whole)), k=chance.randint(0, 30))), len(whole)]
        pieces = [whole[begin:end] for begin, end in itertools.pairwise(places)]
        assert read(Body(-1, 10_000), pieces) == (b"".join(parts), AFTER)


def test_chunks_of_one_byte_are_read_until_their_lines_outweigh_what_they_hold() -> None:
    few = encoded([b"x"] * 5_000)
    assert len(few) < MAX_FRAMING_BYTES
    assert read(Body(-1, 1_000_000), [few]) == (b"x" * 5_000, b"")
    with contextlib.closing(Body(-1, 1_000_000)) as body, pytest.raises(Refused) as refused:
        body.feed(encoded([b"x"] * 50_000))
    assert refused.value.status == 400
    line = b"0.125,0.25,5\n"  # as a client that streams a table line by line
    assert read(Body(-1, 10_000_000), [encoded([line] * 50_000)]) == (line * 50_000, b"")


def test_a_chunk_is_copied_once_and_not_all_that_follows_it() -> None:
    class Counted(bytes):
        copied = 0

        def __radd__(self, other: bytes) -> Counted:
            return self

        def __getitem__(self, place: object) -> bytes:  # type: ignore[override]
            found = bytes.__getitem__(self, place)  # type: ignore[call-overload]
            Counted.copied += len(found)
            return bytes(found)

    data = Counted(encoded([b"x"] * 9_000))
    assert read(Body(-1, 1_000_000), [data])[0] == b"x" * 9_000
    assert Counted.copied <= len(data)
