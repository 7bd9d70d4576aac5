"""LlamaIndex's models for OpenAI's API: ``with_llama_index.py URL MODEL``."""

import asyncio
import json
import sys
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

PROMPT = "tell me a story"


def main() -> None:
    """Ask whole and streamed, as a chat and as a completion, and several at once."""
    url, model = sys.argv[1:]
    common: dict[str, Any] = {"api_base": f"{url}/v1", "api_key": "none", "model": model}
    chat = OpenAILike(**common, is_chat_model=True, is_function_calling_model=True, max_tokens=8)
    plain = OpenAILike(**common, is_chat_model=False, max_tokens=8)
    messages = [ChatMessage(role="user", content=PROMPT)]
    told = {
        "text": chat.chat(messages).message.content,
        "streamed": "".join(each.delta or "" for each in chat.stream_chat(messages)),
        "several": asyncio.run(_several(chat, messages)),
        "completion": plain.complete(PROMPT).text,
        "completion_streamed": "".join(each.delta or "" for each in plain.stream_complete(PROMPT)),
    }
    print(json.dumps(told))


async def _several(chat: Any, messages: list[ChatMessage]) -> list[str]:
    answers = await asyncio.gather(*(chat.achat(messages) for _ in range(8)))
    return [answer.message.content for answer in answers]


if __name__ == "__main__":
    main()
