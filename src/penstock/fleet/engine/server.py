"""An emulated engine: APIs and a dialect over the model of an engine."""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from functools import partial
from itertools import count
from typing import Any

import msgspec
import xxhash
from aiohttp import web

from penstock.fleet.emulated import EmulatedServer, Handler
from penstock.fleet.engine.api.anthropic import MessagesApi
from penstock.fleet.engine.api.base import (
    Answer,
    Api,
    Asked,
    Identity,
    Reason,
    Usage,
    Writer,
    decoded,
)
from penstock.fleet.engine.api.completions import ChatApi, CompletionApi
from penstock.fleet.engine.api.openai import refusal_body
from penstock.fleet.engine.api.responses import ResponsesApi
from penstock.fleet.engine.dialect import dialect_named
from penstock.fleet.engine.dialect.base import EmulatedDialect
from penstock.fleet.engine.driver import Driver
from penstock.fleet.engine.event_socket import serve_realtime, serve_responses
from penstock.fleet.engine.generation import (
    Generation,
    Listener,
    Sink,
    WholeAnswer,
)
from penstock.fleet.engine.intake import Intake, RequestRefusedError
from penstock.fleet.engine.kv_events import KvEventPublisher
from penstock.fleet.engine.kv_transfers import PULL_PATH, KvTransfers
from penstock.fleet.engine.observations import Observations
from penstock.fleet.engine.protocol import ChatRequest, EmbeddingRequest
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.engine.streaming import streamed
from penstock.fleet.engine.text import TOKEN_BYTES, padded, render_tokens, token_ids
from penstock.fleet.faults import FaultCommand
from penstock.sim.engine_timing import PROFILES
from penstock.sim.inference import EngineLoad, InferenceEngine

_EMBEDDING_DIMENSIONS = 64

REPORTABLE = (*EngineLoad.__dataclass_fields__, "kv_usage")


class EngineServer(EmulatedServer):
    """One engine on one port. Raises ValueError for a specification that cannot be."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec.name, spec.host, spec.port)
        self.spec = spec
        self.dialect: EmulatedDialect = dialect_named(spec.dialect)
        self.limits = spec.limits(self.dialect.default_sequences)
        self.observations = Observations()
        self.intake = Intake(spec)
        timing = PROFILES[spec.profile].timing
        recording = spec.kv_events != "off"
        self._engine = InferenceEngine[Generation](timing, self.limits, recording)
        self._driver = Driver(self._engine, spec.speedup, self._stepped)
        self._publisher = KvEventPublisher(spec) if recording else None
        self._numbers = count(1)
        self.transfers = KvTransfers(spec)

    def routes(self) -> list[web.RouteDef]:
        dialect = self.dialect
        chats, completions = (
            ChatApi(dialect.ids_in_chats),
            CompletionApi(dialect.ids_in_completions),
        )
        return [
            web.post("/v1/chat/completions", self.generating(chats)),
            web.post("/v1/completions", self.generating(completions)),
            web.post("/v1/responses", self.generating(ResponsesApi())),
            web.get("/v1/responses", partial(serve_responses, self)),
            web.get("/v1/realtime", partial(serve_realtime, self)),
            web.post("/v1/messages", self.generating(MessagesApi())),
            web.post("/v1/embeddings", self._embeddings),
            web.get("/v1/models", self._models),
            web.get(PULL_PATH, self.transfers.serve),
            *([web.get("/metrics", self._metrics)] if self.dialect.has_metrics else []),
            *self.dialect.routes(self),
        ]

    async def start(self) -> None:
        if self._publisher is not None:
            self._publisher.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        if self._publisher is not None:
            self._publisher.stop()

    async def apply(self, command: FaultCommand) -> None:
        unknown = set(command.reported).difference(REPORTABLE)
        if unknown:
            raise ValueError(
                f"an engine reports no {', '.join(sorted(unknown))}; it reports "
                f"{', '.join(REPORTABLE)}"
            )
        await super().apply(command)

    def lose_state(self) -> None:
        self._driver.cold_start()
        self.transfers.forget()
        self.observations = Observations()
        if self._publisher is not None:
            self._publisher.restart()

    def faults_changed(self) -> None:
        standing = self.faults.streams_stalled or self.faults.stalled
        self._driver.set_slowness(float("inf") if standing else self.faults.slow_factor)

    def load(self) -> EngineLoad:
        """The truth about its load."""
        return self._driver.load()

    @property
    def cancelled_at(self) -> float:
        """The event loop's time when work was last given up because its client left; or -1."""
        return self._driver.cancelled_at

    def reported_load(self) -> EngineLoad:
        """What it says of its load: the truth, but for what it was told to lie about."""
        load = self._driver.load()
        for name, value in self.faults.reported.items():
            if name == "kv_usage":
                load.kv_used_tokens = round(value * load.kv_tokens)
            else:
                setattr(load, name, int(value))
        return load

    def clear_cache(self) -> bool:
        """Empty the prefix cache if nothing runs; whether that was done."""
        done = self._engine.clear_cache()
        self._publish()
        return done

    def active_adapters(self) -> tuple[list[str], list[str]]:
        """The adapters of requests that run, and of those that wait."""
        running, waiting = self._engine.sequences()
        return (
            sorted({generation.adapter for generation in running} - {""}),
            sorted({generation.adapter for generation in waiting} - {""}),
        )

    @property
    def kv_event_addresses(self) -> tuple[str, str]:
        """Where cache events are published and replayed; empty without them."""
        publisher = self._publisher
        return (publisher.address, publisher.replay_address) if publisher else ("", "")

    def generating(self, api: Api) -> Handler:
        """What answers requests to generate in the terms of ``api``."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                asked = api.read(await request.read())
                if self.spec.role == "prefill":
                    asked.prompt.answer_briefly()
                generation = self.intake.generation(asked.prompt)
                writer = self._writer(asked, generation)
                if self.spec.role:
                    return await self._meet(request, asked, generation, writer)
                transfer = asked.prompt.kv_transfer_params or {}
                if transfer.get("do_remote_prefill"):
                    self._engine.adopt(await self.transfers.pull(transfer))
                if transfer.get("do_remote_decode"):
                    return await self._hand_out(request, transfer, generation, writer)
                if asked.stream:
                    return await self._stream(request, generation, writer)
                return await self._whole(request, generation, writer)
            except RequestRefusedError as refused:
                return web.Response(
                    body=api.refusal(refused),
                    status=api.status(refused),
                    content_type="application/json",
                )

        return answer

    async def generate(self, asked: Asked, sink: Sink) -> Writer:
        """Answer by server-sent events, which are written there as they come. Raises
        RequestRefusedError."""
        generation = self.intake.generation(asked.prompt)
        writer = self._writer(asked, generation)
        listener = streamed(writer, False)
        generation.listener = listener
        try:
            self._submit(generation)
            listener.attach(sink)
            await listener.wait()
        finally:
            self._driver.cancel(generation)
        sink.write(writer.closing(self._usage(generation)))
        return writer

    def begun(self, prompt: ChatRequest, listener: Listener) -> Generation:
        """A generation, whose tokens are told; ``give_up`` ends it. Raises RequestRefusedError."""
        generation = self.intake.generation(prompt)
        generation.listener = listener
        self._submit(generation)
        return generation

    def give_up(self, generation: Generation) -> None:
        """Nobody waits for more of it."""
        self._driver.cancel(generation)

    def next_number(self) -> int:
        """Of an answer."""
        return next(self._numbers)

    def _writer(self, asked: Asked, generation: Generation) -> Writer:
        model = asked.prompt.model or self.spec.model
        identity = Identity(f"{self.next_number():016x}", int(time.time()), model)
        tool = asked.tool()
        ended: Reason = "stop" if generation.stopped else "length"
        text = generation.answer.decode()
        ids: list[int] = []
        if asked.prompt.return_token_ids:
            ids = token_ids(generation.data[: generation.prompt_tokens * TOKEN_BYTES])
        answer = Answer(text, "tool" if tool else ended, tool, generation.prompt_tokens, ids)
        return asked.writer(identity, answer)

    async def _whole(
        self, request: web.Request, generation: Generation, writer: Writer
    ) -> web.StreamResponse:
        listener = WholeAnswer()
        generation.listener = listener
        try:
            self._submit(generation)
            await listener.wait()
        finally:
            self._driver.cancel(generation)
        return web.Response(
            body=writer.whole(self._usage(generation)),
            content_type="application/json",
            headers=self.dialect.response_headers(self, request),
        )

    async def _meet(
        self, request: web.Request, asked: Asked, generation: Generation, writer: Writer
    ) -> web.StreamResponse:
        """Do one half: engines so configured do nothing alone."""
        prompt = asked.prompt
        room = prompt.bootstrap_room
        if room < 0:
            raise RequestRefusedError("disaggregated: there is no bootstrap_room")
        if self.spec.role == "decode":
            host, port = prompt.bootstrap_host, prompt.bootstrap_port
            self._engine.adopt(await self.transfers.pull_from_room(host, port, room))
            if asked.stream:
                return await self._stream(request, generation, writer)
            return await self._whole(request, generation, writer)
        try:
            whole = await self._whole(request, generation, writer)
            await self.transfers.meet(room, generation)
        finally:
            self.transfers.leave(room)
        return whole

    async def _hand_out(
        self,
        request: web.Request,
        transfer: dict[str, Any],
        generation: Generation,
        writer: Writer,
    ) -> web.StreamResponse:
        """Answer, and tell from where another engine may pull the prompt's cache."""
        whole = await self._whole(request, generation, writer)
        if "transfer_id" in transfer:  # Mooncake's: the other engine knows where
            self.transfers.keep(str(transfer["transfer_id"]), generation)
            return whole
        assert isinstance(whole, web.Response)
        assert isinstance(whole.body, bytes)
        told = msgspec.json.decode(whole.body)
        told["kv_transfer_params"] = self.transfers.hand_out(generation, self.host, self.port)
        whole.body = msgspec.json.encode(told)
        return whole

    async def _stream(
        self, request: web.Request, generation: Generation, writer: Writer
    ) -> web.StreamResponse:
        """Answer as it comes. The head goes out at once, before the first token, as vLLM's does."""
        response = web.StreamResponse(headers=self.dialect.response_headers(self, request))
        response.content_type = writer.stream_type
        chunked = request.version >= (1, 1)
        if chunked:
            response.enable_chunked_encoding()
        listener = streamed(writer, chunked)
        generation.listener = listener
        try:
            self._submit(generation)
            await response.prepare(request)
            if request.transport is not None:  # else the client has left
                listener.attach(request.transport)
            await listener.wait()
        finally:
            self._driver.cancel(generation)
        if closing := writer.closing(self._usage(generation)):
            await response.write(closing)
        await response.write_eof()
        return response

    def _submit(self, generation: Generation) -> None:
        if self.faults.dead:  # it was asked on a connection that is being reset
            raise RequestRefusedError("the engine died", status=503)
        try:
            self._driver.submit(generation)
        except ValueError as error:
            raise RequestRefusedError(str(error)) from error

    def _usage(self, generation: Generation) -> Usage:
        told = self.spec.report_cached and self.dialect.reports_cached
        cached = generation.cached_tokens if told else None
        return Usage(generation.prompt_tokens, cached, generation.generated)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._embed(request)
        except RequestRefusedError as refused:
            body = refusal_body(refused)
            return web.Response(body=body, status=refused.status, content_type="application/json")

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body = decoded(await request.read(), EmbeddingRequest)
        self.intake.adapter(body.model)
        texts = [
            given.encode() if isinstance(given, str) else render_tokens(given)
            for given in body.inputs()
        ]
        data = [
            {"object": "embedding", "index": index, "embedding": _embedding(text)}
            for index, text in enumerate(texts)
        ]
        tokens = sum(len(padded(text)) // TOKEN_BYTES for text in texts)
        return web.json_response(
            {
                "object": "list",
                "data": data,
                "model": body.model or self.spec.model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    async def _models(self, request: web.Request) -> web.StreamResponse:
        base = {
            "id": self.spec.model,
            "object": "model",
            "created": int(time.time()),  # of the answer, as engines tell it
            "owned_by": self.dialect.name,
            "root": self.spec.model,
            "parent": None,
            "max_model_len": self.spec.max_model_tokens,
        }
        adapters = [
            {**base, "id": adapter, "root": adapter, "parent": self.spec.model}
            for adapter in self.spec.adapters
        ]
        return web.json_response({"object": "list", "data": [base, *adapters]})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=self.dialect.metrics(self),
            headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    def _stepped(self, generations: Seq[Generation], step_s: float) -> None:
        scale = 1.0 / self.spec.speedup
        self.observations.step(generations, step_s * scale)
        for generation in generations:
            if generation.generated == 1:
                self.observations.began(generation, scale)
            if generation.finished:
                self.observations.finished(generation, self._driver.now(), scale)
        self._publish()

    def _publish(self) -> None:
        if self._publisher is not None:
            self._publisher.publish(self._engine.take_cache_events())


def _embedding(text: bytes) -> list[float]:
    """Numbers from −1 to 1 that are the same for the same text."""
    return [
        xxhash.xxh3_64_intdigest(text, seed) / 2**63 - 1 for seed in range(_EMBEDDING_DIMENSIONS)
    ]
