"""Lines in the forms of others are what programs that read those expect, and keep secrets."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.caller import Caller
from penstock.core.snapshot import RequestLog
from penstock.dataplane.exchange.access_line import quoted
from penstock.dataplane.exchange.log_line import closed_line, log_line, refusal_line
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.io.system import System
from penstock.dataplane.record.log_shape import LogShape
from penstock.dataplane.record.time_of_day import tell_time_by
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import BadMessage, parse_request

# As halog, GoAccess and others take lines apart.
COMMON = re.compile(
    rb"(\S+) (\S+) (\S+) \[(\d{2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] "
    rb'"((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?\n'
)
HAPROXY = re.compile(
    rb"(\S+):(\d+) \[(\d{2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2}\.\d{3})\] (\S+) (\S+)/(\S+) "
    rb"(-?\d+)/(-?\d+)/(-?\d+)/(-?\d+)/(\d+) (\d+) (\d+) - - (\S{4}) "
    rb'\d+/\d+/\d+/\d+/(\d+) \d+/\d+ "((?:[^"\\]|\\.)*)"\n'
)
HEAD = (
    b"GET /a?token=secret&x=1 HTTP/1.1\r\nHost: site\r\nReferer: http://b/\r\n"
    b'User-Agent: x"y\x80\\\r\n\r\n'
)


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    tell_time_by(System(wall_clock=lambda: 1_769_860_800.623))
    yield
    tell_time_by(System())


def outcome(head: bytes = HEAD) -> Outcome:
    """Of a request that began half a second before noon."""
    plan = Plan(1, None, b"")
    plan.source = "192.0.2.77"
    made = Outcome(parse_request(head, 4000, 10), plan, b"id", 1.0, "done")
    made.status, made.response_bytes, made.attempts = 200, 512, 2
    made.pool, made.endpoint = b"main", b"web-1"
    made.queued_s, made.connect_s, made.first_byte_at = 0.020, 0.003, 1.1
    return made


def line(log: RequestLog, of: Outcome | None = None) -> bytes:
    return log_line(of or outcome(), 1.5, LogShape(log))


class TestForms:
    def test_common(self) -> None:
        assert line(RequestLog(format="common")) == (
            b'192.0.2.77 - - [31/Jan/2026:12:00:00 +0000] "GET /a?token=secret&x=1 HTTP/1.1"'
            b" 200 512\n"
        )

    def test_combined_has_referer_and_agent_and_the_tenant_as_user(self) -> None:
        of = outcome()
        of.caller = Caller(tenant="acme inc")
        found = COMMON.fullmatch(line(RequestLog(format="combined"), of))
        assert found is not None
        assert found[3] == b"acme_inc"
        assert (found[8], found[9]) == (b"http://b/", rb"x\"y\x80\\")

    def test_haproxy(self) -> None:
        assert line(RequestLog(format="haproxy")) == (
            b"192.0.2.77:0 [31/Jan/2026:12:00:00.123] - main/web-1 0/20/3/77/500 200 512 - - ----"
            b' 0/0/0/0/1 0/0 "GET /a?token=secret&x=1 HTTP/1.1"\n'
        )

    @pytest.mark.parametrize(
        ("ended", "told"), [("client_gone", b"CD--"), ("cut", b"SD--"), ("refused", b"SQ--")]
    )
    def test_haproxy_tells_who_ended_it(self, ended: str, told: bytes) -> None:
        of = outcome()
        of.ended = ended
        found = HAPROXY.fullmatch(line(RequestLog(format="haproxy"), of))
        assert found is not None
        assert found[14] == told

    def test_what_was_no_request_has_a_line_of_the_same_form(self) -> None:
        received = b'GE\x00T "/\r\nHost: a\r\n'
        for form, pattern in (("common", COMMON), ("combined", COMMON), ("haproxy", HAPROXY)):
            shape = LogShape(RequestLog(format=form))  # type: ignore[arg-type]
            assert pattern.fullmatch(refusal_line("192.0.2.1", received, 400, "bad", shape))
            assert closed_line("192.0.2.1", "main", "no TLS", shape) == b""

    @given(st.binary(max_size=40).filter(lambda raw: not re.search(rb"[\r\n\0]", raw)))
    def test_whatever_clients_send_a_line_stays_one(self, agent: bytes) -> None:
        head = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x" + agent + b"x\r\n\r\n"
        try:
            of = outcome(head)
        except BadMessage:
            return
        assert COMMON.fullmatch(line(RequestLog(format="combined"), of))

    @given(st.binary())
    def test_quoted_text_has_no_quote_or_control_character_of_its_own(self, text: bytes) -> None:
        plain, escaped = rb"[\x20-\x21\x23-\x5b\x5d-\x7e]", rb'\\["\\]|\\x[0-9a-f]{2}'
        assert re.fullmatch(rb"(?:%b|%b)*" % (plain, escaped), quoted(text))


class TestWhatIsLeftOut:
    @pytest.mark.parametrize("form", ["json", "common", "combined", "haproxy"])
    @pytest.mark.parametrize("name", ["token", "Token", "%74oken", "t%6Fken"])
    def test_values_of_hidden_parameters_are_in_no_form(self, form: str, name: str) -> None:
        log = RequestLog(format=form, hide_query=("TOKEN",))  # type: ignore[arg-type]
        head = HEAD.replace(b"token=", name.encode() + b"=")
        told = line(log, outcome(head))
        assert b"secret" not in told
        assert b"x=1" in told

    @pytest.mark.parametrize(
        ("clients", "address", "told"),
        [
            ("whole", "192.0.2.77", "192.0.2.77"),
            ("network", "192.0.2.77", "192.0.2.0"),
            ("network", "2001:db8:1:2:3::4", "2001:db8:1::"),
            ("network", "unix:", "-"),
            ("off", "192.0.2.77", "-"),
        ],
    )
    def test_addresses_are_told_as_far_as_they_may_be(
        self, clients: str, address: str, told: str
    ) -> None:
        shape = LogShape(RequestLog(clients=clients))  # type: ignore[arg-type]
        assert shape.client(address) == told
        of = outcome()
        if clients != "whole":
            assert b"192.0.2.77" not in log_line(of, 1.5, shape)

    def test_a_share_of_what_went_well_has_a_line_and_all_that_did_not(self) -> None:
        shape = LogShape(RequestLog(sample=0.1))
        kept = sum(shape.wants(200, "done") for _ in range(10_000))
        assert 800 < kept < 1200
        assert all(shape.wants(status, "done") for status in [500, 503] * 100)
        assert all(shape.wants(200, ended) for ended in ["cut", "client_gone", "refused"] * 100)
        assert not any(LogShape(RequestLog(sample=0.0)).wants(404, "done") for _ in range(1000))
