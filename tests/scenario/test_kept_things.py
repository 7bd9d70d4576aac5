"""Files, batches and conversations are where they were made, and nowhere else."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.harness.client import Client
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import get, head, post
from tests.harness.worker import Worker
from tests.harness.world import pool, world

_JSON = (("Content-Type", "application/json"),)


class Engine(HttpEndpoint):
    """It keeps what is made there, and knows no other's."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self._numbers = count(1)
        super().__init__(self._answer)

    def _made(self, kind: str) -> str:
        name = f"{kind}-{self.port}-{next(self._numbers)}"
        self.kept.add(name)
        return name

    def _answer(self, request: Recorded) -> Answer:
        parts = request.target.split("/")[2:]
        if request.method == "POST" and len(parts) == 1:
            asked = json.loads(request.body) if request.body.startswith(b"{") else {}
            wanted = asked.get("input_file_id") or asked.get("conversation")
            if wanted and wanted not in self.kept:
                return Answer(404)
            made: dict[str, object] = {"id": self._made(parts[0])}
            if parts[0] == "responses":
                made |= {"object": "response", "status": "completed", "output": []}
            return Answer(body=json.dumps(made).encode(), headers=_JSON)
        if parts[1] not in self.kept:
            return Answer(404)
        told = {"id": parts[1], "output_file_id": self._made("files")}
        return Answer(body=json.dumps(told).encode(), headers=_JSON)


@pytest.fixture
def client(start: Callable[..., Worker]) -> Iterator[Client]:
    with ExitStack() as stack:
        engines = [stack.enter_context(Engine()) for _ in range(3)]
        yield start(world(pool(*engines, kind="llm"))).connect()


def make(client: Client, path: str, **fields: object) -> str:
    body = json.dumps(fields).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    response = client.request(post(*lines, body=body, target=path))
    assert response.status == 200
    name: str = json.loads(response.body)["id"]
    return name


def upload(client: Client) -> str:
    body = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n{}\r\n--x--\r\n"
    lines = ("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(body)}")
    response = client.request(post(*lines, body=body, target="/v1/files"))
    name: str = json.loads(response.body)["id"]
    return name


def test_a_file_is_asked_for_where_it_was_made(client: Client) -> None:
    for name in [upload(client) for _ in range(5)]:
        assert client.request(get(f"/v1/files/{name}")).status == 200
        gone = head(f"DELETE /v1/files/{name} HTTP/1.1")
        assert client.request(gone, "DELETE").status == 200


def test_a_batch_is_made_where_its_file_is_and_what_it_wrote_is_found(client: Client) -> None:
    for _ in range(4):
        batch = make(client, "/v1/batches", input_file_id=upload(client), endpoint="/v1/x")
        told = client.request(get(f"/v1/batches/{batch}"))
        assert told.status == 200
        written = json.loads(told.body)["output_file_id"]
        assert client.request(get(f"/v1/files/{written}/content")).status == 200


def test_a_conversation_goes_on_where_it_was_made(client: Client) -> None:
    for _ in range(4):
        name = make(client, "/v1/conversations")
        for _ in range(3):
            make(client, "/v1/responses", model="m", input="a", conversation=name)


def test_a_stream_is_taken_up_where_its_conversation_is(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """llama.cpp keeps a stream under the client's ``X-Conversation-Id``."""
    client = start(world(pool(endpoint, other_endpoint, kind="llm"))).connect()
    body = b'{"model": "m", "messages": []}'
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    for number in range(4):
        asked = post(
            *lines, f"X-Conversation-Id: c{number}", body=body, target="/v1/chat/completions"
        )
        maker = client.request(asked).body
        assert client.request(get(f"/v1/stream?conv_id=c{number}&from=0")).body == maker
