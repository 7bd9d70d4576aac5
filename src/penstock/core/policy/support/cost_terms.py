"""What a request would cost on an endpoint, as ``marginal-cost`` adds it up."""


class Terms:
    """What a request would cost on one endpoint, term by term, in seconds."""

    def __init__(self) -> None:
        self.queue: float = 0.0
        self.slot: float = 0.0  # of the queue, until a slot is free
        self.prefill: float = 0.0
        self.transfer: float = 0.0  # of a prompt that another endpoint computed
        self.step: float = 0.0  # of one token of its own
        self.decode: float = 0.0
        self.followers: float = 0.0
        self.disturbance: float = 0.0
        self.slowdown: float = 0.0
        self.eviction: float = 0.0
        self.own_good: float = 0.0  # that it keeps to the objectives, a probability
        self.others_lost: float = 0.0  # answers under way that it makes miss them
        self.worth: float = 0.0  # of one good answer, in seconds
        self.fits: bool = True

    @property
    def first_token(self) -> float:
        """Its own time to first token."""
        return self.queue + self.prefill + self.transfer

    @property
    def gain(self) -> float:
        """By which J is less for the answers that keep to the objectives, in seconds."""
        return self.worth * (self.own_good - self.others_lost)
