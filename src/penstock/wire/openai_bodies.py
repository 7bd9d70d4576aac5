"""The parts of request bodies and stream events that are read; all else is skipped undecoded.

Fields that need only be hashed stay raw JSON. Sources: OpenAI API reference (chat completions,
completions, embeddings, responses), Anthropic API reference (messages). It is not compiled: plain
data on msgspec's own metaclass.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

NOTHING = Raw(b"")
Limit = int | float | None  # in tokens; engines take 16.0 for 16


class Part(msgspec.Struct):
    """A piece of a message's content."""

    type: str = ""
    text: Raw = NOTHING
    # Media: stand for themselves by a digest.
    image_url: Raw = NOTHING
    source: Raw = NOTHING
    input_audio: Raw = NOTHING
    audio_url: Raw = NOTHING
    video_url: Raw = NOTHING
    file: Raw = NOTHING
    file_data: Raw = NOTHING
    # Tools and thinking.
    id: Raw = NOTHING
    name: Raw = NOTHING
    input: Raw = NOTHING
    tool_use_id: Raw = NOTHING
    content: Raw = NOTHING
    thinking: Raw = NOTHING
    refusal: Raw = NOTHING


class Message(msgspec.Struct):
    """A turn of a conversation, or an item of a response's input."""

    role: str = ""
    content: Raw = NOTHING
    name: Raw = NOTHING
    tool_calls: Raw = NOTHING
    tool_call_id: Raw = NOTHING
    function_call: Raw = NOTHING
    reasoning_content: Raw = NOTHING
    # Items of the responses API.
    type: Raw = NOTHING
    call_id: Raw = NOTHING
    arguments: Raw = NOTHING
    output: Raw = NOTHING
    summary: Raw = NOTHING
    encrypted_content: Raw = NOTHING


class Metadata(msgspec.Struct):
    user_id: str | None = None


class Transfers(msgspec.Struct, kw_only=True):
    """What engines tell each other of the KV caches that they hand over: with whom to connect.

    Those of vLLM (NIXL, Mooncake, LMCache and others, encoders too), SGLang and TensorRT-LLM.
    """

    kv_transfer_params: Raw = NOTHING
    ec_transfer_params: Raw = NOTHING
    vllm_xargs: Raw = NOTHING  # may hold the same
    bootstrap_host: Raw = NOTHING
    bootstrap_port: Raw = NOTHING
    bootstrap_room: Raw = NOTHING
    bootstrap_pair_key: Raw = NOTHING
    disaggregated_params: Raw = NOTHING


class Named(Transfers, kw_only=True):
    """A body of any other form that names a model."""

    model: str = ""


class Common(Transfers, kw_only=True):
    model: str | None = None  # engines that serve one do without
    stream: bool | None = None
    max_tokens: Limit = None
    n: Limit = None
    store: Raw = NOTHING
    background: Raw = NOTHING
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    cache_salt: str | None = None  # vLLM and SGLang: only equal ones share a cache
    stream_options: Raw = NOTHING
    id_slot: Raw = NOTHING  # llama.cpp


class Chat(Common, kw_only=True):
    messages: list[Message]
    tools: Raw = NOTHING
    functions: Raw = NOTHING
    web_search_options: Raw = NOTHING
    max_completion_tokens: Limit = None


class Completion(Common, kw_only=True):
    prompt: Raw
    suffix: Raw = NOTHING


class LlamaCpp(Common, kw_only=True):
    """Of llama.cpp's ``/completion`` and ``/infill`` (its server's README)."""

    prompt: Raw = NOTHING
    input_prefix: Raw = NOTHING
    input_suffix: Raw = NOTHING
    input_extra: Raw = NOTHING
    n_predict: Limit = None  # -1: without end


class Embedding(Common, kw_only=True):
    input: Raw


class Conversation(msgspec.Struct):
    id: str


class Response(Common, kw_only=True):
    input: Raw
    conversation: Raw = NOTHING
    instructions: Raw = NOTHING
    tools: Raw = NOTHING
    previous_response_id: Raw = NOTHING
    max_output_tokens: Limit = None


class AnthropicMessages(Common, kw_only=True):
    messages: list[Message]
    system: Raw = NOTHING
    tools: Raw = NOTHING
    mcp_servers: Raw = NOTHING
    metadata: Metadata | None = None


class OllamaOptions(msgspec.Struct):
    num_predict: Limit = None  # -1: without end


class Ollama(Common, kw_only=True):
    """Of its ``/api/chat`` and ``/api/generate``."""

    messages: list[Message] | None = None
    tools: Raw = NOTHING
    prompt: Raw = NOTHING
    suffix: Raw = NOTHING
    system: Raw = NOTHING
    template: Raw = NOTHING
    context: Raw = NOTHING
    options: OllamaOptions | None = None


class Tool(msgspec.Struct):
    type: str = ""


class Decoders:
    """Of the bodies of each API. Lax ones take "100" for 100 and 1 for true, as engines do that are
    built with pydantic (vLLM, SGLang)."""

    def __init__(self, *, strict: bool) -> None:
        self.chat = msgspec.json.Decoder(Chat, strict=strict)
        self.completion = msgspec.json.Decoder(Completion, strict=strict)
        self.llamacpp = msgspec.json.Decoder(LlamaCpp, strict=strict)
        self.embedding = msgspec.json.Decoder(Embedding, strict=strict)
        self.response = msgspec.json.Decoder(Response, strict=strict)
        self.anthropic = msgspec.json.Decoder(AnthropicMessages, strict=strict)
        self.ollama = msgspec.json.Decoder(Ollama, strict=strict)


strict = Decoders(strict=True)
lax = Decoders(strict=False)
named = msgspec.json.Decoder(Named)
messages = msgspec.json.Decoder(list[Message])
parts = msgspec.json.Decoder(list[Part | str])  # vLLM takes bare text for a part as well
conversation = msgspec.json.Decoder(Conversation)
text = msgspec.json.Decoder(str)
tools = msgspec.json.Decoder(list[Tool])
keys = msgspec.json.Decoder(dict[str, Raw])
handed_over = msgspec.json.Decoder(Transfers)


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """Under the names of both OpenAI APIs and of Anthropic's."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _PromptDetails | None = None
    input_token_details: _PromptDetails | None = None  # Realtime
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Timings(msgspec.Struct):
    """llama.cpp's, beside the usage or in its place: prompt tokens cached and computed, output."""

    cache_n: int | None = None
    prompt_n: int | None = None
    predicted_n: int | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Inner(msgspec.Struct):
    id: Any = None
    usage: Usage | None = None
    stop_reason: str | None = None


class Event(msgspec.Struct):
    """A stream's event, or a whole answer."""

    object: Any = None
    id: Any = None
    usage: Usage | None = None
    timings: _Timings | None = None
    choices: list[_Choice] | None = None
    delta: _Delta | str | None = None
    message: _Inner | None = None  # Anthropic: message_start
    response: _Inner | None = None  # responses: response.completed
    stop_reason: str | None = None


class _OpeningChoice(msgspec.Struct):
    """Of chat completions a delta, of completions text, of some servers the whole message."""

    delta: dict[str, Raw] | None = None
    text: str | None = None
    message: Any = None
    finish_reason: str | None = None


class Opening(msgspec.Struct):
    """An event at the beginning of a stream, which may bring nothing yet."""

    choices: list[_OpeningChoice] | None = None


class OllamaMessage(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: Any = None


class OllamaLine(msgspec.Struct):
    """Of a streamed answer of Ollama's own API, or all of one."""

    error: Any = None
    response: str | None = None
    thinking: str | None = None
    message: OllamaMessage | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class BareUsage(msgspec.Struct):
    """The usage of an event whose other fields are of other kinds than those APIs'."""

    usage: Usage | None = None


class Failure(msgspec.Struct):
    """What tells an error in the place of an answer: an object or text, or itself (older vLLM)."""

    object: Any = None
    error: Any = None
    message: Any = None


class Said(msgspec.Struct):
    """An event that a client sends over a WebSocket."""

    type: str
    event_id: str | None = None
    stream_id: str | None = None
    previous_response_id: str | None = None
    response_id: str | None = None


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None


class _About(msgspec.Struct):
    event_id: str | None = None


class Told(msgspec.Struct):
    """An event that an engine sends over a WebSocket."""

    type: str = ""
    status: int | None = None  # of an error
    response: _Response | None = None
    response_id: str | None = None
    error: _About | None = None


said = msgspec.json.Decoder(Said)
told = msgspec.json.Decoder(Told)
failure = msgspec.json.Decoder(Failure)
event = msgspec.json.Decoder(Event)
opening = msgspec.json.Decoder(Opening)
bare_usage = msgspec.json.Decoder(BareUsage)
ollama_line = msgspec.json.Decoder(OllamaLine)


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


stream_options = msgspec.json.Decoder(StreamOptions | None)
fields = msgspec.json.Decoder(dict[str, Raw])
objects = msgspec.json.Decoder(list[dict[str, Raw]])
texts = msgspec.json.Decoder(str | list[str] | None)
anything = msgspec.json.Decoder()


class _Named(msgspec.Struct):
    id: Any = None


class Made(_Named):
    """An answer that tells of a thing that its engine keeps, or of several."""

    output_file_id: Any = None
    error_file_id: Any = None
    data: list[_Named] | None = None


class Asking(msgspec.Struct):
    """A request that names what was made before."""

    input_file_id: str | None = None
    training_file: str | None = None
    file_id: str | None = None


class OllamasModels(msgspec.Struct):
    """Ollama's ``/api/tags`` and ``/api/ps``."""

    models: list[dict[str, Any]] | None = None


made = msgspec.json.Decoder(Made)
asking = msgspec.json.Decoder(Asking)
ollamas_models = msgspec.json.Decoder(OllamasModels)
