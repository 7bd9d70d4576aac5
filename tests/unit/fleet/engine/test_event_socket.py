"""Emulated engines over OpenAI's WebSockets, by the SDK's own clients."""

import asyncio
from typing import Any

import openai

from penstock.fleet.engine.server import EngineServer
from tests.unit.fleet.engine.asking import MODEL, Start, sdk_for


def over_websocket(engine: EngineServer) -> openai.AsyncOpenAI:
    client = sdk_for(engine)
    client.websocket_base_url = f"ws://{engine.host}:{engine.port}/v1"
    return client


NO_PROXY: Any = {"proxy": None}


async def events_of(connection: Any, last: str) -> list[Any]:
    told = []
    async for event in connection:
        told.append(event)
        if event.type in (last, "error"):
            return told
    return told


async def test_responses_go_on_from_answers_of_the_same_socket(engine: EngineServer) -> None:
    async with (
        over_websocket(engine) as client,
        client.responses.connect(websocket_connection_options=NO_PROXY) as connection,
    ):
        create: Any = {"type": "response.create", "model": MODEL, "max_output_tokens": 5}
        await connection.send(create | {"input": "hello"})
        first = await events_of(connection, "response.incomplete")
        assert [each.type for each in first][:2] == ["response.created", "response.in_progress"]
        name = first[-1].response.id
        tokens = first[-1].response.usage.input_tokens
        await connection.send(create | {"input": "more", "previous_response_id": name})
        second = await events_of(connection, "response.incomplete")
        assert second[-1].response.usage.input_tokens > tokens + 5
        await connection.send(create | {"input": "more", "previous_response_id": "resp_other"})
        (refused,) = await events_of(connection, "error")
        assert refused.error.code == "previous_response_not_found"


async def test_realtime_answers_when_asked_and_when_a_turn_ends(start: Start) -> None:
    engine = await start(speedup=5.0)
    async with (
        over_websocket(engine) as client,
        client.realtime.connect(model=MODEL, websocket_connection_options=NO_PROXY) as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        await connection.response.create(response={"max_output_tokens": 4})
        told = await events_of(connection, "response.done")
        assert [each.type for each in told].count("response.output_text.delta") == 4
        assert told[-1].response.usage.output_tokens == 4
        session: Any = {"type": "realtime", "turn_detection": {"type": "server_vad"}}
        await connection.session.update(session=session)
        assert (await connection.recv()).type == "session.updated"
        await connection.input_audio_buffer.commit()
        assert (await connection.recv()).type == "input_audio_buffer.committed"
        assert (await connection.recv()).type == "response.created"
        await connection.response.cancel()
        told = await events_of(connection, "response.done")
        assert told[-1].response.status == "cancelled"
    for _ in range(50):
        if engine.load().running == 0:
            break
        await asyncio.sleep(0.01)
    assert engine.load().running == 0
