"""A whole balancer, and a collector that reads what it sends."""

import json
from typing import Any

from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


def spans_in(requests: list[Recorded]) -> list[dict[str, Any]]:
    """Of all exports that are whole."""
    return [
        span
        for request in requests
        if request.whole
        for resource in json.loads(request.body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_a_collector_gets_the_spans_of_a_request_and_its_endpoint_the_trace(serve: Serve) -> None:
    def took(_: Recorded) -> Answer:
        return Answer(body=b"{}", headers=(("Content-Type", "application/json"),))

    with HttpEndpoint() as endpoint, HttpEndpoint(took) as collector:
        balancer = serve(
            {
                "endpoints": [f"http://{endpoint.name}"],
                "health_check": "off",
                "workers": 1,
                "traces": {"collector": f"http://{collector.name}", "sample": 1.0},
            }
        )
        assert balancer.connect().get("/shop?key=secret").status == 200
        wait_until(lambda: len(spans_in(collector.requests)) >= 2, "spans came")
        server, attempt = spans_in(collector.requests)
        assert collector.last.target == "/v1/traces"
        assert attempt["parentSpanId"] == server["spanId"]
        assert attempt["traceId"] == server["traceId"]
        assert int(server["endTimeUnixNano"]) >= int(attempt["endTimeUnixNano"]) > 0
        assert b"secret" not in collector.last.body
        told = endpoint.last.headers["traceparent"]
        assert told == f"00-{attempt['traceId']}-{attempt['spanId']}-01"
