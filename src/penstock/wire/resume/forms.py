"""Which form the answers of an API have, and how each is gone on with."""

from penstock.wire.openai import LLAMACPP, OLLAMA_CHAT, OLLAMA_GENERATE, RESPONSE, SGLANG
from penstock.wire.resume.answer_text import AnswerText
from penstock.wire.resume.events import EventSplitter, LineSplitter
from penstock.wire.resume.llamacpp import NativeResumption, NativeSplicer, NativeText
from penstock.wire.resume.ollama import OllamaResumption, OllamaSplicer, OllamaText
from penstock.wire.resume.request import Resumption
from penstock.wire.resume.response_request import ResponseResumption
from penstock.wire.resume.responses import ResponseSplicer, ResponseText
from penstock.wire.resume.sglang import GenerateResumption, GenerateSplicer, GenerateText
from penstock.wire.resume.splice import Splicer


def comes_in_lines(api: int) -> bool:
    """Whether streamed answers are lines of JSON in place of server-sent events."""
    return api in (OLLAMA_CHAT, OLLAMA_GENERATE)


def text_of(api: int) -> AnswerText:
    """What is kept of an answer."""
    if api == RESPONSE:
        return ResponseText(api)
    if api == LLAMACPP:
        return NativeText(api)
    if api == SGLANG:
        return GenerateText(api)
    return OllamaText(api) if comes_in_lines(api) else AnswerText(api)


def splitter_of(api: int) -> EventSplitter:
    """What makes whole events of it."""
    return LineSplitter() if comes_in_lines(api) else EventSplitter()


def resumption_of(api: int, body: bytes) -> Resumption:
    """How the rest is asked for."""
    if api == RESPONSE:
        return ResponseResumption(api, body)
    if api == LLAMACPP:
        return NativeResumption(api, body)
    if api == SGLANG:
        return GenerateResumption(api, body)
    return OllamaResumption(api, body) if comes_in_lines(api) else Resumption(api, body)


def splicer_of(
    api: int, begun: AnswerText, answered: int, rest_api: int, wants_usage: bool
) -> Splicer:
    """What makes the rest one stream with what was begun."""
    if isinstance(begun, ResponseText):
        return ResponseSplicer(begun, answered)
    if api == LLAMACPP:
        return NativeSplicer(begun, answered)
    if isinstance(begun, GenerateText):
        return GenerateSplicer(begun, answered)
    if isinstance(begun, OllamaText):
        return OllamaSplicer(api, begun, answered, rest_api)
    return Splicer(api, begun, answered, rest_api, wants_usage)
