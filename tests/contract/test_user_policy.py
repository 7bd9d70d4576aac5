"""A user's own policy is a class in a module of their own, named ``package.module:Class``."""

import pytest

from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.ticket import DONE, Ticket
from tests.contract.pools import endpoints_of_weights, env, keyed
from tests.contract.user_policy import Nth

NTH = "tests.contract.user_policy:Nth"


def test_it_picks_in_a_pool_and_hears_of_its_tickets() -> None:
    policy = create(NTH, {"n": 1})
    assert isinstance(policy, Nth)
    pool = Pool("p", policy)
    pool.replace_endpoints(endpoints_of_weights([1.0, 1.0]))
    picked = pool.pick(keyed(1), env())
    assert picked is not None
    assert picked.name == "e1"
    ticket = Ticket(picked, policy, keyed(1), 0.0)
    ticket.first_byte(1.0)
    ticket.settle(DONE, 2.0)
    assert policy.told == ["rebuild", "start", "first byte", "end"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tests.contract.user_policy:Missing", "user_policy.py defines no class 'Missing'"),
        ("tests.contract.user_policy:NotAPolicy", "not a subclass"),
        ("no.such.module:Nth", "no module 'no' was found beside the configuration file"),
        ("tests.contract.broken_policy:Any", "broken_policy.py, line 3"),
        ("raundom", "did you mean 'random'"),
    ],
)
def test_a_name_that_is_no_policy_is_refused_with_the_reason(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        create(name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"m": 1}, "no option 'm'"),
        ({"n": "one"}, "takes a int"),
        ({"n": -1}, "at least 0"),
    ],
)
def test_a_wrong_option_is_refused_with_the_reason(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        create(NTH, options)
