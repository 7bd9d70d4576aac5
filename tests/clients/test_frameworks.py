"""Frameworks for applications, by their own clients, read through Penstock what engines said."""

from pathlib import Path
from typing import Any

from tests.clients.conftest import script
from tests.harness.serving import MODEL, Serving, serving


def same_however_asked(answer: dict[str, Any]) -> None:
    assert answer["text"]
    assert answer["usage"] == 8
    assert answer["streamed"] == answer["text"]
    assert answer["several"] == [answer["text"]] * 8


async def test_langchain_is_answered_whole_streamed_and_eight_at_once(
    served: Serving, tmp_path: Path
) -> None:
    apis = ("openai", "responses", "anthropic")
    told = await script(
        "langchain", "with_langchain.py", served.url, MODEL, *apis, directory=tmp_path
    )
    for api in apis:
        same_however_asked(told[api])
    assert told["tools"] == ["get_weather"]
    assert told["completions"]
    await served.until_idle()


async def test_langchain_speaks_ollamas_own_api(tmp_path: Path) -> None:
    async with serving(tmp_path, dialect="ollama", mean_answer_tokens=10**6) as served:
        told = await script(
            "langchain", "with_langchain.py", served.url, MODEL, "ollama", directory=tmp_path
        )
        same_however_asked(told["ollama"])


async def test_llama_index_is_answered_whole_streamed_and_eight_at_once(
    served: Serving, tmp_path: Path
) -> None:
    told = await script("llama_index", "with_llama_index.py", served.url, MODEL, directory=tmp_path)
    assert told["text"]
    assert told["streamed"] == told["text"]
    assert told["several"] == [told["text"]] * 8
    assert told["completion"]
    assert told["completion_streamed"] == told["completion"]
    await served.until_idle()
