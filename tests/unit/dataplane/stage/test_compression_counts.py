"""What is counted of compression: bytes before and after, and why answers pass as they came."""

import gzip

import pytest

from penstock.core.snapshot import Compression, Snapshot
from penstock.dataplane.board.layout import (
    CODINGS,
    UNCOMPRESSED,
    UNCOMPRESSED_REASONS,
    W_COMPRESSED_FROM,
    W_COMPRESSED_TO,
    W_UNCOMPRESSED,
)
from penstock.dataplane.exchange.compressed_body import MOST_AT_ONCE
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.messages import answer, get, head
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import ask, body_of

TEXT = b"a line of a page\n" * 200
HTML = "Content-Type: text/html"
GZIP = "Accept-Encoding: gzip"


def compressing() -> Snapshot:
    return world(pool_of(0, compression=Compression()))


def counted(stage: Stage, cell: int, labels: tuple[str, ...]) -> dict[str, int]:
    """Those that are not zero, by label."""
    values = stage.context.counters.values
    return {
        label: values[cell + number] for number, label in enumerate(labels) if values[cell + number]
    }


def test_bytes_are_counted_before_and_after_by_coding() -> None:
    with Stage(compressing()) as stage:
        client, endpoint = ask(stage, get("/", GZIP))
        stage.send(endpoint, answer(HTML, f"Content-Length: {len(TEXT)}", body=TEXT[:1000]))
        stage.send(endpoint, TEXT[1000:])
        framed = body_of(stage.received(client))
        assert counted(stage, W_COMPRESSED_FROM, CODINGS) == {"gzip": len(TEXT)}
        (became,) = counted(stage, W_COMPRESSED_TO, CODINGS).values()
        assert 18 < became < len(framed)
        assert counted(stage, W_UNCOMPRESSED, UNCOMPRESSED) == {}


def test_what_a_cut_answer_became_is_counted_too() -> None:
    with Stage(compressing()) as stage:
        client, endpoint = ask(stage, get("/", GZIP))
        stage.send(endpoint, answer(HTML, f"Content-Length: {len(TEXT)}", body=TEXT[:1000]))
        client.close()
        stage.settle()
        assert counted(stage, W_COMPRESSED_FROM, CODINGS) == {"gzip": 1000}


@pytest.mark.parametrize(
    ("request_lines", "answer_lines", "body", "why"),
    [
        ([], [HTML], TEXT, "not_accepted"),
        (["Accept-Encoding: br"], [HTML], TEXT, "not_accepted"),
        ([GZIP, "Cookie: who=me"], [HTML], TEXT, "private"),
        ([GZIP], [HTML, "Set-Cookie: who=me"], TEXT, "private"),
        ([GZIP], ["Content-Type: image/png"], TEXT, "type"),
        ([GZIP], [HTML], b"short", "small"),
        ([GZIP], [HTML, "Content-Encoding: br"], TEXT, "unsuitable"),
        ([GZIP], [HTML, "Cache-Control: no-transform"], TEXT, "unsuitable"),
    ],
)
def test_an_answer_that_passes_tells_why(
    request_lines: list[str], answer_lines: list[str], body: bytes, why: str
) -> None:
    with Stage(compressing()) as stage:
        client, endpoint = ask(stage, get("/", *request_lines))
        stage.send(endpoint, answer(*answer_lines, f"Content-Length: {len(body)}", body=body))
        assert body_of(stage.received(client)) == body
        assert counted(stage, W_UNCOMPRESSED, UNCOMPRESSED) == {why: 1}
        assert counted(stage, W_COMPRESSED_FROM, CODINGS) == {}


def test_an_answer_without_length_that_turns_out_small_is_small() -> None:
    with Stage(compressing()) as stage:
        client, endpoint = ask(stage, get("/", GZIP))
        stage.send(
            endpoint, answer(HTML, "Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n")
        )
        assert b"ab" in stage.received(client)
        assert counted(stage, W_UNCOMPRESSED, UNCOMPRESSED) == {"small": 1}


def test_head_and_too_many_at_once_are_told_too() -> None:
    with Stage(compressing()) as stage:
        _, endpoint = ask(stage, head("HEAD / HTTP/1.1", GZIP))
        stage.send(endpoint, answer(HTML, f"Content-Length: {len(TEXT)}", body=b""))
        stage.context.compressing = MOST_AT_ONCE
        _, endpoint = ask(stage, get("/", GZIP))
        stage.send(endpoint, answer(HTML, f"Content-Length: {len(TEXT)}", body=TEXT))
        stage.context.compressing = 0
        assert counted(stage, W_UNCOMPRESSED, UNCOMPRESSED) == {"unsuitable": 1, "busy": 1}


def test_each_reason_has_a_cell() -> None:
    assert len(UNCOMPRESSED) == UNCOMPRESSED_REASONS


def test_gzip_is_what_is_counted_by_its_own_length() -> None:
    """Without the framing of chunks."""
    with Stage(compressing()) as stage:
        client, endpoint = ask(stage, head("GET / HTTP/1.0", GZIP))
        stage.send(endpoint, answer(HTML, f"Content-Length: {len(TEXT)}", body=TEXT))
        compressed = body_of(stage.received(client))
        assert gzip.decompress(compressed) == TEXT
        assert counted(stage, W_COMPRESSED_TO, CODINGS) == {"gzip": len(compressed)}
