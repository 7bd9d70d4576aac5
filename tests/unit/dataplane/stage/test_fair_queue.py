"""Tenants that wait for the same engine: by class, by weight, by what each has used in truth."""

import json
from hashlib import sha256
from typing import Any

from penstock.core.snapshot import Admission, Key, Queue, Snapshot, Tenant
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.test_tenants_models import post


def secret(tenant: str) -> str:
    return tenant * 40


def tenant_of(name: str, **settings: Any) -> Tenant:
    return Tenant(name, (Key("k", sha256(secret(name).encode()).hexdigest()),), **settings)


def shared(*tenants: Tenant, **admission: Any) -> Snapshot:
    """One engine that takes one prompt at a time."""
    queue = Admission(queue=Queue(length=50, timeout_s=1000.0), **admission)
    engine = member(0, max_in_flight=1)
    return world(
        pool_of(engine, kind="llm", usage="asked", admission=queue),
        routes=[route("main", tenants="required")],
        tenants=tenants,
    )


def ask(stage: Stage, tenant: str) -> End:
    client = stage.client()
    messages = [{"role": "user", "content": f"I am {tenant}"}]
    key = f"Authorization: Bearer {secret(tenant)}"
    body = {"model": "small", "messages": messages, "max_tokens": 100}
    stage.send(client, post("/v1/chat/completions", key, **body))
    return client


def used(prompt: int, output: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": output}
    body = json.dumps({"choices": [{"finish_reason": "stop"}], "usage": usage}).encode()
    return answer("Content-Type: application/json", f"Content-Length: {len(body)}", body=body)


def served(stage: Stage, count: int, usage: dict[str, tuple[int, int]]) -> list[str]:
    """Who is served, one after the other; each uses what its tenant does."""
    order = []
    for _ in range(count):
        ((endpoint, asked),) = [
            (each, data) for each in stage.servers[0].accepted if (data := stage.received(each))
        ]
        (tenant,) = [name for name in usage if f"I am {name}".encode() in asked]
        order.append(tenant)
        stage.send(endpoint, used(*usage[tenant]))
    return order


def test_what_tenants_have_used_in_truth_decides_who_goes_next() -> None:
    """Both are thought to ask for as much; one's answers take a hundred times as many tokens."""
    with Stage(shared(tenant_of("a"), tenant_of("b"))) as stage:
        clients = [ask(stage, "a")]
        clients += [ask(stage, "a") for _ in range(3)]
        clients += [ask(stage, "b") for _ in range(6)]
        order = served(stage, 10, {"a": (500, 500), "b": (5, 5)})
        assert order[0] == "a"  # it came when nobody waited
        assert order[1:3].count("a") == 1
        # Until b has had as much, which it never has, or has nothing more to ask.
        assert order[-2:] == ["a", "a"]
        assert all(status_of(client.read()) == 200 for client in clients)


def test_a_tenant_of_a_more_important_class_goes_first() -> None:
    classes = {"interactive": 0, "batch": 100}
    batch = tenant_of("b", priority_class="batch")
    interactive = tenant_of("i", priority_class="interactive")
    with Stage(shared(batch, interactive, priorities=classes)) as stage:
        clients = [ask(stage, tenant) for tenant in "bbbii"]
        order = served(stage, 5, {"b": (5, 5), "i": (5, 5)})
        assert order == ["b", "i", "i", "b", "b"]
        assert all(status_of(client.read()) == 200 for client in clients)


def test_weights_are_shares() -> None:
    with Stage(shared(tenant_of("a", weight=3.0), tenant_of("b", weight=1.0))) as stage:
        clients = [ask(stage, tenant) for tenant in "b" + 12 * "ab"]
        order = served(stage, 17, {"a": (50, 50), "b": (50, 50)})
        assert order[1:].count("a") == 12
        served(stage, 8, {"a": (50, 50), "b": (50, 50)})
        assert all(status_of(client.read()) == 200 for client in clients)
