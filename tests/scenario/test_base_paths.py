"""Endpoints of one pool may stand below paths of their own, and want headers of their own."""

from collections.abc import Callable

from penstock.core.snapshot import PolicyChoice, Rewrite, Route
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import head
from tests.harness.model_server import ModelServer, chat
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import at, pool, route, world
from tests.scenario.conftest import Serve

KEY = (("Authorization", "Bearer theirs"), ("X-Team", "blue"))


def asked(place: HttpEndpoint) -> list[tuple[str, list[str], list[str]]]:
    """Path, authorization and team of each request that it got."""
    return [
        (each.target, each.headers.all("authorization"), each.headers.all("x-team"))
        for each in place.requests
    ]


def targets(place: HttpEndpoint) -> set[str]:
    return {each.target for each in place.requests}


def test_each_gets_paths_and_headers_as_it_wants_them(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    both = pool(at(endpoint, base_path="/openai", headers=KEY), other_endpoint)
    client = start(world(both)).connect()
    for _ in range(4):
        client.get("/v1/files?a=b", "Authorization: Bearer mine")
    mine, theirs = ["Bearer mine"], ["Bearer theirs"]
    assert asked(endpoint) == [("/openai/v1/files?a=b", theirs, ["blue"])] * 2
    assert asked(other_endpoint) == [("/v1/files?a=b", mine, [])] * 2


def test_a_retry_is_sent_as_the_other_endpoint_wants_it(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda _: Answer(503)
    both = pool(at(endpoint, base_path="/a"), at(other_endpoint, base_path="/b/c"))
    assert start(world(both)).connect().get("/x").status == 200
    assert (endpoint.last.target, other_endpoint.last.target) == ("/a/x", "/b/c/x")


def test_a_rewrite_comes_before_it(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    made: Route = route("main", rewrite=Rewrite("prefix", "/shop", ""))
    snapshot = world(pool(at(endpoint, base_path="/base")), routes=[made])
    start(snapshot).connect().get("/shop/cart")
    assert endpoint.last.target == "/base/cart"


def test_a_request_about_the_server_itself_has_no_path_to_add_to(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    client = start(world(pool(at(endpoint, base_path="/base")))).connect()
    client.request(head("OPTIONS * HTTP/1.1"), "OPTIONS")
    assert endpoint.last.target == "*"


def test_a_mirror_and_a_probe_are_asked_below_it_too(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    copies = pool(at(other_endpoint, base_path="/copies"), name="copies")
    asks = PolicyChoice("prequal", {"answers": "asked"})
    probed = pool(at(endpoint, base_path="/base", headers=KEY), policy=asks)
    snapshot = world(probed, copies, routes=[route("main", mirror="copies")])
    client = start(snapshot).connect()
    client.get("/x")
    wait_until(lambda: len(endpoint.requests) > 1, "the probe came")
    assert {each.target for each in endpoint.requests} == {"/base/x", "/base/load"}
    assert {each[1][0] for each in asked(endpoint)} == {"Bearer theirs"}
    wait_until(lambda: len(other_endpoint.requests) == 1, "the copy came")
    assert other_endpoint.last.target == "/copies/x"


def test_checks_and_models_are_asked_below_it(serve: Serve) -> None:
    with ModelServer("big") as server:
        endpoint = {"url": f"http://{server.name}/openai", "headers": dict(KEY)}
        pool = {
            "kind": "llm",
            "endpoints": [endpoint],
            "health_check": {"path": "/v1/models?check", "interval": "50ms"},
        }
        client = serve({"pools": {"main": pool}}).connect()
        assert client.request(chat("big")).status == 200
        wanted = {"v1/models", "v1/models?check", "metrics", "v1/chat/completions"}
        wait_until(lambda: {f"/openai/{p}" for p in wanted} <= targets(server), "all are asked")
        assert all(r.headers["authorization"] == "Bearer theirs" for r in server.requests)
