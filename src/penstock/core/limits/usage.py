"""What tenants used, and limits refused, as one worker counts it until it tells the supervisor."""

Row = tuple[str, str, str]  # tenant, key, model


class Used:
    """Sums."""

    def __init__(self) -> None:
        self.requests: int = 0
        self.prompt: int = 0
        self.cached: int = 0
        self.output: int = 0
        self.cost: float = 0.0


class UsageCount:
    """Since it was last taken."""

    def __init__(self) -> None:
        self._rows: dict[Row, Used] = {}
        self._refused: dict[str, int] = {}

    def refuse(self, limit: str) -> None:
        """A request was, by that limit."""
        self._refused[limit] = self._refused.get(limit, 0) + 1

    def take_refused(self) -> dict[str, int]:
        """How many requests were refused by each limit, once."""
        refused = self._refused
        if refused:
            self._refused = {}
        return refused

    def add(
        self, row: Row, prompt: int = 0, cached: int = 0, output: int = 0, cost: float = 0.0
    ) -> None:
        """One request ended."""
        used = self._rows.get(row)
        if used is None:
            used = self._rows[row] = Used()
        used.requests += 1
        used.prompt += prompt
        used.cached += cached
        used.output += output
        used.cost += cost

    def take(self) -> list[list[object]]:
        """All rows, once: tenant, key, model, requests, tokens of prompts, of these cached, of
        answers, cost."""
        rows = self._rows
        if not rows:
            return []
        self._rows = {}
        return [
            [*row, used.requests, used.prompt, used.cached, used.output, used.cost]
            for row, used in rows.items()
        ]
