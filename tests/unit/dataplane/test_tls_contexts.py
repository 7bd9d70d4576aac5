"""TLS contexts for endpoints are made once, and beside the loop."""

from random import Random

from penstock.core.env import Env
from penstock.core.snapshot import Endpoint, EndpointTls, Pool
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.io.tls import ClientContexts
from penstock.dataplane.worker.tls_building import TlsBuilding

TRUSTING = EndpointTls(verify=False)


def pool(tls: EndpointTls, generation: int = 0) -> Pool:
    endpoint = Endpoint("e", "127.0.0.1", 9, tls=True)
    return Pool("a", (endpoint,), tls=tls, tls_generation=generation)


def test_pools_of_the_same_settings_share_one_which_outlives_reloads() -> None:
    contexts = ClientContexts()
    made = contexts.of(TRUSTING, 0)
    assert contexts.lacking((pool(TRUSTING), pool(EndpointTls()))) == [(EndpointTls(), 0)]
    contexts.keep((pool(TRUSTING),))
    assert contexts.of(TRUSTING, 0) is made


def test_a_ca_file_that_changed_needs_another_and_what_is_unused_is_forgotten() -> None:
    contexts = ClientContexts()
    made = contexts.of(TRUSTING, 0)
    assert contexts.lacking((pool(TRUSTING, 1),)) == [(TRUSTING, 1)]
    contexts.keep((pool(TRUSTING, 1),))
    assert contexts.of(TRUSTING, 0) is not made


def test_plain_pools_need_none() -> None:
    plain = Pool("a", (Endpoint("e", "127.0.0.1", 9),))
    assert ClientContexts().lacking((plain,)) == []


def test_they_are_made_while_the_loop_runs_and_those_that_cannot_be_are_left_out() -> None:
    loop = Loop(Env(Random(1)))
    contexts = ClientContexts()
    wanted = [(TRUSTING, 0), (EndpointTls(ca_file="/no/such.pem"), 0)]
    TlsBuilding(loop, contexts, wanted, loop.stop)
    loop.run()
    assert contexts.lacking((pool(TRUSTING),)) == []
    assert contexts.lacking((pool(wanted[1][0]),)) == [wanted[1]]
    assert loop.by_fd == {}
