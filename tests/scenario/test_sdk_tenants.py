"""OpenAI's and Anthropic's own clients at keys and limits: what they raise, and when they ask again
by themselves."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.harness.serving import MODEL, start_balancer, two_engines

KEY = "k" * 40
POOR = "p" * 40
MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]
ASKED: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5}


class Counted:
    """Counts the requests that a client sends, by a hook of its HTTP client."""

    def __init__(self) -> None:
        self.sent = 0

    @property
    def hooks(self) -> Any:
        async def count(_: object) -> None:
            self.sent += 1

        return {"request": [count]}


@pytest_asyncio.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with two_engines() as engines:
        pool = {"kind": "llm", "endpoints": [engine.url for engine in engines]}
        tenants = {
            "acme": {"keys": {"a": {"key": KEY}}, "limits": {"requests": 1, "per": "second"}},
            "poor": {"keys": {"p": {"key": POOR}}, "budgets": {"tokens": 4}},
        }
        document = {"pools": {"engines": pool}, "workers": 1, "tenants": tenants}
        balancer = await start_balancer(tmp_path, document)
        try:
            yield balancer.url
        finally:
            await balancer.stop()


async def test_openais_client(url: str) -> None:
    counted = Counted()
    http = openai.DefaultAsyncHttpxClient(event_hooks=counted.hooks)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, http_client=http) as good:
        with pytest.raises(openai.AuthenticationError, match="not known"):
            await good.with_options(api_key="wrong" * 8).chat.completions.create(**ASKED)
        assert counted.sent == 1
        with pytest.raises(openai.RateLimitError) as caught:
            await good.with_options(api_key=POOR).chat.completions.create(**ASKED)
        assert caught.value.code == "insufficient_quota"
        assert counted.sent == 2  # it is of no use to ask again
        told = await good.chat.completions.with_raw_response.create(**ASKED)
        assert told.headers["x-ratelimit-limit-requests"] == "1"
        assert (await good.chat.completions.create(**ASKED)).choices
        assert counted.sent >= 4  # it may have waited for its turn
        assert [model.id async for model in good.models.list()] == [MODEL]


async def test_anthropics_client(url: str) -> None:
    counted = Counted()
    http = anthropic.DefaultAsyncHttpxClient(event_hooks=counted.hooks)
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, http_client=http) as good:
        with pytest.raises(anthropic.AuthenticationError, match="authentication_error"):
            await good.with_options(api_key="wrong" * 8).messages.create(**ASKED)
        assert counted.sent == 1
        with pytest.raises(anthropic.RateLimitError, match="rate_limit_error"):
            await good.with_options(api_key=POOR).messages.create(**ASKED)
        assert counted.sent == 2
        told = await good.messages.with_raw_response.create(**ASKED)
        assert told.headers["anthropic-ratelimit-requests-limit"] == "1"
        assert (await good.messages.create(**ASKED)).content
