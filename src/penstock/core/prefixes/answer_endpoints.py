"""Which endpoint made which answer, for requests that continue one which the engine has kept.

OpenAI's responses API lets a turn name the answer before it in place of the conversation
(``previous_response_id``). Engines keep answers in their own memory, so that only the one that made
it can go on. Hashes of names stand for answers; the oldest are forgotten. O(1).
"""

from typing import Final

from penstock.core.endpoint import Endpoint

# Each takes 76 bytes. At ten a second, those of the last hour and a half at least.
MOST_ANSWERS: Final = 131_072


class AnswerEndpoints:
    """Bounded by two halves: when the younger one is full, it takes the place of the older."""

    def __init__(self, most: int = MOST_ANSWERS) -> None:
        self._half: int = most // 2
        self._recent: dict[int, Endpoint] = {}
        self._older: dict[int, Endpoint] = {}

    def __len__(self) -> int:
        """Answers that are known."""
        return len(self._recent) + len(self._older)

    def note(self, answer: int, endpoint: Endpoint) -> bool:
        """The endpoint made it; whether that is news."""
        if self.of(answer) is endpoint:
            return False
        if len(self._recent) >= self._half:
            self._older = self._recent
            self._recent = {}
        self._recent[answer] = endpoint
        return True

    def of(self, answer: int) -> Endpoint | None:
        """Who made it, if that is known."""
        found = self._recent.get(answer)
        return self._older.get(answer) if found is None else found
