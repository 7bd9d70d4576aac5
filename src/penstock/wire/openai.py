"""What a request to a language model asks for, read from its body without decoding its text.

The prompt is taken as canonical bytes in the order in which it is rendered (tools, system,
messages), independent of the order of keys and of marks such as ``cache_control``, which move from
turn to turn. Text stays in its JSON form; images and other media stand for themselves by a digest.
These bytes are cut into blocks, and every block is hashed with the hash before it as the seed, so
that equal hashes mean equal prefixes. Block ends depend on the position alone:

    up to 16 KiB every 256 bytes, up to 128 KiB every KiB, beyond every 4 KiB; at most 512 blocks

so that short prompts are told apart finely and one of 100,000 tokens costs 250 hashes.

A body that cannot be read is *not understood*, with the reason; nothing is guessed from it, and of
what it says only the model is taken.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from penstock._in_c import in_c
from penstock.wire import openai_bodies as bodies
from penstock.wire import sglang_bodies
from penstock.wire.inspection import Inspection
from penstock.wire.kv_transfers import transfer_in, transfer_of
from penstock.wire.model_name import LONG_BYTES, MAX_NAME, model_at_front
from penstock.wire.openai_bodies import NOTHING
from penstock.wire.openai_fields import (
    conversation_id,
    is_single,
    is_wanted,
    name_hash,
    runs_tools,
    token_ids,
)
from penstock.wire.openai_prompt import MAX_OBJECTS, PromptText, TooManyParts
from penstock.wire.prompt_blocks import (
    ENDS,
    block_count,
    chained_blocks,
    hash_of,
    prompt_size,
)
from penstock.wire.session_keys import session_hash

OTHER: Final = 0
CHAT: Final = 1
COMPLETION: Final = 2
EMBEDDING: Final = 3
RESPONSE: Final = 4
ANTHROPIC: Final = 5
LLAMACPP: Final = 6  # its own completions, by a prompt or around a gap
OLLAMA_CHAT: Final = 7  # Ollama's own, which are understood where answers are resumed
OLLAMA_GENERATE: Final = 8
TEMPLATE: Final = (
    9  # llama.cpp's `/apply-template`, which tells the prompt of a chat; never a client's
)
SGLANG: Final = 10  # its own `/generate`
MAX_BLOCKS: Final = 512
_FEW_OBJECTS: Final = 1000
_MOST_TOKENS: Final = 1 << 30  # as a limit: none is longer, and it is reckoned with in floats
IMAGE_TOKENS: Final = 1024  # of an image, for lack of its size: about a 1024×1024 one at 32×32
_LONG_NAME: Final = f"the model's name has over {MAX_NAME} characters"
# What ``_prompts.c`` tells of a chat: model, stream, limit of tokens, choices, whether something
# stays, three names of a session, salt, stream options, tools, whether there are functions, turns
# answered, bytes of the prompt, and itself.
AtOnce = tuple[
    *tuple[str, bool, int, int, bool, str | None, str | None, str | None],
    *tuple[str | None, bytes, bytes, bool, int, int, Any],
]
_prompts: Final[Any] = in_c("_prompts")
_chat: Final[Any] = None if _prompts is None else _prompts.chat


def inspect(api: int, body: bytes) -> Inspection:
    """Read a whole body. Never raises: what cannot be read says why in ``problem``."""
    if api == OTHER:
        return _other(body)
    if api == CHAT and _chat is not None:
        read = _chat(body, MAX_OBJECTS)
        if read is not None:
            try:
                return understood_at_once(read)
            except UnicodeDecodeError:
                pass  # its tools are no UTF-8, which decoding says
    return inspect_decoded(api, body)


def inspect_decoded(api: int, body: bytes) -> Inspection:
    """The same, by decoding what it consists of: what the other way leaves is read so, and what it
    does not leave comes to the same."""
    if _has_many_objects(body):
        return _too_many(api, f"over {MAX_OBJECTS} objects", body)
    found = Inspection(api)
    prompt = PromptText()
    try:
        _read(found, prompt, body, bodies.strict)
    except TooManyParts:
        return _too_many(api, "too many parts in one message", body)
    except msgspec.ValidationError:
        found = Inspection(api)
        prompt = PromptText()
        try:
            _read(found, prompt, body, bodies.lax)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _unread(api, f"the body cannot be read: {error}", body)
        except TooManyParts:
            return _too_many(api, "too many parts in one message", body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unread(api, f"the body cannot be read: {error}", body)
    if found.api == OTHER:
        return _other(body)
    if len(found.model) > MAX_NAME:
        return Inspection(api, _LONG_NAME)
    found.images = prompt.images
    _hash_blocks(found, prompt.pieces)
    if prompt.opening:
        found._opening = hash_of(prompt.pieces[: prompt.opening]) or 1
    return found


def understood_at_once(read: "AtOnce") -> Inspection:
    """Of a chat that has the form that nearly all have, as ``_prompts.c`` tells of it."""
    model, stream, limit, choices, stays, cache_key, user, safety_identifier = read[:8]
    salt, options, tools, functions, answered, size, prompt = read[8:]
    if len(model) > MAX_NAME:
        return Inspection(CHAT, _LONG_NAME)
    found = Inspection(CHAT)
    found.model = model
    found.stream = stream
    found.output_limit = min(max(limit, 0), _MOST_TOKENS)
    found.choices = max(choices, 1)
    found.stays = stays
    if cache_key is not None or user is not None or safety_identifier is not None:
        found.user = user or safety_identifier or ""
        for key in (cache_key, user, safety_identifier):
            _name_session(found, key)
    if salt:
        found.cache_salt = salt
    found.stream_options = options
    if tools:
        found.tools = True
        found.runs_tools = runs_tools(Raw(tools))
    elif functions:
        found.tools = True
    found.answered = answered
    found.prompt_bytes = size
    found._prompt = prompt
    count = block_count(size)
    if count:
        found.blocks = prompt.blocks(ENDS, count, found.first_hash())
    return found


def _has_many_objects(body: bytes) -> bool:
    """Whether there are more than are read. The first are looked for one by one, which takes a
    tenth of counting: a long prompt is text for the most part, and has few."""
    if len(body) <= 2 * MAX_OBJECTS:  # each has two characters at least
        return False
    at = -1
    for _ in range(_FEW_OBJECTS):
        at = body.find(b"{", at + 1)
        if at < 0:
            return False
    return body.count(b"{") > MAX_OBJECTS


def _read(found: Inspection, prompt: PromptText, body: bytes, decoders: bodies.Decoders) -> None:
    api = found.api
    if api == CHAT:
        _read_chat(found, prompt, decoders.chat.decode(body))
    elif api == COMPLETION:
        _read_completion(found, prompt, decoders.completion.decode(body))
    elif api == EMBEDDING:
        _read_embedding(found, prompt, decoders.embedding.decode(body))
    elif api == RESPONSE:
        _read_response(found, prompt, decoders.response.decode(body))
    elif api == LLAMACPP:
        _read_llamacpp(found, prompt, decoders.llamacpp.decode(body))
    elif api == SGLANG:
        _read_generate(found, prompt, sglang_bodies.generate.decode(body))
    elif api in (OLLAMA_CHAT, OLLAMA_GENERATE):
        _read_ollama(found, prompt, decoders.ollama.decode(body))
    else:
        _read_anthropic(found, prompt, decoders.anthropic.decode(body))


def _unread(api: int, problem: str, body: bytes) -> Inspection:
    """What is not understood goes to who serves its model all the same, if it names one."""
    found = _other(body)
    found.api = api
    found.problem = problem
    return found


def _too_many(api: int, problem: str, body: bytes) -> Inspection:
    """To skip millions of values takes long as well: of a long body only the front is looked at."""
    if len(body) <= LONG_BYTES:
        return _unread(api, problem, body)
    found = Inspection(api, problem)
    found.transfer = transfer_in(body)
    place = model_at_front(body)
    if place is not None:
        found.model = place.name
    return found


def _other(body: bytes) -> Inspection:
    """All that can be known of a body whose form is not: the model, if it names one."""
    found = Inspection(OTHER, "not an API of language models")
    try:
        read = bodies.named.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found.transfer = transfer_in(body)
        return found
    found.transfer = transfer_of(read)
    model = read.model
    if len(model) <= MAX_NAME:
        found.model = model
    return found


def _read_chat(found: Inspection, prompt: PromptText, read: bodies.Chat) -> None:
    _common(found, read, read.max_completion_tokens or read.max_tokens)
    found.tools = read.tools is not NOTHING or read.functions is not NOTHING
    found.runs_tools = read.web_search_options is not NOTHING or runs_tools(read.tools)
    prompt.add(read.tools)
    prompt.add(read.functions)
    found.answered = 0
    for message in read.messages:
        prompt.add_message(message)
        if message.role == "user" and prompt.opening == 0:
            prompt.opening = len(prompt.pieces)
        elif message.role == "assistant":
            found.answered += 1


def _read_completion(found: Inspection, prompt: PromptText, read: bodies.Completion) -> None:
    _common(found, read, read.max_tokens)
    data = bytes(read.prompt)
    prompt.pieces.append(data)
    prompt.add(read.suffix)
    found.prompt_tokens = token_ids(data)
    found.single = is_single(data)


def _read_embedding(found: Inspection, prompt: PromptText, read: bodies.Embedding) -> None:
    _common(found, read, 0)
    data = bytes(read.input)
    prompt.pieces.append(data)
    found.prompt_tokens = token_ids(data)


def _read_response(found: Inspection, prompt: PromptText, read: bodies.Response) -> None:
    if read.conversation is not NOTHING:
        _name_session(found, conversation_id(read.conversation))
    _common(found, read, read.max_output_tokens)
    # Answers are kept unless the client says otherwise.
    found.stays = found.stays or read.store is NOTHING or read.conversation is not NOTHING
    found.tools = read.tools is not NOTHING
    found.runs_tools = runs_tools(read.tools)
    prompt.add(read.tools)
    prompt.add(read.instructions)
    if read.conversation is not NOTHING:
        named = conversation_id(read.conversation)
        found.continues = session_hash((named or "").encode("utf-8", "surrogatepass"))
    if read.previous_response_id is not NOTHING:
        found.continues = name_hash(read.previous_response_id)
    prompt.add(read.previous_response_id)
    prompt.add(read.conversation)
    data = bytes(read.input)
    if data.startswith(b"["):
        for item in bodies.messages.decode(data):
            prompt.add_item(item)
    else:
        prompt.pieces.append(data)


def _read_llamacpp(found: Inspection, prompt: PromptText, read: bodies.LlamaCpp) -> None:
    """Around a gap other files come first, then what stands before and behind it."""
    _common(found, read, read.n_predict)
    prompt.add(read.input_extra)
    prompt.add(read.input_prefix)
    prompt.add(read.input_suffix)
    prompt.add(read.prompt)
    data = bytes(read.prompt)
    found.prompt_tokens = token_ids(data)
    found.single = not data or is_single(data)


def _read_generate(found: Inspection, prompt: PromptText, read: sglang_bodies.Generate) -> None:
    """Others have the same path (TGI): their bodies have neither text nor ids."""
    data = bytes(read.text if is_wanted(read.text) else read.input_ids)
    if not data:
        found.api = OTHER
        return
    sampling = sglang_bodies.sampling_in(read.sampling_params)
    _common(found, read, sampling.max_new_tokens)
    found.choices = max(int(sampling.n or 1), 1)
    if is_wanted(read.session_params):
        _name_session(found, conversation_id(read.session_params))
        found.stays = True
    prompt.add(read.image_data)
    prompt.pieces.append(data)
    found.prompt_tokens = token_ids(data)
    found.single = is_single(data)


def _read_ollama(found: Inspection, prompt: PromptText, read: bodies.Ollama) -> None:
    """Streams unless told otherwise (Ollama, docs/api.md)."""
    options = read.options
    _common(found, read, options.num_predict if options is not None else None)
    found.stream = read.stream is not False
    found.tools = read.tools is not NOTHING
    prompt.add(read.tools)
    prompt.add(read.system)
    prompt.add(read.template)
    prompt.add(read.context)
    prompt.add(read.prompt)
    prompt.add(read.suffix)
    for message in read.messages or ():
        prompt.add_message(message)


def _read_anthropic(found: Inspection, prompt: PromptText, read: bodies.AnthropicMessages) -> None:
    _common(found, read, read.max_tokens)
    if read.metadata is not None:
        _name_session(found, read.metadata.user_id)
        found.user = read.metadata.user_id or ""
    found.tools = read.tools is not NOTHING
    found.runs_tools = read.mcp_servers is not NOTHING or runs_tools(read.tools)
    prompt.add(read.tools)
    prompt.add_content(read.system)
    for message in read.messages:
        prompt.add_message(message)


def _common(found: Inspection, read: bodies.Common, limit: bodies.Limit) -> None:
    found.model = read.model or ""
    found.transfer = transfer_of(read)
    found.stream = read.stream is True
    found.output_limit = min(max(int(limit or 0), 0), _MOST_TOKENS)
    if read.stream_options is not NOTHING:
        found.stream_options = bytes(read.stream_options)
    found.id_slot = read.id_slot is not NOTHING
    found.choices = max(int(read.n or 1), 1)
    found.stays = is_wanted(read.store) or is_wanted(read.background)
    found.cache_salt = read.cache_salt or ""
    found.user = read.user or read.safety_identifier or ""
    for key in (read.prompt_cache_key, read.user, read.safety_identifier):
        _name_session(found, key)


def _name_session(found: Inspection, key: str | None) -> None:
    """By this, unless it has a name already."""
    if key is not None and found.session_hash == 0:
        found.session_hash = session_hash(key.encode("utf-8", "surrogatepass"))


def _hash_blocks(found: Inspection, pieces: list[bytes | memoryview]) -> None:
    found.prompt_bytes = prompt_size(pieces)
    found.blocks = chained_blocks(pieces, found.prompt_bytes, found.first_hash())
