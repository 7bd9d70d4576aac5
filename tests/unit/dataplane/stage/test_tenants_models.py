"""Which models a key may ask for, and in whose form those who may not are told."""

import json
from hashlib import sha256

import pytest

from penstock.core.snapshot import Key, Models, Snapshot, Tenant
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.messages import answer_of, get
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of

SECRET = "k" * 40
KEY = f"Authorization: Bearer {SECRET}"
ACME = Tenant(
    "acme",
    (Key("ci", sha256(SECRET.encode()).hexdigest()),),
    models=("small", "cheap"),
    aliases={"gpt": "small"},
)


def serving() -> Snapshot:
    engine = member(0, models=("big", "small"))
    pool = pool_of(engine, kind="llm", usage="off", models=Models(aliases={"cheap": {"big": 1.0}}))
    return world(pool, routes=[route("main", tenants="required")], tenants=(ACME,))


def post(path: str, *headers: str, **body: object) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + data


MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("named", "sent"), [("small", "small"), ("gpt", "small"), ("cheap", "big")]
)
def test_a_key_asks_for_what_it_may_under_names_of_its_tenants_own(named: str, sent: str) -> None:
    with Stage(serving()) as stage:
        client = stage.client()
        stage.send(client, post("/v1/chat/completions", KEY, model=named, messages=MESSAGES))
        endpoint, data = stage.asked()
        assert json.loads(data.partition(b"\r\n\r\n")[2])["model"] == sent
        stage.send(endpoint, answer_of(b"{}"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "invalid_request_error"),
        ("/v1/messages", "not_found_error"),
    ],
)
def test_of_other_models_nobody_is_told_that_there_are_any(path: str, kind: str) -> None:
    with Stage(serving()) as stage:
        for model in ("big", "unheard-of"):
            client = stage.client()
            asked = {"model": model, "messages": MESSAGES, "max_tokens": 5}
            stage.send(client, post(path, KEY, **asked))
            answer = client.read()
            assert status_of(answer) == 404
            told = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert told["type"] == kind
            assert "`cheap`, `small`" in told["message"]
        assert not stage.servers[0].accepted


def test_ollamas_clients_read_a_sentence() -> None:
    with Stage(serving()) as stage:
        client = stage.client()
        stage.send(client, post("/api/chat", KEY, model="big", messages=MESSAGES))
        answer = client.read()
        assert status_of(answer) == 404
        assert isinstance(json.loads(answer.partition(b"\r\n\r\n")[2])["error"], str)


def test_a_request_that_names_no_model_is_not_let_through_unread() -> None:
    with Stage(serving()) as stage:
        client = stage.client()
        stage.send(client, post("/v1/chat/completions", KEY, messages=MESSAGES))
        assert status_of(client.read()) == 403
        gone = stage.client()
        stage.send(
            gone,
            get(
                "/v1/realtime?model=big",
                KEY,
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
        )
        assert status_of(gone.read()) == 404


def test_the_list_of_models_has_what_the_key_may_ask_for() -> None:
    with Stage(serving()) as stage:
        client = stage.client()
        stage.send(client, get("/v1/models", KEY))
        answer = client.read()
        assert status_of(answer) == 200
        listed = json.loads(answer.partition(b"\r\n\r\n")[2])["data"]
        assert [each["id"] for each in listed] == ["cheap", "gpt", "small"]
        wrong = stage.client()
        stage.send(wrong, get("/v1/models"))
        assert status_of(wrong.read()) == 401


def test_wrong_keys_are_told_in_the_form_of_the_api_that_was_asked() -> None:
    with Stage(serving()) as stage:
        client = stage.client()
        stage.send(client, post("/v1/messages", "X-API-Key: no", model="small"))
        told = json.loads(client.read().partition(b"\r\n\r\n")[2])
        assert (told["type"], told["error"]["type"]) == ("error", "authentication_error")
        client = stage.client()
        stage.send(client, post("/v1/chat/completions", "Authorization: Bearer no", model="small"))
        assert json.loads(client.read().partition(b"\r\n\r\n")[2])["error"]["code"] == (
            "invalid_api_key"
        )
        client = stage.client()
        call = ["POST /shop.Cart/Add HTTP/1.1", "Host: x", "Content-Type: application/grpc-web"]
        stage.send(client, "\r\n".join([*call, "Content-Length: 0", "", ""]).encode())
        assert b"grpc-status:16" in client.read().replace(b" ", b"")
