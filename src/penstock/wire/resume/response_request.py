"""The request for the rest of one of OpenAI's responses: its input ends with a message of the
assistant that is ``in_progress``, which vLLM leaves open (vllm#32100), as llama.cpp does with any
last message of the assistant."""

from typing import Any

from penstock.wire.resume.request import GRAMMAR, Resumption


class ResponseResumption(Resumption):
    """Of one request: whether its answer may be gone on with at all, and how it is asked for."""

    def _why_not_here(self, asked: dict[str, Any]) -> str:
        form = asked.get("text")
        form = form.get("format") if isinstance(form, dict) else None
        if isinstance(form, dict) and form.get("type") not in (None, "text"):
            return GRAMMAR
        if asked.get("previous_response_id") or asked.get("conversation"):
            return "it goes on from what one endpoint keeps"
        include = asked.get("include")
        if asked.get("top_logprobs") or (
            isinstance(include, list) and "message.output_text.logprobs" in include
        ):
            return "log probabilities are asked for"
        if asked.get("tool_choice") not in (None, "auto", "none"):
            return "a tool must be called, whose grammar would be lost"
        given = asked.get("input")
        if isinstance(given, str):
            return ""
        if not isinstance(given, list) or not given or not isinstance(given[-1], dict):
            return "the request is not understood"
        last = given[-1]
        if _is_open(last) and not isinstance(last.get("content"), str):
            return "it goes on from a message that is no text"
        return ""

    def _append(self, asked: dict[str, Any], text: str) -> None:
        given = asked["input"]
        if isinstance(given, str):
            given = [{"type": "message", "role": "user", "content": given}]
        items = list(given)
        before = ""
        if _is_open(items[-1]):
            before = items.pop()["content"]
        part = {"type": "output_text", "text": before + text, "annotations": []}
        items.append(
            {
                "type": "message",
                "id": "msg_resumed",  # which vLLM wants
                "role": "assistant",
                "status": "in_progress",
                "content": [part],
            }
        )
        asked["input"] = items

    def by_ids(self, prompt: list[Any], answer: list[int], room: int) -> bytes:
        """No engine tells them in these answers."""
        return b""


def _is_open(item: dict[str, Any]) -> bool:
    return item.get("role") == "assistant" and item.get("status") == "in_progress"
