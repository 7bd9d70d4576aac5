"""LangChain's models for three APIs: ``with_langchain.py URL MODEL API ...``."""

import asyncio
import json
import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI, OpenAI

PROMPT = "tell me a story"


@tool  # type: ignore[untyped-decorator]
def get_weather(city: str) -> str:
    """What the weather is like in a city."""
    return f"fine in {city}"


async def main() -> None:
    """Ask by each, whole, streamed and several at once."""
    url, model, *apis = sys.argv[1:]
    openai: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "model": model}
    chats: dict[str, Any] = {
        "openai": ChatOpenAI(**openai, max_tokens=8, stream_usage=True),
        "responses": ChatOpenAI(**openai, max_tokens=8, use_responses_api=True),
        "anthropic": ChatAnthropic(base_url=url, api_key="none", model=model, max_tokens=8),
        "ollama": ChatOllama(base_url=url, model=model, num_predict=8),
    }
    told: dict[str, Any] = {api: await asked(chats[api]) for api in apis}
    if "openai" in apis:
        armed = chats["openai"].bind_tools([get_weather])
        called = await armed.ainvoke("get_weather in Berlin, please")
        told["tools"] = [call["name"] for call in called.tool_calls]
        told["completions"] = OpenAI(**openai, max_tokens=8).invoke(PROMPT)
    print(json.dumps(told))


async def asked(chat: Any) -> dict[str, Any]:
    """What it answers, asked in every way that LangChain knows."""
    whole = chat.invoke(PROMPT)
    chunks = list(chat.stream(PROMPT))
    several = await chat.abatch([PROMPT] * 8)
    return {
        "text": whole.text,
        "usage": whole.usage_metadata["output_tokens"],
        "streamed": "".join(chunk.text for chunk in chunks),
        "several": [each.text for each in several],
    }


if __name__ == "__main__":
    asyncio.run(main())
