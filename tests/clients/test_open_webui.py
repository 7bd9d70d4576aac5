"""Open WebUI's calls, as its connections to OpenAI's and Ollama's APIs make them.

It is too large to install for a test (its package brings a database of vectors and torch); what it
sends is told by its ``routers/openai.py`` and ``routers/ollama.py``: aiohttp, a session for each
call, its user in headers of its own.
"""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from tests.harness.serving import MODEL, Serving, serving

USER: Final = {
    "X-OpenWebUI-User-Name": quote("张 伟", safe=" "),
    "X-OpenWebUI-User-Id": "8b9c",
    "X-OpenWebUI-User-Email": "wei@example.com",
    "X-OpenWebUI-User-Role": "user",
}
HEADERS: Final = {"Content-Type": "application/json", "Authorization": "Bearer none", **USER}
# The title, the tags and the next questions of a chat are asked for beside it, with these fields.
METADATA: Final = {"metadata": {"task": "title_generation", "chat_id": "6f3d"}}


async def get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url, headers=HEADERS) as answer:
        assert answer.status == 200
        return await answer.json()


async def post(url: str, body: dict[str, Any]) -> tuple[str, list[bytes]]:
    """The content type, by which it tells streams, and the lines."""
    async with (
        aiohttp.ClientSession() as session,
        session.request("POST", url, data=json.dumps(body), headers=HEADERS) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers["Content-Type"], [line async for line in answer.content if line]


async def test_its_openai_connection(served: Serving) -> None:
    listed = await get(f"{served.url}/v1/models")
    assert MODEL in {model["id"] for model in listed["data"]}
    chat = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "你好"}],
        "max_tokens": 6,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    kind, lines = await post(f"{served.url}/v1/chat/completions", chat)
    assert "text/event-stream" in kind
    events = [line[6:].strip() for line in lines if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    assert json.loads(events[-2])["usage"]["completion_tokens"] == 6
    kind, lines = await post(
        f"{served.url}/v1/chat/completions", {**chat, "stream": False, **METADATA}
    )
    assert "application/json" in kind
    assert json.loads(b"".join(lines))["choices"][0]["message"]["content"]
    await served.until_idle()


async def test_its_ollama_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, dialect="ollama", mean_answer_tokens=10**6) as served:
        assert (await get(f"{served.url}/api/version"))["version"]
        assert MODEL in str(await get(f"{served.url}/api/tags"))
        assert "models" in await get(f"{served.url}/api/ps")
        chat = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "hello"}],
            "options": {"num_predict": 6},
            "stream": True,
        }
        _, lines = await post(f"{served.url}/api/chat", chat)
        told = [json.loads(line) for line in lines]
        assert told[-1]["done"]
        assert told[-1]["eval_count"] == 6
        assert "".join(each["message"]["content"] for each in told)
        await served.until_idle()
