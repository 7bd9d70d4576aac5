"""How long an endpoint has owed a byte and sent none: seen while it goes on."""

from penstock.core.endpoint import Endpoint
from penstock.core.policy.base import Policy
from penstock.core.request import Request
from penstock.core.ticket import CLIENT_GONE, DONE, RESET, TIMEOUT, Ticket

PROMPT = Request(prompt_tokens=100)
WHOLE = Request(prompt_tokens=100, streams=False)
PLAIN = Request()


def sent(endpoint: Endpoint, request: Request, now: float) -> Ticket:
    return Ticket(endpoint, Policy(), request, now)


def test_it_counts_from_when_the_endpoint_began_to_owe() -> None:
    endpoint = Endpoint("e")
    sent(endpoint, PROMPT, 10.0)
    sent(endpoint, PROMPT, 14.0)
    assert endpoint.silence_s(15.0) == 5.0


def test_any_byte_that_was_waited_for_ends_it() -> None:
    endpoint = Endpoint("e")
    first = sent(endpoint, PROMPT, 10.0)
    sent(endpoint, PROMPT, 10.0)
    first.first_byte(12.0)
    assert endpoint.silence_s(13.0) == 1.0
    endpoint.heard(14.0)  # one more token
    assert endpoint.silence_s(15.0) == 1.0


def test_a_stream_of_tokens_that_stops_is_silence() -> None:
    endpoint = Endpoint("e")
    sent(endpoint, PROMPT, 10.0).first_byte(11.0)
    assert endpoint.silence_s(31.0) == 20.0


def test_after_its_first_byte_any_other_response_may_pause() -> None:
    endpoint = Endpoint("e")
    sent(endpoint, PLAIN, 10.0).first_byte(11.0)
    assert endpoint.silence_s(31.0) == 0.0


def test_an_answer_that_comes_whole_is_owed_at_no_time_but_is_heard() -> None:
    endpoint = Endpoint("e")
    whole = sent(endpoint, WHOLE, 10.0)
    assert endpoint.silence_s(60.0) == 0.0
    sent(endpoint, PROMPT, 60.0)
    whole.settle(DONE, 61.0)
    assert endpoint.silence_s(63.0) == 2.0


def test_an_endpoint_with_nothing_to_do_is_not_silent() -> None:
    endpoint = Endpoint("e")
    ticket = sent(endpoint, PROMPT, 10.0)
    ticket.first_byte(11.0)
    ticket.settle(DONE, 12.0)
    assert endpoint.silence_s(1000.0) == 0.0
    sent(endpoint, PROMPT, 1000.0)
    assert endpoint.silence_s(1001.0) == 1.0


def test_where_all_gave_up_the_next_request_is_a_trial_until_it_is_answered() -> None:
    endpoint = Endpoint("e")
    for outcome in (TIMEOUT, CLIENT_GONE):
        sent(endpoint, PROMPT, 10.0).settle(outcome, 30.0)
    assert endpoint.silence_s(40.0) == 0.0
    trial = sent(endpoint, PROMPT, 40.0)
    assert endpoint.silence_s(40.5) == 30.5
    trial.first_byte(41.0)
    assert endpoint.silence_s(41.5) == 0.5


def test_a_client_that_leaves_at_once_tells_nothing() -> None:
    endpoint = Endpoint("e")
    sent(endpoint, PROMPT, 10.0).settle(CLIENT_GONE, 10.2)
    sent(endpoint, PROMPT, 20.0)
    assert endpoint.silence_s(21.0) == 1.0


def test_an_endpoint_that_is_kept_from_sending_owes_nothing_meanwhile() -> None:
    endpoint = Endpoint("e")
    ticket = sent(endpoint, PROMPT, 10.0)
    ticket.first_byte(11.0)
    ticket.hold(12.0)  # its client reads slowly
    assert endpoint.silence_s(60.0) == 0.0
    ticket.go_on(60.0)
    assert endpoint.silence_s(61.0) == 1.0
    ticket.settle(RESET, 62.0)
    assert endpoint.owed == 0


def test_however_requests_end_nothing_stays_owed() -> None:
    endpoint = Endpoint("e")
    for request in (PROMPT, WHOLE, PLAIN):
        for outcome in (DONE, CLIENT_GONE, RESET, TIMEOUT):
            for answered in (False, True):
                ticket = sent(endpoint, request, 10.0)
                if answered:
                    ticket.first_byte(11.0)
                    ticket.hold(11.5)
                ticket.settle(outcome, 12.0)
    assert endpoint.owed == 0
