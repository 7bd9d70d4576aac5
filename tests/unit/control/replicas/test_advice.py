"""What another balancer thinks of an endpoint makes this one look."""

from penstock.control.replicas.advice import Advice
from penstock.core.health.breaker import OPEN
from penstock.dataplane.board.layout import L_BREAKER
from tests.unit.control.replicas.balancers import Balancer, Bus, snapshot

A, B = 9001, 9002
NAME = f"127.0.0.1:{A}"


class Listening:
    """In place of health checks and of outlier detection."""

    def __init__(self) -> None:
        self.hurried: list[tuple[str, str]] = []
        self.out: dict[tuple[str, str], bool] = {}

    def hurry(self, pool: str, name: str) -> None:
        self.hurried.append((pool, name))

    def advise(self, pool: str, name: str, *, out: bool) -> None:
        self.out[pool, name] = out


def test_a_circuit_that_opens_elsewhere_is_advice_until_it_closes_or_its_balancer_is_gone() -> None:
    bus = Bus()
    one, two = Balancer(bus, "one", [A, B]), Balancer(bus, "two", [A, B])
    heard = Listening()
    advice = Advice(two.sharing.others, heard, heard)  # type: ignore[arg-type]
    advice.configure(snapshot(two.rows))
    bus.run(0.02)
    assert not any(heard.out.values())
    circuit = one.board.load(one.rows[A], 0) + L_BREAKER
    for end in ("closed", "gone"):
        one.board.cells[circuit] = OPEN
        bus.run(0.02)
        assert heard.out == {("main", NAME): True, ("main", f"127.0.0.1:{B}"): False}
        assert heard.hurried.pop() == ("main", NAME)
        if end == "closed":
            one.board.cells[circuit] = 0
            bus.run(0.02)
        else:
            one.die()
            bus.run(1.0)
        assert not any(heard.out.values()), end
