"""A head that differs from the one before by the length of its body alone is as if parsed anew."""

import pytest

from penstock.core.snapshot import HeaderMatch, Match
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, post
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import body_of, status_of

_OTHERS = "X-Content-Length: 7\r\nCookie: content-length: 9"


def asked(body: bytes, name: str = "Content-Length", others: str = _OTHERS) -> bytes:
    return post(f"{name}: {len(body)}\r\n{others}", body=body)


def exchange(stage: Stage, client: End, request: bytes, row: int = 0) -> bytes:
    """What the endpoint got, which answers."""
    stage.send(client, request)
    endpoint, got = stage.asked(row)
    stage.send(endpoint, answer_of(b"yes"))
    assert body_of(stage.received(client)) == b"yes"
    return got


def without_id(head: bytes) -> bytes:
    return b"\r\n".join([line for line in head.split(b"\r\n") if b"X-Request-ID" not in line])


def test_each_request_goes_on_with_its_own_length_and_is_else_the_same() -> None:
    bodies = [b"a", b"b", b"c" * 12, b"d" * 345, b"e"]
    with Stage() as stage:
        client = stage.client()
        got = [exchange(stage, client, asked(body)) for body in bodies]
        alone = [exchange(stage, stage.client(), asked(body)) for body in bodies]
    assert [without_id(each) for each in got] == [without_id(each) for each in alone]
    for body, each in zip(bodies, got, strict=True):
        head, _, sent = each.partition(b"\r\n\r\n")
        assert sent == body
        assert head.count(b"\r\nContent-Length: %d\r\n" % len(body)) == 1


@pytest.mark.parametrize("digits", ["-1", "+1", "1 1", "0x1", "1,1", "9" * 25, "\u00b2", ""])
def test_a_length_that_is_none_is_refused_whatever_came_before(digits: str) -> None:
    with Stage() as stage:
        client = stage.client()
        for body in (b"a", b"bb", b"ccc"):
            exchange(stage, client, asked(body))
        stage.send(client, post(f"Content-Length: {digits}\r\n{_OTHERS}", body=b"x"))
        assert status_of(stage.received(client)) == 400


def test_other_fields_are_looked_at() -> None:
    with Stage() as stage:
        client = stage.client()
        got = [exchange(stage, client, asked(body)) for body in (b"a", b"bb", b"ccc")]
        got.append(exchange(stage, client, asked(b"d", others=_OTHERS.replace("7", "8"))))
        got.append(exchange(stage, client, asked(b"ee", name="content-length")))
    assert b"X-Content-Length: 7" in got[2]
    assert b"X-Content-Length: 8" in got[3]
    assert got[4].endswith(b"\r\n\r\nee")


def test_what_comes_in_pieces_is_the_same() -> None:
    with Stage() as stage:
        client = stage.client()
        for body in (b"a", b"b"):
            exchange(stage, client, asked(body))
        for body in (b"cc", b"d" * 100):
            request = asked(body)
            for byte in request[:-1]:
                stage.send(client, bytes([byte]))
            got = exchange(stage, client, request[-1:])
            assert got.endswith(b"\r\n\r\n" + body)


def test_where_a_route_looks_at_the_length_each_request_is_routed() -> None:
    long = Match(headers=(HeaderMatch(name="content-length", kind="exact", value="2"),))
    pools = (pool_of(0), pool_of(1, name="long", row=1))
    routes = [route("long", match=long), route("main")]
    with Stage(world(*pools, routes=routes)) as stage:
        client = stage.client()
        for body in (b"a", b"b", b"cc", b"d"):
            exchange(stage, client, asked(body), row=len(body) - 1)
