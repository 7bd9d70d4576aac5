"""What every policy is: state, a rule to pick by, and feedback it may ask for."""

from typing import ClassVar

from mypy_extensions import mypyc_attr

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import Observer, Ticket

# A candidate and what a policy weighs it by, term by term; see ``Policy.explain``.
Explained = tuple[Endpoint, dict[str, float]]


class Option:
    """A setting of a policy: its name, default, bounds and meaning, for schema and docs."""

    def __init__(
        self,
        name: str,
        default: int | float | str | bool,
        meaning: str,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.name: str = name
        self.default: int | float | str | bool = default
        self.meaning: str = meaning
        self.minimum: float | None = minimum
        self.maximum: float | None = maximum
        self.choices: tuple[str, ...] = choices

    def check(self, value: object) -> int | float | str | bool:
        """``value`` in the option's type. Raises ValueError saying what is wrong."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ValueError(f"option {self.name!r} takes a {kind.__name__}, not {value!r}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise ValueError(
                    f"option {self.name!r} is at least {self.minimum:g}, not {value!r}"
                )
            if self.maximum is not None and value > self.maximum:
                raise ValueError(f"option {self.name!r} is at most {self.maximum:g}, not {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(
                f"option {self.name!r} is one of {', '.join(self.choices)}, not {value!r}"
            )
        assert isinstance(value, (int, float, str, bool))
        return value


@mypyc_attr(allow_interpreted_subclasses=True)
class Policy(Observer):
    """Chooses an endpoint. Subclass it to add an algorithm.

    The pool calls ``rebuild`` with the eligible endpoints whenever membership, weight or
    eligibility changed, and then passes that same list object to ``pick``; after a failed
    attempt, or when an endpoint is full, it passes a shorter list. So a policy may prepare what
    it needs for the list of the last ``rebuild`` and be slower with any other, but must be right
    with both.
    """

    name: ClassVar[str] = ""  # the one place where an algorithm's name stands
    options: ClassVar[tuple[Option, ...]] = ()
    observes: ClassVar[bool] = False  # whether ``on_start``, ``…first_byte``, ``…end`` are called
    probes: ClassVar[bool] = False  # whether ``probes_wanted`` is asked after each pick
    # What ``request.key_hash`` must be made of: "" (it is not read), "configured" (the pool's
    # hash key), "source" (always the client's address).
    key: ClassVar[str] = ""
    # Claims, held to by tests/contract.
    weighted: ClassVar[bool] = True  # shares of work follow the endpoints' weights
    spreads: ClassVar[bool] = True  # endpoints that are equal in everything get equal shares
    consistent: ClassVar[bool] = False  # few keys move when an endpoint comes or goes
    learned_version: ClassVar[int] = 0  # raised when ``to_hand_over`` comes to mean something else
    reads_prompts: ClassVar[bool] = False  # it decides by what language models are asked

    @property
    def prefix_index(self) -> PrefixIndex | None:
        """What it believes of the endpoints' prefix caches, if it does."""
        return None

    def use_prefix_index(self, index: PrefixIndex) -> None:
        """Believe this one from here on. Only where there is a ``prefix_index``."""

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        """The pool's endpoints are these, eligible or not. Comes before ``rebuild``.

        Only policies that care who might come back need it.
        """

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        """The eligible endpoints, their weights, zones or order changed."""

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        """One of ``eligible``, or None iff it is empty."""
        raise NotImplementedError

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        """What ``pick`` would weigh each of ``eligible`` by, in their order; it changes nothing.

        Terms have short names with their unit, times end with ``_s``. ``cost`` is what is compared
        where the least is picked, ``score`` where the greatest is, and ``ttft_s`` the expected time
        to first token. Chance may still decide between those that are near.
        """
        return [(endpoint, {}) for endpoint in eligible]

    def probes_wanted(self, env: Env) -> list[Endpoint]:
        """Whom to ask for their load right now; the answers come through ``on_report``."""
        return []

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        """An endpoint told its load: in answer to a probe, with a response, or to a scrape."""

    def beliefs(self) -> dict[str, dict[str, float]]:
        """What a policy that learns holds true, for people: figures by name, of each subject."""
        return {}

    def to_hand_over(self) -> dict[str, object]:
        """What is worth knowing to the one that stands in its place after an upgrade, as plain data
        that JSON keeps; empty: nothing. ``samples`` among it says how much it has seen."""
        return {}

    def take_over(self, state: dict[str, object]) -> None:
        """Go on from what one of the same ``learned_version`` had learned.

        Raises ValueError for what is of another form, and then nothing changed.
        """

    def on_start(self, ticket: Ticket) -> None:
        """An attempt was opened on ``ticket.endpoint``."""

    def on_first_byte(self, ticket: Ticket) -> None:
        """The first byte of its response came."""

    def on_end(self, ticket: Ticket) -> None:
        """It ended; ``ticket.outcome`` says how."""
