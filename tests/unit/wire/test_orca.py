"""The load in a response's head is read in every form that engines write it."""

import pytest

from penstock.wire.orca import load_metrics

EXPECTED = {"cpu_utilization": 0.5, "num_requests_waiting": 2.0}


def told(name: bytes, value: bytes) -> dict[str, float]:
    fields = [(b"date", b"Date", b"today"), (name, name.title(), value)]
    return load_metrics(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            b"endpoint-load-metrics",
            b"TEXT cpu_utilization=0.5, named_metrics.num_requests_waiting=2",
        ),
        (
            b"endpoint-load-metrics",
            b"TEXT cpu_utilization:0.5,named_metrics.num_requests_waiting:2.0,nonsense",
        ),
        (
            b"endpoint-load-metrics",
            b'JSON {"cpu_utilization": 0.5, "named_metrics": {"num_requests_waiting": 2}}',
        ),
        (
            b"endpoint-load-metrics-json",
            b'{"cpu_utilization": 0.5, "named_metrics": {"num_requests_waiting": 2}}',
        ),
    ],
)
def test_every_form_says_the_same(name: bytes, value: bytes) -> None:
    assert told(name, value) == EXPECTED


@pytest.mark.parametrize(
    "value", [b"", b"BIN abc", b"JSON {", b"JSON []", b"TEXT", b"TEXT " + b"a=1," * 4000]
)
def test_what_cannot_be_read_tells_nothing(value: bytes) -> None:
    assert told(b"endpoint-load-metrics", value) == {}


@pytest.mark.parametrize("number", [b"inf", b"-inf", b"nan", b"-1", b"1e999"])
def test_a_load_that_cannot_be_is_not_known(number: bytes) -> None:
    value = b"TEXT kv_cache_usage_perc=%b, cpu_utilization=0.5" % number
    assert told(b"endpoint-load-metrics", value) == {"cpu_utilization": 0.5}


def test_a_response_without_it_tells_nothing() -> None:
    assert load_metrics([(b"date", b"Date", b"today")]) == {}
