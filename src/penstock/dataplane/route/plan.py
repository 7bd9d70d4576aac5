"""A plan: everything about a request that its head alone decides.

Made once for each distinct head on a connection and kept beside the remembered head, so that a
client that repeats itself costs one comparison.
"""

import re
from typing import Final

from penstock.core.admission.priority import asked_priority, claimed
from penstock.core.caller import ANYONE, Caller
from penstock.core.limits.rules import Rule
from penstock.core.request import Request
from penstock.core.route import RouteFacts
from penstock.core.snapshot import Pool, Route
from penstock.dataplane.llm.prompt_body import may_name_model
from penstock.dataplane.pool.allowed_origins import AllowedOrigins
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.access import Access
from penstock.dataplane.route.compression import NOT_ACCEPTED, Compression
from penstock.dataplane.route.error_pages import ErrorPages
from penstock.dataplane.route.model_list import asks_all
from penstock.dataplane.route.target import Target, chosen_by_weight
from penstock.wire import grpc
from penstock.wire.api_family import GRPC, GRPC_WEB, GRPC_WEB_TEXT, OPENAI, family_of
from penstock.wire.api_paths import api_of, ollama_api_of
from penstock.wire.content_coding import decoder_of
from penstock.wire.forwarding import Edit, ForwardedHead, Hop, ResponseRules, forwarded_request
from penstock.wire.http1 import RequestHead
from penstock.wire.kept_things import makes_things
from penstock.wire.kv_transfers import may_have_transfers
from penstock.wire.model_changes import changes_models
from penstock.wire.model_name import boundary_of
from penstock.wire.openai import OLLAMA_CHAT, OTHER, RESPONSE, TEMPLATE
from penstock.wire.session_keys import session_hash
from penstock.wire.target_path import decoded_path
from penstock.wire.traceparent import TraceParent
from penstock.wire.upgrade import Upgrade
from penstock.wire.websocket_handshake import (
    OWN_HANDSHAKE,
    PROTOCOL,
    WITHOUT_EXTENSIONS,
)

_CHATS: Final = b"/chat/completions"
_COMPLETIONS: Final = b"/completions"
_VERSION: Final = b"/v1"
_TEMPLATES: Final = b"/apply-template"
_GENERATIONS: Final = b"/api/generate"
_OLLAMA_CHATS: Final = b"/api/chat"
_SECONDS: Final = re.compile(rb"[0-9]{1,5}(?:\.[0-9]{1,6})?")
# Whose host stands in Host.
_AUTO: Final = 0  # the endpoint's where it serves several, else the client's
_CLIENTS: Final = 1
_ENDPOINTS: Final = 2
_FIXED: Final = 3
_NAMED: Final = {"auto": _AUTO, "pass": _CLIENTS, "endpoint": _ENDPOINTS}
_LEGIBLE: Final[list[Edit]] = [("set", b"Accept-Encoding", b"accept-encoding", b"identity")]
_GRPC_FAMILIES: Final = (OPENAI, GRPC, GRPC_WEB, GRPC_WEB_TEXT)  # by kind
_MAX_SHOWN_BYTES: Final = 64
_NO_RULES: Final[list[Rule]] = []
_NO_EXPECTATION: Final[list[Edit]] = [("remove", b"Expect", b"expect", b"")]


class PoolPlan:
    """One request's way to one pool."""

    def __init__(
        self,
        destination: Target,
        request: Request,
        head: RequestHead,
        target: bytes,
        hop: Hop,
        access: Access | None = None,
    ) -> None:
        pool = destination.pool
        self.pool: LivePool = pool
        self.weight: float = destination.weight
        self.rules: ResponseRules = destination.rules
        self.pages: ErrorPages | None = destination.pages
        self.compression: Compression | None = destination.compression
        self.client_coding: bytes = b""  # of answers that are compressed
        self.why_no_coding: int = NOT_ACCEPTED  # where there is none
        if self.compression is not None:
            sticky = pool.spec.sticky
            own_cookie = sticky.cookie.encode() if sticky is not None else b""
            self.client_coding = self.compression.coding_for(head, own_cookie)
            if not self.client_coding:
                self.why_no_coding = self.compression.why_none(head, own_cookie)
        self.request: Request = request
        # Which API of language models it is, where the pool serves one.
        self.api: int = OTHER
        self.family: int = OPENAI  # in whose form it is told of errors
        # Whether the body is awaited before an endpoint is chosen, or only until it is found which
        # model it names: in a form with that boundary, or at the front of JSON.
        self.inspects: bool = False
        self.skims: bool = False
        self.boundary: bytes = b""
        self.coding: bytes = b""  # of the body, which is taken off to read it
        self.unread: str = ""  # why the body is not read though its API is known
        self.refuses_coding: bool = False
        # Whether an endpoint that takes it may serve other models from then on.
        self.changes_models: bool = False
        self.makes_things: bool = False  # the answer may tell an id that its endpoint keeps
        # Hash of the conversation whose stream its endpoint keeps (llama.cpp); 0 without one.
        self.conversation: int = 0
        self.asks_all: bool = False  # every endpoint has a part of the answer
        if pool.learning is not None:
            path = decoded_path(request.path.encode("latin-1"))
            self.api = api_of(path)
            if self.api == OTHER and pool.spec.resume is not None:
                self.api = ollama_api_of(path)
            self.family = family_of(path, head.value(b"anthropic-version") is not None)
            self.changes_models = pool.spec.asks_again and changes_models(head.method, path)
            self.asks_all = len(pool.members) > 1 and asks_all(head.method, target)
            self.makes_things = makes_things(head.method, target)
            self.conversation = session_hash(head.value(b"x-conversation-id") or b"")
            self._plan_reading(pool, head, path)
        # Whether the body, or that it cannot be read, decides anything.
        self.may_tell_more: bool = self.inspects or self.skims or self.unread != ""
        # Whether it may be repeated although it was sent.
        self.repeats_sent: bool = pool.rules.repeats_sent(head.method)
        # Whether it is a gRPC call that some statuses of endpoints have repeated.
        self.repeats_calls: bool = (
            len(pool.rules.on_grpc_statuses) > 0
            and grpc.grpc_kind(head.value(b"content-type") or b"") == grpc.GRPC
        )
        # Whether answers pass as they come, but for errors: nothing of them is changed or learned.
        self.passes_answers: bool = (
            pool.learning is None
            and self.compression is None
            and pool.spec.sticky is None
            and not pool.orca
            and not head.extended_connect
            and head.value(b"origin") is None
            and grpc.grpc_kind(head.value(b"content-type") or b"") == grpc.NOT_GRPC
        )
        self.refuses_malformed: bool = self.api != OTHER and pool.refuses_malformed
        self.refuses_long: bool = (
            self.refuses_malformed and head.method == b"POST" and not self.inspects
        )
        self.priority: int = priority_of(
            head, request.source, pool, destination.priority, believed=hop.trusted
        )
        # Within which it must have a token, or another endpoint is asked; 0.0: it need not.
        self.first_token_s: float = first_token_of(head, pool.spec)
        self.origin: bytes = head.value(b"origin") or b""  # of a page that asks
        self.upgrade: Upgrade | None = None  # the protocol that it is to change to
        # Whether the WebSocket that it becomes is read: each response on it is routed, or is
        # counted at the endpoint to which the WebSocket goes.
        self.routes_each: bool = False
        self.counts_each: bool = False
        self.cookie: str = ""  # the sticky cookie's value, as it came
        self.home: LiveEndpoint | None = None  # that it names
        # A client that waits for 100 (Continue) is told it here, as a gateway may (RFC 9110, 3.7
        # and 10.1.1): what it asks for stands in the body.
        self._edits: list[Edit] = (
            destination.edits + _NO_EXPECTATION
            if self.inspects or self.skims
            else destination.edits
        )
        if access is not None:  # first, so that a key of the pool's own takes the client's place
            self._edits = access.edits + self._edits
        self._named: int = _NAMED.get(pool.host_header, _FIXED)
        if not head.host and self._named != _FIXED:
            self._named = _ENDPOINTS
        self._head: RequestHead = head
        self._target: bytes = target
        self._hop: Hop = hop
        self._forwarded: ForwardedHead | None = None
        # For endpoints and answers that need a head of their own.
        self._forwarded_apart: dict[tuple[str, bytes, bool], ForwardedHead] | None = None

    def _plan_reading(self, pool: LivePool, head: RequestHead, path: bytes) -> None:
        """How much of the body is read."""
        if head.method != b"POST":
            return
        apart = pool.tells_models_apart()
        coding = (head.value(b"content-encoding") or b"").strip().lower()
        if coding == b"identity":
            coding = b""
        if self.api == OTHER and apart and not coding:
            self.boundary = boundary_of(head.value(b"content-type") or b"")
        if self.boundary:
            self.skims = True
        elif (
            self.api != OTHER
            or ((apart or self.makes_things) and may_name_model(head))
            or (pool.refuses_transfers and may_have_transfers(path))
        ):
            if coding and decoder_of(coding, 0) is None:
                shown = coding[:_MAX_SHOWN_BYTES].decode("latin-1")
                self.unread = f"the body is compressed ({shown}), which is not read"
                self.refuses_coding = apart or pool.refuses_malformed
            elif head.content_length <= pool.prompt_bytes:
                self.inspects = True
                self.coding = coding
            else:
                self.unread = f"the body has over {pool.prompt_bytes} bytes"
                self.skims = apart and not coding

    def forwarded_through(self, endpoint: LiveEndpoint, api: int) -> ForwardedHead:
        """The head for an endpoint that is to go on with an answer by another API: with a chat as a
        text completion, or with a generation of Ollama's as a chat; or to tell a chat's prompt."""
        named = self._named
        by_endpoint = named == _ENDPOINTS or (named == _AUTO and endpoint.has_virtual_hosts)
        host = endpoint.host_header if by_endpoint else self._host()
        target = self._target
        if api == OLLAMA_CHAT:
            target = target.replace(_GENERATIONS, _OLLAMA_CHATS, 1)
        elif api == TEMPLATE:
            target = target.replace(_VERSION + _CHATS, _CHATS, 1).replace(_CHATS, _TEMPLATES, 1)
        else:
            target = target.replace(_CHATS, _COMPLETIONS, 1)
        return self._build(endpoint, host, True, target)

    def route_each(self) -> None:
        """It becomes a WebSocket on which each response is asked for as if by a POST. Endpoints
        get handshakes of ours, without extensions."""
        self.routes_each = True
        self.inspects = True
        self.repeats_sent = self.pool.rules.repeats_sent(b"POST")
        self.upgrade = Upgrade(PROTOCOL, b"")
        self.take_out(OWN_HANDSHAKE)

    def count_each(self, model: str) -> None:
        """It becomes a WebSocket to one endpoint, on which each response counts by itself;
        ``model``: that it is for, "" where that is not told."""
        self.counts_each = True
        self.api = RESPONSE
        self.inspects = True  # what stands for each response; the handshake has no body
        self.take_out(WITHOUT_EXTENSIONS)
        pool = self.pool
        known = model not in pool.names.shares and model in pool.known_models()
        if pool.learning is not None and known:
            self.request = pool.learning.request_for(self.request, model)

    def take_out(self, edits: list[Edit]) -> None:
        """Before anything else is done to the head."""
        self._edits = edits + self._edits

    def forwarded(self, endpoint: LiveEndpoint, legible: bool = False) -> ForwardedHead:
        """The head for an endpoint.

        ``legible``: the answer must come as it can be read, without a content coding.
        """
        named = self._named
        by_endpoint = named == _ENDPOINTS or (named == _AUTO and endpoint.has_virtual_hosts)
        apart = endpoint.base_path or endpoint.edits
        if apart or by_endpoint or legible:
            heads = self._forwarded_apart
            if heads is None:
                heads = {}
                self._forwarded_apart = heads
            host = endpoint.host_header if by_endpoint else self._host()
            key = (endpoint.name if apart else "", host, legible)
            head = heads.get(key)
            if head is None:
                head = self._build(endpoint, host, legible)
                heads[key] = head
            return head
        forwarded = self._forwarded
        if forwarded is None:
            forwarded = self._build(endpoint, self._host(), False)
            self._forwarded = forwarded
        return forwarded

    def _host(self) -> bytes:
        """The Host field's value where it is not the endpoint's name."""
        return self.pool.host_header.encode() if self._named == _FIXED else self._head.host

    def _build(
        self, endpoint: LiveEndpoint, host: bytes, legible: bool, target: bytes = b""
    ) -> ForwardedHead:
        target = target or self._target
        if endpoint.base_path and target.startswith(b"/"):  # "*" has no path
            target = endpoint.base_path + target
        edits = self._edits + endpoint.edits
        if legible:
            edits = edits + _LEGIBLE
        upgrade = self.upgrade.protocol if self.upgrade is not None else b""
        return forwarded_request(self._head, target, host, self._hop, edits, upgrade)


def priority_of(
    head: RequestHead, source: str, pool: LivePool, usual: int, *, believed: bool
) -> int:
    """How important a request is, 0 most, by the header that the pool names, or else as ``usual``
    on its route; -1: nothing tells it.

    Where the pool names no clients who may say it, that of a trusted proxy is ``believed``, and any
    other's is ``claimed``.
    """
    spec = pool.spec.admission
    value = head.value(spec.priority_header.encode()) if spec.priority_header else None
    if value is None or (spec.priority_clients and not pool.priority_clients.holds(source)):
        return usual
    told = asked_priority(value, spec)
    if told < 0:
        return usual
    if believed or spec.priority_clients:
        return told
    return claimed(told, usual if usual >= 0 else spec.default_priority)


def first_token_of(head: RequestHead, spec: Pool) -> float:
    """Within how many seconds a request is to have its first token, as its pool says, or it itself
    by the header that the pool names."""
    asking = spec.first_token_header
    value = head.value(asking.name.encode()) if asking is not None else None
    if asking is None or value is None or _SECONDS.fullmatch(value.strip()) is None:
        return spec.timeouts.first_token_s
    return min(max(float(value), asking.floor_s), asking.ceiling_s)


class Plan:
    """What happens to a request with this head on this connection."""

    def __init__(self, generation: int, route: Route | None, request_id: bytes) -> None:
        self.generation: int = generation
        self.route: Route | None = route
        self.request_id: bytes = request_id  # to be continued; b"": make one
        self.source: str = ""  # the client's address
        self.caller: Caller = ANYONE
        self.access: Access | None = None  # where requests are to tell who asks
        self.limits: list[Rule] = _NO_RULES  # of its route
        self.auth: object = None  # the ``AuthQuestion`` or ``BasicQuestion`` of its route
        self.guarded: bool = False  # there is either, or a pool that has limits
        self.choices: list[PoolPlan] = []
        self.mirror: PoolPlan | None = None
        self.mirror_share: float = 0.0
        self.is_grpc: bool = False  # in any form
        self.grpc_kind: int = grpc.NOT_GRPC  # which, of wire/grpc.py
        self.grpc_timeout_s: float = 0.0  # that the client gives the call; 0.0: none
        self.upgrade: Upgrade | None = None  # the protocol that it is to change to
        # Of a gRPC call that is answered here, without choices.
        self.service: str = ""
        self.service_method: str = ""
        self.targets: list[Target] = []  # the pools that it is about
        self.facts: RouteFacts | None = None  # of its request
        # Without choices: the response to give, and its parts for each request.
        self.status: int = 0
        self.message: str = ""
        self.body: bytes = b""
        self.headers: list[tuple[str, str]] = []
        self.edits: list[Edit] = []  # of the heads of answers of our own, without choices
        self.pages: ErrorPages | None = None  # without choices
        self.origin: bytes = b""  # of a page that asks, without choices
        self.origins: AllowedOrigins | None = None  # that its pool's endpoints allow
        # With choices: the list of models that takes the place of the engine's own.
        self.listed: bytes = b""
        self.listed_to_keys: bool = False  # only to those that an engine lets have one
        self.trace_parent: TraceParent | None = None  # where traces are on
        self.log_facts: bytes = b""  # the part of a log line that is the same for all requests

    def choose(self, chance: float) -> PoolPlan:
        """One of the choices by weight; ``chance`` is uniform in [0, 1)."""
        weights = [choice.weight for choice in self.choices]
        return self.choices[chosen_by_weight(weights, chance)]

    def family(self, chosen: PoolPlan | None) -> int:
        """In whose form the client is told of errors, as far as is known."""
        if self.is_grpc:
            return _GRPC_FAMILIES[self.grpc_kind]
        nearest = self._nearest(chosen)
        if nearest is None and self.access is not None:
            return self.access.family
        return nearest.family if nearest is not None else OPENAI

    def error_pages(self, chosen: PoolPlan | None) -> ErrorPages | None:
        """What stands in for errors; None where nothing does."""
        if self.is_grpc:
            return None
        nearest = self._nearest(chosen)
        return nearest.pages if nearest is not None else self.pages

    def own_edits(self, chosen: PoolPlan | None) -> list[Edit]:
        """What is done to the head of an answer of our own: as to an endpoint's, so that pages of
        other origins can read errors, and what is configured for all answers stands in each."""
        if self.origins is not None and self.origin:
            return self.origins.edits(self.origin) + self.edits
        nearest = self._nearest(chosen)
        if nearest is None:
            return self.edits
        if not nearest.origin:
            return nearest.rules.edits
        return nearest.pool.origins.edits(nearest.origin) + nearest.rules.edits

    def _nearest(self, chosen: PoolPlan | None) -> PoolPlan | None:
        """The choice that was made, or the first while none was."""
        if chosen is not None:
            return chosen
        return self.choices[0] if self.choices else None
