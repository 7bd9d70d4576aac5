"""A server of language models as a balancer sees one: a list of models, and answers to its own."""

import json
from collections.abc import Iterable

from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import post

_JSON = (("Content-Type", "application/json"),)


class ModelServer(HttpEndpoint):
    """``models`` may change at any time. ``listing`` is told in place of their list."""

    def __init__(self, *models: str) -> None:
        self.models: list[str] = list(models)
        self.listing: Answer | None = None
        super().__init__(self._respond)

    @property
    def asked(self) -> list[str]:
        """The models of the requests that it got, in order."""
        return [json.loads(each.body)["model"] for each in self.requests if each.body]

    @property
    def looks(self) -> int:
        """How often it was asked for its list."""
        return sum(each.target.endswith("/v1/models") for each in self.requests)

    def _respond(self, request: Recorded) -> Answer:
        if request.method == "GET":
            if not request.target.partition("?")[0].endswith("/v1/models"):
                return Answer(404)
            return self.listing or Answer(body=listing_of(self.models), headers=_JSON)
        if request.target.endswith("/v1/load_lora_adapter"):
            self.models.append(json.loads(request.body)["lora_name"])
            return Answer()
        if json.loads(request.body).get("model") not in self.models:
            return Answer(404, b'{"error": "this engine has no such model"}', _JSON)
        return Answer(body=b"{}", headers=_JSON)


def listing_of(models: Iterable[str]) -> bytes:
    """As ``/v1/models`` tells them."""
    return json.dumps({"object": "list", "data": [{"id": model} for model in models]}).encode()


def chat(model: str, *lines: str) -> bytes:
    """A request for that model."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}", *lines)
    return post(*fields, body=body, target="/v1/chat/completions")
