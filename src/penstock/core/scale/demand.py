"""What is asked of a pool: at present, or foreseen."""

from mypy_extensions import mypyc_attr


class Demand:
    """Requests per second, and for language models the tokens that they bring, per second."""

    def __init__(
        self, rate: float = 0.0, prompt_tokens: float = 0.0, output_tokens: float = 0.0
    ) -> None:
        self.rate: float = rate
        self.prompt_tokens: float = prompt_tokens  # not found in a cache: they are computed
        self.output_tokens: float = output_tokens

    def scaled(self, factor: float) -> "Demand":
        """So many times as much of everything."""
        return Demand(self.rate * factor, self.prompt_tokens * factor, self.output_tokens * factor)


@mypyc_attr(allow_interpreted_subclasses=True)
class Foresight:
    """What is known of the demand to come."""

    def most(self, until_s: float) -> Demand | None:
        """The most within the next ``until_s`` seconds, at the quantile that the pool's rules
        name; None while nothing is known."""
        return None


class Sight:
    """What is seen of a pool at one moment."""

    def __init__(
        self,
        now: float,
        demand: Demand,
        *,
        local_s: float = 0.0,
        in_flight: float = 0.0,
        queued: float = 0.0,
    ) -> None:
        self.now: float = now  # seconds on a monotonic clock
        self.local_s: float = local_s  # seconds since 1 January 1970, in the local time zone
        self.demand: Demand = demand
        self.in_flight: float = in_flight  # at endpoints
        self.queued: float = queued  # before them: nobody has taken these up
