"""A gateway that dies without a word holds no load for long; one that only waits is left alone."""

from penstock.dataplane.board.layout import P_CLIENT_GONE
from tests.harness.ext_proc_messages import response_headers
from tests.harness.fake.gateway import Gateway, prompt
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage
from tests.harness.world import world
from tests.unit.dataplane.stage.test_endpoint_picking import llm, picker

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def test_a_gateway_that_dies_silently_holds_no_load_for_longer_than_its_pings_take() -> None:
    with picker(llm(0)) as stage:
        gateway = Gateway(stage)
        waiting, answered = gateway.call(), gateway.call()
        waiting.ask(prompt())
        answered.ask(prompt())
        answered.say(response_headers({":status": "200"}, ends=False))
        assert stage.in_flight() == 2
        stage.pass_time(14.0, 1.0)
        assert stage.in_flight() == 2
        stage.pass_time(15.0, 1.0)  # it is asked, and says nothing
        assert stage.in_flight() == 2
        stage.pass_time(2.0, 1.0)
        assert stage.in_flight() == 0
        assert gateway.peer.end.dead
        assert stage.pool().counters.values[P_CLIENT_GONE] > 0
        assert stage.context.prompt_bytes == 0


def test_a_gateway_that_answers_pings_may_wait_as_long_as_it_takes() -> None:
    with picker(llm(0)) as stage:
        gateway = Gateway(stage)
        call = gateway.call()
        call.ask(prompt())
        for _ in range(10):
            stage.pass_time(16.0, 1.0)
            gateway.peer.pump()  # which answers them
            assert stage.in_flight() == 1
        call.answer(200, b"{}")
        call.close()
        assert stage.in_flight() == 0
        stage.pass_time(40.0, 1.0)  # without a call it is not asked
        assert not gateway.peer.end.dead


def test_what_it_says_counts_as_an_answer() -> None:
    with picker(llm(0)) as stage:
        gateway = Gateway(stage)
        call = gateway.call()
        call.ask(prompt())
        for _ in range(5):
            stage.pass_time(16.0, 1.0)
            stage.received(gateway.peer.end)  # it has the ping, and is busy
            gateway.call().ask(prompt())
        assert stage.in_flight() == 6
        gateway.peer.end.reset()
        stage.settle()
        assert stage.in_flight() == 0


def test_other_clients_are_not_asked() -> None:
    with Stage(world(llm(0))) as stage:
        peer = Http2Peer(stage, stage.client())
        peer.begin(HEAD, True)
        stage.pass_time(40.0, 1.0)
        assert stage.in_flight() == 1
        peer.end.reset()
        stage.settle()
