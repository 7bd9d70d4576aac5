"""A request's body, read whole before an endpoint is chosen: what is asked, and of which model.

Bodies of APIs that are known are understood, and everything follows from them. Of others, such as
Ollama's own or the counting of tokens, only the model is read, which decides who can answer.
"""

from penstock.dataplane.insight import Insight
from penstock.dataplane.plan import PoolPlan
from penstock.dataplane.prompt_body import PromptBody
from penstock.dataplane.settlement import Settlement
from penstock.wire.openai import OTHER


class PromptReading(Settlement):
    """The part of an exchange that reads what a language model is asked."""

    def _inspect(self, way: PoolPlan) -> bool:
        """Understand the body, which is whole; False when it was refused."""
        insight = way.pool.insight
        if insight is None:
            return True
        pieces = self._body or []
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        prompt = PromptBody(way.api, self.head, body)
        asked = prompt.found.model
        model = way.pool.model_for(asked, self.context.env)
        if model != asked:
            if model:
                prompt.ask_for_model(model)
            elif way.api != OTHER:
                self._refuse_model(way, asked)
                return False
        if way.api == OTHER:
            if model:  # else it is the engine's to refuse, or to fetch
                self.request = insight.request_for(way.request, model)
        elif not prompt.found.problem:
            if insight.usage == "hidden":
                prompt.ask_for_usage()
            self._ask(way, insight, prompt)
        elif way.refuses_malformed:
            self._refuse_body(way, 400, prompt.found.problem)
            return False
        if pieces:
            self._body = [prompt.data]
        if prompt.changed:
            self._other_length = len(prompt.data)
        return True

    def _ask(self, way: PoolPlan, insight: Insight, prompt: PromptBody) -> None:
        self.prompt = prompt
        self.request = insight.request_of(way.request, prompt.found)
