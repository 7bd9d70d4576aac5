"""The request for the rest of an answer, made of the request for the whole and what was answered.

Chat completions go on from a last message of the assistant, with ``continue_final_message`` and
without ``add_generation_prompt`` (vLLM, SGLang; llama.cpp takes the same): forgetting either opens
another turn. Anthropic's messages go on from such a message by themselves. Text completions go on
from the prompt with the text behind it.
"""

from typing import Any, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai import ANTHROPIC, CHAT, COMPLETION

# Fields that make an answer which its text alone does not continue: the state of a grammar, of
# several answers, or of their probabilities would be lost.
_GRAMMARS: Final = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "grammar",
    "json_schema",
    "regex",
    "ebnf",
)
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")
_LEAST: Final = ("min_tokens",)
# What text completions do not know.
_OF_CHATS: Final = frozenset(
    (
        "messages",
        "max_completion_tokens",
        "tool_choice",
        "parallel_tool_calls",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "add_generation_prompt",
        "reasoning_effort",
        "logprobs",
        "top_logprobs",
        "modalities",
        "store",
        "metadata",
    )
)
UNBOUNDED: Final = -1  # completions end when the model says so, as llama.cpp's do
GRAMMAR: Final = "a grammar or schema is followed, whose state would be lost"
_FORMATS: Final = ("json_object", "json_schema", "structural_tag", "grammar")


class Resumption:
    """Of one request: whether its answer may be gone on with at all, and how it is asked for."""

    def __init__(self, api: int, body: bytes) -> None:
        self.problem: str = ""
        self.rest_api: int = api  # through which it is asked for by text
        self.ids_api: int = COMPLETION  # and by token ids
        self._api: int = api
        self._asked: dict[str, Any] = {}
        try:
            asked = bodies.anything.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.problem = "the request is not understood"
            return
        if not isinstance(asked, dict):
            self.problem = "the request is not understood"
            return
        self._asked = asked
        self.problem = self._why_not(asked)

    def _why_not(self, asked: dict[str, Any]) -> str:
        if any([asked.get(name) is not None for name in _GRAMMARS]):
            return GRAMMAR
        form = asked.get("response_format")
        if isinstance(form, dict) and form.get("type") in _FORMATS:
            return GRAMMAR
        if asked.get("n") not in (None, 1) or asked.get("best_of") not in (None, 1):
            return "several answers are asked for"
        if asked.get("logprobs") not in (None, False) or asked.get("prompt_logprobs") is not None:
            return "log probabilities are asked for"
        if asked.get("use_beam_search"):
            return "it is a search over several answers"
        options = asked.get("stream_options")
        if isinstance(options, dict) and options.get("continuous_usage_stats"):
            return "usage is told in every event"
        return self._why_not_here(asked)

    def _why_not_here(self, asked: dict[str, Any]) -> str:
        """The same, of what this API alone knows."""
        if self._api not in (CHAT, COMPLETION, ANTHROPIC):
            return "no way is known to go on with answers of this API"
        if self._api == COMPLETION:
            if asked.get("echo"):
                return "the prompt is told in the answer"
            if asked.get("suffix"):
                return "the answer stands in a gap"
            if not isinstance(asked.get("prompt"), str):
                return "the prompt is not given as one text"
            return ""
        choice = asked.get("tool_choice")
        if self._api == ANTHROPIC and isinstance(choice, dict):
            choice = choice.get("type")
        thinking = asked.get("thinking")
        if isinstance(thinking, dict) and thinking.get("type") != "disabled":
            return "reasoning is asked for, which would begin anew"
        if choice is not None and choice not in ("auto", "none"):
            return "a tool must be called, whose grammar would be lost"
        if asked.get("audio") is not None:
            return "audio is asked for"
        messages = asked.get("messages")
        if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
            return "the request is not understood"
        last = messages[-1]
        if last.get("role") == "assistant" and not isinstance(last.get("content"), str):
            return "it goes on from a message that is no text"
        return ""

    def body_for(self, text: str, tokens: int) -> bytes:
        """The request for what follows ``text``, of so many tokens; b"" where there is no room left
        for any: then ``problem`` says so."""
        asked = dict(self._asked)
        if not self.lessen(asked, tokens):
            return b""
        self._append(asked, text)
        return self.encoded(asked)

    def lessen(self, asked: dict[str, Any], tokens: int) -> bool:
        """Ask for so many tokens less; False where none are left."""
        for name in _LIMITS:
            limit = asked.get(name)
            if isinstance(limit, (int, float)) and not isinstance(limit, bool) and limit > 0:
                if int(limit) <= tokens:
                    self.problem = "as many tokens came as were asked for"
                    return False
                asked[name] = int(limit) - tokens
        for name in _LEAST:
            least = asked.get(name)
            if isinstance(least, (int, float)) and not isinstance(least, bool):
                asked[name] = max(int(least) - tokens, 0)
        return True

    def _append(self, asked: dict[str, Any], text: str) -> None:
        """Ask for what follows that text."""
        if self._api == COMPLETION:
            asked["prompt"] = asked["prompt"] + text
        else:
            messages = list(asked["messages"])
            last = messages[-1]
            open_before = self._api == ANTHROPIC or asked.get("continue_final_message")
            if last.get("role") == "assistant" and open_before:
                messages[-1] = {**last, "content": last["content"] + text}
            else:
                messages.append({"role": "assistant", "content": text})
            asked["messages"] = messages
            if self._api == CHAT:
                asked["continue_final_message"] = True
                asked["add_generation_prompt"] = False

    def encoded(self, asked: dict[str, Any]) -> bytes:
        """As JSON; b"" where it has none, and ``problem`` says so."""
        try:
            return msgspec.json.encode(asked)
        except (TypeError, ValueError, UnicodeEncodeError):
            self.problem = "the request is not understood"
            return b""

    def why_not_exact(self) -> str:
        """Why the rest would not be what it would have been, though it is asked for by token ids;
        "" where it would."""
        asked = self._asked
        for name in ("frequency_penalty", "presence_penalty"):
            if asked.get(name):
                return f"`{name}` counts what was answered, which would be taken for the prompt"
        if asked.get("tools"):
            return "tools are on offer, whose parsers withhold tokens"
        if asked.get("stop"):
            return "`stop` withholds text whose token ids are told"
        if asked.get("seed") is not None and asked.get("temperature") != 0:
            return "another engine does not go on with the chances of a `seed`"
        return ""

    def prompt(self) -> str:
        """The text of a text completion's prompt; "" of chats, whose engine makes it."""
        return str(self._asked.get("prompt", "")) if self._api == COMPLETION else ""

    def by_ids(self, prompt: list[Any], answer: list[int], room: int) -> bytes:
        """The request for a text completion that follows these token ids; b"" where it cannot be
        made. ``prompt``: ids, or its text, which llama.cpp takes before ids. ``room``: for prompt
        and answer, where the model has a bound that is known; else 0.

        Completions end after 16 tokens unless told otherwise; chats as late as there is room.
        """
        if self.problem or not prompt:
            return b""
        # Parsers of tools withhold tokens (vllm#27482); texts that are to stop it withhold text.
        if self._asked.get("tools") or self._asked.get("stop"):
            return b""
        asked = {name: value for name, value in self._asked.items() if name not in _OF_CHATS}
        limit = self._asked.get("max_completion_tokens") or self._asked.get("max_tokens")
        if self._api == CHAT and limit is None and room != UNBOUNDED:
            if room <= len(prompt):
                return b""
            limit = room - len(prompt)
        if limit is not None:
            if not isinstance(limit, (int, float)) or int(limit) <= len(answer):
                return b""
            asked["max_tokens"] = int(limit) - len(answer)
        least = asked.get("min_tokens")
        if isinstance(least, int):
            asked["min_tokens"] = max(least - len(answer), 0)
        asked["prompt"] = prompt + answer
        try:
            return msgspec.json.encode(asked)
        except (TypeError, ValueError, UnicodeEncodeError):
            return b""

    def half_stop(self, text: str) -> bool:
        """Whether the text ends with the beginning of something that is to stop it, of which the
        engine may have held back more."""
        stops = self._stops()
        if isinstance(stops, str):
            stops = [stops]
        if not isinstance(stops, list):
            return False
        for stop in stops:
            if not isinstance(stop, str):
                continue
            for size in range(1, len(stop)):
                if text.endswith(stop[:size]):
                    return True
        return False

    def _stops(self) -> Any:
        """Texts that are to stop it."""
        return self._asked.get("stop_sequences" if self._api == ANTHROPIC else "stop")


def prompt_told(answer: bytes) -> str:
    """The prompt that llama.cpp made of a chat; "" where it tells none."""
    try:
        told = bodies.anything.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    prompt = told.get("prompt") if isinstance(told, dict) else None
    return prompt if isinstance(prompt, str) else ""
