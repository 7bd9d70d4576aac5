"""A session's key comes from the body before it comes from elsewhere."""

from penstock.core.policy import create
from penstock.core.request import Request
from tests.contract.pools import endpoints_of_weights, env


def test_requests_of_a_session_stay_together_wherever_they_come_from() -> None:
    policy = create("session")
    endpoints = endpoints_of_weights([1.0] * 10)
    policy.rebuild(endpoints)
    picked = {
        policy.pick(Request(session_hash=7**20, key_hash=key), endpoints, env(key))
        for key in range(1, 30)
    }
    assert len(picked) == 1


def test_without_one_the_hash_key_decides() -> None:
    policy = create("session")
    hashed = create("rendezvous", {"bounded_load": 1.25})
    endpoints = endpoints_of_weights([1.0] * 10)
    policy.rebuild(endpoints)
    hashed.rebuild(endpoints)
    for key in range(1, 10**6, 10**5):
        request = Request(key_hash=key)
        assert policy.pick(request, endpoints, env()) is hashed.pick(request, endpoints, env())
