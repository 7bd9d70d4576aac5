"""The ids of tokens, for which engines are asked in the client's stead, each in its own way."""

from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.wire.resume.token_ids import APIS_WITH_IDS, NO_WAY


class IdWishes:
    """Of one request: who was asked, and in which way it tells them."""

    def __init__(self) -> None:
        self._asked: dict[LiveEndpoint, int] = {}
        self._refused: LiveEndpoint | None = None  # who is asked again without

    def ask(self, prompt: PromptBody, endpoint: LiveEndpoint, api: int) -> None:
        """Have the request ask that endpoint for them, or not, through that API."""
        habits = endpoint.habits.ids
        self._asked.pop(endpoint, None)
        if endpoint is self._refused or not habits.asks(api):
            return
        if prompt.ask_for_ids(api, habits.way):
            self._asked[endpoint] = habits.way

    def asks(self, endpoint: LiveEndpoint) -> bool:
        """Whether that endpoint is asked."""
        return endpoint in self._asked

    def way_of(self, endpoint: LiveEndpoint) -> int:
        """How that endpoint was asked to tell them; NO_WAY where it was not."""
        return self._asked.get(endpoint, NO_WAY)

    def ask_again_without(self, prompt: PromptBody, endpoint: LiveEndpoint) -> bool:
        """Whether that endpoint is to be asked again, as they may be why it refused."""
        if not prompt.json or not endpoint.habits.ids.may_refuse(prompt.found.api):
            return False
        self._refused = endpoint
        return True

    def note_answer(self, pool: LivePool, endpoint: LiveEndpoint, api: int) -> None:
        """That endpoint answers."""
        if endpoint in self._asked:
            endpoint.habits.ids.take(api)
        elif endpoint is self._refused and endpoint.habits.ids.refuse(api):
            pool.note(
                "engine.token_ids",
                f"endpoint {pool.name}/{endpoint.name} refuses requests that ask for token ids: it "
                "is not asked for them in answers of this API, and others go on with those by text",
                endpoint.name,
            )


def wishes_of(prompt: PromptBody | None) -> IdWishes | None:
    """Of a request for a streamed answer; None where nobody tells them. Parsers of tools withhold
    some."""
    if prompt is None or prompt.found.api not in APIS_WITH_IDS or prompt.found.tools:
        return None
    return IdWishes()
