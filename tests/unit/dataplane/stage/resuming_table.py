"""What is gone on with, and how, as found by cutting answers of played engines on a stage:
``python -m tests.unit.dataplane.stage.resuming_table --write`` writes it into docs/streams.md.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from penstock.config.describe.generated import main, with_generated
from penstock.core.snapshot import Resume
from tests.harness.fake.stage import Stage
from tests.harness.world import world
from tests.unit.dataplane.stage import test_watched_websocket_responses as sockets
from tests.unit.dataplane.stage.emulating import PlayedEngine
from tests.unit.dataplane.stage.streaming import HEAD, Answered, chunk, engines, newest
from tests.unit.dataplane.stage.test_resuming import TOLD, body_of, why_nobody_goes_on
from tests.unit.dataplane.stage.test_resuming_by_ids import (
    REFUSAL,
    TEMPLATE,
    path_of,
    told_ways,
    whole_answer,
)
from tests.unit.dataplane.stage.test_resuming_other_apis import ASKED, LINES, TALK, request

FILE: Final = Path("docs/streams.md")
_MODULE: Final = "tests.unit.dataplane.stage.resuming_table"
_PROMPT: Final = "the water flows through the gate"
_LIMIT: Final = {"max_tokens": 60, "stream": True, "temperature": 0}
# What is asked, and who offers it.
_APIS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "OpenAI chat completions": ("/v1/chat/completions", {"messages": TALK, **_LIMIT}),
    "OpenAI text completions": ("/v1/completions", {"prompt": _PROMPT, **_LIMIT}),
    "OpenAI responses, `store: false`": ASKED["responses"][:2],
    "Anthropic messages": ("/v1/messages", {"messages": TALK, **_LIMIT}),
    "llama.cpp's `/completion`": ASKED["llama.cpp"][:2],
    "SGLang's `/generate`, `text`": ASKED["sglang"][:2],
    "SGLang's `/generate`, `input_ids`": ASKED["sglang, ids"][:2],
    "Ollama chat": ASKED["ollama chat"][:2],
    "Ollama generate": ASKED["ollama generate"][:2],
}
_ENGINES: Final = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "ollama": "Ollama"}
_NUMBERED: Final = list(enumerate(_ENGINES))
_OWN: Final = {"/completion": "llamacpp", "/generate": "sglang"}
_PLACES: Final = {"/v1/completions": "as a text completion", "/api/chat": "as a chat"}


def gone_on(dialect: str, path: str, asked: dict[str, Any], resume: Resume) -> str:
    """How the rest of an answer is asked for that is cut after some tokens; "" if it is not."""
    with Stage(world(engines(0, 1, resume=resume))) as stage:
        told_ways(stage, dialect)
        client = stage.client(room=1 << 20)
        stage.send(client, request(path, asked))
        played = PlayedEngine("a", 1, dialect)
        _, engine, sent = newest(stage)
        if not played.takes(path_of(sent), body_of(sent)):
            stage.send(engine, REFUSAL)
            _, engine, sent = newest(stage)
        events = played.events(path, body_of(sent))
        head = LINES if path.startswith("/api") else HEAD
        stage.send(engine, head + b"".join(chunk(each) for each in events[:4]))
        engine.reset()
        stage.settle()
        if not any(end.inbox for server in stage.servers for end in server.accepted):
            assert not Answered(stage, client).complete
            return ""
        _, other, sent = newest(stage)
        if path_of(sent) == TEMPLATE:
            stage.send(other, whole_answer(played.template(body_of(sent))))
            _, other, sent = newest(stage)
        rest = json.loads(body_of(sent))
        prompt = rest.get("prompt", rest.get("input_ids"))
        ids = isinstance(prompt, list) and all(isinstance(each, int) for each in prompt[1:])
        place = _PLACES.get(path_of(sent), "") if path_of(sent) != path else ""
        return f"{'by ids' if ids else 'by text'}{', ' if place and not ids else ''}" + (
            place if not ids else ""
        )


def gone_on_over_websocket(dialect: str) -> str:
    """The same of a response that is asked for on a WebSocket."""
    with Stage(sockets.resuming()) as stage:
        told_ways(stage, dialect)
        client = sockets.caller(stage)
        sockets.ask(client)
        engine = sockets.newest(stage)
        sockets.tell(engine, sockets.events_for("a", sockets.asked_of(engine))[:8])
        sockets.reset(engine)
        rest = sockets.asked_of(sockets.newest(stage))
        return "by text" if rest["input"][-1]["status"] == "in_progress" else "no"


def _offers(dialect: str, path: str) -> bool:
    if path in _OWN:
        return dialect == _OWN[path]
    return (dialect == "ollama") == path.startswith("/api") or path == "/v1/chat/completions"


def _cell(dialect: str, path: str, asked: dict[str, Any]) -> str:
    if not _offers(dialect, path):
        return ""
    if gone_on(dialect, path, asked, Resume(token_ids=True, exact=True)):
        return "by ids, exact"
    return gone_on(dialect, path, asked, Resume(token_ids=True)) or "no"


def table() -> str:
    """A row for each API, and one for each reason why nobody goes on."""
    lines = [f"| API | {' | '.join(_ENGINES.values())} |", "|---" * (len(_ENGINES) + 1) + "|"]
    for name, (path, asked) in _APIS.items():
        cells = [_cell(dialect, path, asked) for dialect in _ENGINES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if path == "/v1/responses":
            cells = [gone_on_over_websocket(each) if cells[at] else "" for at, each in _NUMBERED]
            lines.append(f"| the same over WebSocket | {' | '.join(cells)} |")
    lines += ["", "| not gone on with | `reason` of the metric | the log line |", "|---|---|---|"]
    with TemporaryDirectory() as directory:
        for name in TOLD:
            reason, why = why_nobody_goes_on(name, Path(directory) / "log")
            lines.append(f"| {name} | `{reason}` | {why.partition('goes on with it: ')[2]} |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The document with what is found today."""
    return with_generated(text, _MODULE, table())


if __name__ == "__main__":
    main(FILE, with_table)
