"""What an endpoint tells of its own load: in a response, in answer to a probe, or to a scrape."""


class LoadReport:
    """Figures at ``at`` (seconds on the Env's clock); one that is not known is negative.

    ``in_flight``: requests the endpoint works on or holds. ``queued``: those of them that wait.
    ``latency_s``: what a request takes there at about this load. ``service_s``: what it takes
    without waiting. ``utilisation``: 0..1, or more when overloaded. ``rate``: requests per second.
    ``most_running``: requests that it serves at a time, those beyond wait for an answer to end.
    ``kv_tokens``: held by running requests, of ``kv_capacity``. ``cached_tokens``: what prompts can
    find there. ``cold``: its cache was emptied since the report before.
    """

    def __init__(
        self,
        at: float,
        *,
        in_flight: float = -1.0,
        queued: float = -1.0,
        latency_s: float = -1.0,
        service_s: float = -1.0,
        utilisation: float = -1.0,
        rate: float = -1.0,
        most_running: int = -1,
        kv_tokens: int = -1,
        kv_capacity: int = -1,
        cached_tokens: int = -1,
        cold: bool = False,
    ) -> None:
        self.at: float = at
        self.in_flight: float = in_flight
        self.queued: float = queued
        self.latency_s: float = latency_s
        self.service_s: float = service_s
        self.utilisation: float = utilisation
        self.rate: float = rate
        self.most_running: int = most_running
        self.kv_tokens: int = kv_tokens
        self.kv_capacity: int = kv_capacity
        self.cached_tokens: int = cached_tokens
        self.cold: bool = cold
