"""Users of locust, by both of its clients: chats whole and streamed, twenty of each."""

import json
import os
from collections import Counter
from typing import Any, ClassVar

from locust import FastHttpUser, HttpUser, events

BODY: dict[str, Any] = {
    "model": os.environ["MODEL"],
    "messages": [{"role": "user", "content": "tell me a story"}],
    "max_tokens": 4,
}
ENOUGH = 20
ended: Counter[str] = Counter()


@events.init.add_listener  # type: ignore[untyped-decorator]
def end_when_there_were_enough(environment: Any, **_: Any) -> None:
    """Else it goes on for a time, in which a busy machine may do nothing."""

    def count(name: str, exception: object, **_: Any) -> None:
        ended["failed" if exception else name] += 1
        if min(ended["whole"], ended["streamed"]) >= ENOUGH:
            environment.runner.quit()

    environment.events.request.add_listener(count)
    environment.events.quitting.add_listener(lambda **_: print(json.dumps(ended)))


def whole(user: Any) -> None:
    """An answer of four tokens."""
    with user.client.post(
        "/v1/chat/completions", json=BODY, name="whole", catch_response=True
    ) as answer:
        if not answer.ok or answer.json()["usage"]["completion_tokens"] != 4:
            answer.failure(f"{answer.status_code}: {answer.text}")


def streamed(user: Any) -> None:
    """One that ends as streams of OpenAI's API do."""
    with user.client.post(
        "/v1/chat/completions",
        json={**BODY, "stream": True},
        stream=True,
        name="streamed",
        catch_response=True,
    ) as answer:
        if not answer.ok or b"data: [DONE]" not in answer.content:
            answer.failure(f"{answer.status_code}, cut")


class WithRequests(HttpUser):  # type: ignore[misc]
    """By requests, as most locustfiles."""

    tasks: ClassVar[list[Any]] = [whole, streamed]


class WithGevent(FastHttpUser):  # type: ignore[misc]
    """By geventhttpclient."""

    tasks: ClassVar[list[Any]] = [whole, streamed]
